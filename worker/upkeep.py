"""Upkeep: what the scheduler asks for every few seconds. Any number of these at once is harmless.

It expires what is late, takes rows back from silent hosts, ends batches, and sends again every message that what
is committed still needs: that is how an emptied broker loses no job.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import sqlalchemy as sa

from contract.statuses import BatchStatus
from contract.times import utc_now
from models import batches, sweeps
from models.database import reading, transaction
from models.workers import forget_workers
from worker.signals import Signals

_CANCEL_PIECE = 5_000
_FORGET_AFTER = timedelta(hours=1)
_REAPED = 5_000


def sweep(engine: sa.Engine, signals: Signals, *, max_attempts: int) -> None:
    """One look at everything."""
    now = utc_now()
    _until_few(lambda: transaction(engine, lambda conn: sweeps.expire(conn, now=now, limit=_REAPED)), signals)
    _until_few(
        lambda: transaction(
            engine, lambda conn: sweeps.reap_expired(conn, max_attempts=max_attempts, now=now, limit=_REAPED)
        ),
        signals,
    )
    transaction(engine, lambda conn: batches.expire_batches(conn, now=now))
    _tend_batches(engine, signals, now)
    with reading(engine) as conn:
        waiting = sweeps.pipelines_with_work(conn, now=now)
    for pipeline in waiting:
        signals.wake(pipeline)
    transaction(engine, lambda conn: forget_workers(conn, before=now - _FORGET_AFTER))


def cancel_rows(engine: sa.Engine, signals: Signals, batch_id: str) -> None:
    """Cancel the open rows of a batch in pieces, so that no claim waits long for the table; then end it."""
    while transaction(
        engine, lambda conn: sweeps.cancel_batch_rows(conn, batch_id, limit=_CANCEL_PIECE, now=utc_now())
    ):
        signals.changed([batch_id])
    transaction(engine, lambda conn: batches.close_if_over(conn, batch_id, now=utc_now()))
    signals.changed([batch_id])


def _until_few(work: Callable[[], sweeps.Touched], signals: Signals) -> None:
    """Repeat a bounded piece of work until it found less than a piece."""
    while True:
        touched = work()
        signals.changed([*touched.jobs[:100], *touched.batches])
        if len(touched.jobs) < _REAPED:
            return


def _tend_batches(engine: sa.Engine, signals: Signals, now: datetime) -> None:
    with reading(engine) as conn:
        found = batches.open_batches(conn)
    for batch_id, status, ingested in found:
        if status is BatchStatus.CANCELING:
            cancel_rows(engine, signals, batch_id)
        elif not ingested:
            signals.read(batch_id)
        elif _close(engine, batch_id, now):
            signals.changed([batch_id])


def _close(engine: sa.Engine, batch_id: str, now: datetime) -> BatchStatus | None:
    return transaction(engine, lambda conn: batches.close_if_over(conn, batch_id, now=now))
