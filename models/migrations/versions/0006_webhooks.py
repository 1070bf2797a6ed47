"""Webhooks: whom to tell when a job or a batch is over.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_DUE = "state = 'due'"
_OPEN = "state NOT IN ('delivered', 'unwanted')"


def upgrade() -> None:
    op.add_column(
        "jobs",
        sa.Column(
            "webhook", sa.Boolean, nullable=False, server_default=sa.false(),
            comment="Somebody is to be told when it is over: it has a row in webhooks",
        ),
    )
    op.create_table(
        "webhooks",
        sa.Column("id", sa.String(32), nullable=False, comment="That of its job or batch"),
        sa.Column("job_id", sa.String(32)),
        sa.Column("batch_id", sa.String(32)),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("events", sa.Text, comment="Those asked for; null: every end"),
        sa.Column("state", sa.String(9), nullable=False, comment="models.webhooks.State"),
        sa.Column("round", sa.Integer, nullable=False, comment="Times its batch was over; part of webhook-id"),
        sa.Column("tries", sa.Integer, nullable=False, comment="Times it was sent in this round"),
        sa.Column(
            "next_at", sa.DateTime(timezone=True),
            comment="When it is to be sent; while it is, when others may think it was not",
        ),
        sa.Column("answered", sa.Integer, comment="Status that the last try was answered with"),
        sa.Column("problem", sa.Text, comment="Why the last try failed, in a sentence"),
        sa.Column("told_at", sa.DateTime(timezone=True), comment="When it was delivered"),
        sa.CheckConstraint(
            "(job_id IS NULL) <> (batch_id IS NULL)", name=op.f("ck_webhooks_of_a_job_or_of_a_batch")
        ),
        sa.CheckConstraint(
            "(state = 'due') = (next_at IS NOT NULL)", name=op.f("ck_webhooks_only_what_is_due_has_a_moment")
        ),
        sa.CheckConstraint(
            "state IN ('waiting', 'due', 'delivered', 'unwanted', 'given_up')", name=op.f("ck_webhooks_state")
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_webhooks_job_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name="fk_webhooks_batch_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_webhooks"),
        sa.UniqueConstraint("job_id", name="uq_webhooks_job_id"),
        sa.UniqueConstraint("batch_id", name="uq_webhooks_batch_id"),
    )
    for name, column, where in (("next_at", "next_at", _DUE), ("state", "state", _OPEN)):
        op.create_index(
            f"ix_webhooks_{name}", "webhooks", [column], sqlite_where=sa.text(where), postgresql_where=sa.text(where)
        )


def downgrade() -> None:
    op.drop_table("webhooks")
    # Not by making the table anew, as Alembic does for SQLite: others refer to it.
    op.drop_column("jobs", "webhook")
