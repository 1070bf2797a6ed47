"""Upkeep: what the scheduler asks for every few seconds. Any number of these at once is harmless.

It expires what is late, takes rows back from silent hosts, ends batches, removes what was deleted or is old, and
sends again every message that what is committed still needs: that is how an emptied broker loses no job.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

import sqlalchemy as sa

from contract.logs import get_logger
from contract.statuses import BatchStatus
from contract.times import utc_now
from models import batches, removal, sweeps
from models.database import reading, transaction
from models.files import FileStorage
from models.workers import forget_workers
from worker.signals import Signals

log = get_logger(__name__)

_CANCEL_PIECE = 5_000
_FORGET_AFTER = timedelta(hours=1)
_REAPED = 5_000
#: What was not written to for so long is no upload that is still under way.
_WASTE_AFTER = timedelta(hours=2)
_REMOVE_SECONDS = 2.0


def sweep(engine: sa.Engine, signals: Signals, storage: FileStorage, *, max_attempts: int, keep_days: int) -> None:
    """One look at everything. `keep_days`: 0 keeps for ever."""
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
    if keep_days:
        _retire(engine, storage, before=now - timedelta(days=keep_days), now=now)
    _remove(engine, storage)


def tidy(engine: sa.Engine, storage: FileStorage, *, upload_seconds: float) -> None:
    """When a process for upkeep starts, and now and then: remove what belongs to nothing in storage."""
    now = utc_now()
    removed = removal.remove_waste(engine, storage, before=now - _WASTE_AFTER)
    removed += removal.remove_broken_off(storage, before=now - timedelta(seconds=upload_seconds))
    if removed:
        log.info("Files that belong to nothing were removed.", action="waste_removed", files=removed)


def _retire(engine: sa.Engine, storage: FileStorage, *, before: datetime, now: datetime) -> None:
    """Delete what was over before a moment, a bounded part of it a sweep."""
    transaction(engine, lambda conn: removal.delete_old_batches(conn, before=before, now=now))
    removal.remove_old_jobs(engine, storage, before=before)
    removal.remove_old_files(engine, storage, before=before)


def _remove(engine: sa.Engine, storage: FileStorage) -> None:
    """Go on taking deleted batches away, for a moment: files are read by this process too."""
    with reading(engine) as conn:
        left = removal.deleted(conn)
    until = time.monotonic() + _REMOVE_SECONDS
    for remains in left:
        if not removal.remove(engine, storage, remains, until=until):
            return


def cancel_rows(engine: sa.Engine, signals: Signals, batch_id: str) -> None:
    """Cancel the open rows of a batch in pieces, so that no claim waits long for the table; then end it."""
    while transaction(
        engine, lambda conn: sweeps.go_on_canceling(conn, batch_id, limit=_CANCEL_PIECE, now=utc_now())
    ):
        signals.changed([batch_id])
    transaction(engine, lambda conn: batches.close_if_over(conn, batch_id, now=utc_now()))
    signals.changed([batch_id])
    with reading(engine) as conn:
        batch = batches.find_batch(conn, batch_id)
    if batch is not None:
        # A claim gives up after some thousands of canceled rows; who stood behind them is called again.
        signals.wake(batch.pipeline)


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
