"""Files of jobs: what they were sent and what came back.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "files",
        sa.Column(
            "of_jobs", sa.Boolean, nullable=False, server_default=sa.false(),
            comment="Made for a job: goes with the last job that needs it",
        ),
    )
    op.create_table(
        "job_files",
        sa.Column("job_id", sa.String(32), nullable=False),
        sa.Column("file_id", sa.String(32), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_job_files_job_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], name="fk_job_files_file_id"),
        sa.PrimaryKeyConstraint("job_id", "file_id", name="pk_job_files"),
    )
    op.create_index("ix_job_files_file_id", "job_files", ["file_id"])


def downgrade() -> None:
    op.drop_table("job_files")
    # Not by making the table anew, as Alembic does for SQLite: batches refer to it.
    op.drop_column("files", "of_jobs")
