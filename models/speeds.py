"""What the tables tell of how fast batches go."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from contract.statuses import BatchStatus
from models.batches import Batch, find_batch
from models.tables import batches, jobs

_OF_BATCH = jobs.c.batch_id == sa.bindparam("batch_id")
_BEGUN = (
    sa.select(jobs.c.started_at).where(_OF_BATCH, jobs.c.row >= sa.bindparam("row")).order_by(jobs.c.row).limit(1)
)
_LAST_QUEUED = sa.select(jobs.c.created_at).where(_OF_BATCH).order_by(jobs.c.row.desc()).limit(1)


def begun(conn: sa.Connection, batch_id: str, *, row: int = 0) -> datetime | None:
    """When the turn of a batch's row came, or of the next that was taken; None while it waits."""
    found: datetime | None = conn.scalar(_BEGUN, {"batch_id": batch_id, "row": row})
    return found


def last_queued(conn: sa.Connection, batch_id: str) -> datetime | None:
    """When the last row came into the queue that a batch has; of one that is read, when its reading ended."""
    found: datetime | None = conn.scalar(_LAST_QUEUED, {"batch_id": batch_id})
    return found


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
