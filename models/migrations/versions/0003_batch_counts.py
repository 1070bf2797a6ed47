"""Counts of a batch kept as its rows move; rows that did not succeed found at once; batches deleted in pieces.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from models.types import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_STATUSES = ("queued", "running", "succeeded", "failed", "canceled", "expired")
_REST = "batch_id IS NOT NULL AND status <> 'succeeded'"
_BADLY = "status IN ('failed', 'canceled', 'expired')"
_SINGLE = "batch_id IS NULL AND status IN ('queued', 'running')"


def upgrade() -> None:
    op.create_table(
        "batch_counts",
        sa.Column(
            "batch_id",
            sa.String(32),
            sa.ForeignKey("batches.id", name=op.f("fk_batch_counts_batch_id"), ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("part", sa.SmallInteger, nullable=False, comment="Who counted; only the sum of all means anything"),
        *(sa.Column(status, sa.BigInteger, nullable=False) for status in _STATUSES),
        sa.PrimaryKeyConstraint("batch_id", "part", name=op.f("pk_batch_counts")),
    )
    sums = ", ".join(f"sum(CASE WHEN status = '{status}' THEN 1 ELSE 0 END)" for status in _STATUSES)
    op.execute(
        f"INSERT INTO batch_counts (batch_id, part, {', '.join(_STATUSES)}) "
        f"SELECT batch_id, 0, {sums} FROM jobs WHERE batch_id IS NOT NULL GROUP BY batch_id"
    )
    if op.get_bind().dialect.name == "postgresql":
        # Each row is updated twice; a fifth of a large table, the default, is too much to walk around.
        op.execute(
            "ALTER TABLE jobs SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 10000, "
            "autovacuum_analyze_scale_factor = 0.02)"
        )
    _index("ix_jobs_batch_rest", ["batch_id", "status", "row"], _REST)
    _index("ix_jobs_single_open", ["pipeline", "status"], _SINGLE)
    _index("ix_jobs_ended_badly", ["status", "id"], _BADLY)
    op.drop_index("ix_jobs_batch_status", table_name="jobs")
    # Not in Alembic's batch mode: it drops the table on SQLite, and with it whatever refers to a batch.
    op.add_column("batches", sa.Column("resumed_at", UtcDateTime, comment="When a retry last opened it again"))
    op.add_column(
        "batches", sa.Column("resumed_with", sa.BigInteger, comment="Rows that were over already at that moment")
    )
    op.add_column(
        "batches",
        sa.Column(
            "deleted_at", UtcDateTime, comment="Gone for whoever asks; upkeep takes what is left of its rows away"
        ),
    )
    op.create_index(op.f("ix_batches_file_id"), "batches", ["file_id"])
    where = sa.text("deleted_at IS NOT NULL")
    op.create_index("ix_batches_deleted", "batches", ["deleted_at"], sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "ALTER TABLE jobs RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold, "
            "autovacuum_analyze_scale_factor)"
        )
    _index("ix_jobs_batch_status", ["batch_id", "status"], "batch_id IS NOT NULL")
    op.drop_index("ix_batches_deleted", table_name="batches")
    op.drop_index(op.f("ix_batches_file_id"), table_name="batches")
    for column in ("deleted_at", "resumed_with", "resumed_at"):
        op.drop_column("batches", column)
    op.drop_index("ix_jobs_ended_badly", table_name="jobs")
    op.drop_index("ix_jobs_single_open", table_name="jobs")
    op.drop_index("ix_jobs_batch_rest", table_name="jobs")
    op.drop_table("batch_counts")


def _index(name: str, columns: list[str], where: str) -> None:
    op.create_index(name, "jobs", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
