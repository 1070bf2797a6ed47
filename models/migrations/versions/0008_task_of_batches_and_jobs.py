"""Which task a batch, or a job of its own, was sent for: its pipeline may be for another one later.

Batches of before get the task that their pipeline has now. Jobs of before get none, for there may be millions.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("batches", sa.Column("task", sa.String(64), comment="What its pipeline was for; null: not known"))
    op.add_column(
        "job_data",
        sa.Column("task", sa.String(64), comment="What its pipeline was for; null: as its batch has it, or not known"),
    )
    conn = op.get_bind()
    for name, definition in conn.execute(sa.text("SELECT name, definition FROM pipelines")).all():
        task = json.loads(definition)["task"]
        known = sa.text("UPDATE batches SET task = :task WHERE pipeline = :name")
        conn.execute(known, {"task": task, "name": name})


def downgrade() -> None:
    op.drop_column("job_data", "task")
    op.drop_column("batches", "task")
