"""Answers kept for whoever asks the same again.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "kept_answers",
        sa.Column("key", sa.LargeBinary(32), nullable=False, comment="worker.cellar: weights, task, parameters, inputs"),
        sa.Column("body", sa.Text, comment="As in job_results"),
        sa.Column("vector", sa.LargeBinary),
        sa.Column("bytes", sa.Integer, nullable=False, comment="About what it takes"),
        sa.Column("kept_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("(body IS NULL) <> (vector IS NULL)", name=op.f("ck_kept_answers_one_form")),
        sa.PrimaryKeyConstraint("key", name="pk_kept_answers"),
    )
    op.create_index("ix_kept_answers_kept_at", "kept_answers", ["kept_at", "bytes"])


def downgrade() -> None:
    op.drop_table("kept_answers")
