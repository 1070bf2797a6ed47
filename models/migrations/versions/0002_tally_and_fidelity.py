"""What ovens count, and what quantization costs.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from models.types import Json

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("workers") as workers:
        workers.add_column(
            sa.Column("tally", Json, comment="What its child has counted since it started: worker.tally.Tally")
        )
    with op.batch_alter_table("pipelines") as pipelines:
        pipelines.add_column(
            sa.Column(
                "fidelity", Json, comment="How far a quantized checkpoint's results are from float32's; null: exact"
            )
        )


def downgrade() -> None:
    with op.batch_alter_table("pipelines") as pipelines:
        pipelines.drop_column("fidelity")
    with op.batch_alter_table("workers") as workers:
        workers.drop_column("tally")
