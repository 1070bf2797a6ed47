"""What the tables tell of how fast batches go."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from contract.statuses import BatchStatus
from models.batches import Batch, find_batch
from models.tables import batches, jobs

_FIRST_BEGUN = (
    sa.select(jobs.c.started_at).where(jobs.c.batch_id == sa.bindparam("batch_id")).order_by(jobs.c.row).limit(1)
)


def first_begun(conn: sa.Connection, batch_id: str) -> datetime | None:
    """When the turn of a batch's first row came; None while it waits."""
    begun: datetime | None = conn.scalar(_FIRST_BEGUN, {"batch_id": batch_id})
    return begun


def latest_completed(conn: sa.Connection, pipeline: str, *, limit: int) -> list[Batch]:
    """The files that a pipeline baked last, the newest first."""
    query = (
        sa.select(batches.c.id)
        .where(batches.c.pipeline == pipeline, batches.c.status == BatchStatus.COMPLETED.value)
        .order_by(batches.c.id.desc())
        .limit(limit)
    )
    found = (find_batch(conn, batch_id) for batch_id in conn.scalars(query).all())
    return [batch for batch in found if batch is not None]
