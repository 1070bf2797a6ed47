"""An index for the newest jobs of a pipeline, however many others have.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_jobs_pipeline", "jobs", ["pipeline", "id"])


def downgrade() -> None:
    op.drop_index("ix_jobs_pipeline", "jobs")
