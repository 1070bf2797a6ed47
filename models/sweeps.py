"""What repairs itself: cancel, expire, reap, and finding what waits without a message.

Nothing here has an upper window: a row that was lost a week ago is found like one of this minute.
"""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from contract.errors import ErrorCode
from contract.statuses import PRIORITY_RANK, BatchStatus, JobStatus, Priority
from models.counts import Move, moved
from models.tables import OPEN, QUEUED, RUNNING, batches, jobs, pipelines
from models.webhooks import job_is_over

_FREE = {"worker": None, "lease_until": None}
LOST_MESSAGE = "The process that worked on this job died, each time it was tried."


@dataclasses.dataclass(frozen=True)
class Touched:
    """Ids of rows and batches that changed, for whoever publishes changes after the commit."""

    jobs: list[str]
    batches: set[str]


def cancel(conn: sa.Connection, job_id: str, *, now: datetime) -> bool:
    """Cancel a job that is not over. A worker that has it in hand will find it is no longer its own."""
    return bool(_end(conn, JobStatus.CANCELED, jobs.c.id == job_id, limit=1, now=now).jobs)


def go_on_canceling(conn: sa.Connection, batch_id: str, *, limit: int, now: datetime) -> int:
    """Cancel up to `limit` open rows of a batch that is being canceled, and of no other.

    Who was asked late, or twice, may come when it is over and a retry has opened its rows again. Nobody ends it while
    this transaction lasts.
    """
    canceling = batches.c.status == BatchStatus.CANCELING.value
    held = sa.select(batches.c.id).where(batches.c.id == batch_id, canceling).with_for_update(read=True)
    return 0 if conn.scalar(held) is None else cancel_batch_rows(conn, batch_id, limit=limit, now=now)


def cancel_batch_rows(conn: sa.Connection, batch_id: str, *, limit: int, now: datetime) -> int:
    """Cancel up to `limit` open rows of a batch: in pieces, so that no writer waits long. 0: none is left.

    What workers have in hand goes first, for they look before each microbatch; then what they would take next.
    """
    running = sa.and_(jobs.c.batch_id == batch_id, RUNNING)
    queued = sa.and_(jobs.c.batch_id == batch_id, QUEUED)
    ended = len(_end(conn, JobStatus.CANCELED, running, limit=limit, now=now).jobs)
    return ended + len(_end(conn, JobStatus.CANCELED, queued, limit=limit - ended, by=jobs.c.row, now=now).jobs)


def expire(conn: sa.Connection, *, now: datetime, limit: int = 5_000) -> Touched:
    """End open rows whose time is up."""
    return _end(conn, JobStatus.EXPIRED, jobs.c.expires_at <= now, limit=limit, now=now)


def _end(
    conn: sa.Connection,
    status: JobStatus,
    which: sa.ColumnElement[bool],
    *,
    limit: int,
    now: datetime,
    by: sa.ColumnElement[Any] | None = None,
) -> Touched:
    some = (
        sa.select(jobs.c.id, jobs.c.batch_id, jobs.c.status, jobs.c.webhook)
        .where(which, OPEN)
        .order_by(by)
        .limit(limit)
    )
    # Locked first: what a row was is counted, and must be what it is when it is ended.
    rows = conn.execute(some.with_for_update()).all()
    for before in (JobStatus.QUEUED, JobStatus.RUNNING):
        end_rows(conn, [row for row in rows if row.status == before], before=before, after=status, now=now)
    return _touched(rows)


def end_rows(conn: sa.Connection, rows: Sequence[Any], *, before: JobStatus, after: JobStatus, now: datetime) -> None:
    """End rows (`id`, `batch_id`, `webhook`) that this transaction has locked in the status `before`."""
    if rows:
        ended = sa.update(jobs).where(jobs.c.id.in_([row.id for row in rows]))
        conn.execute(ended.values(status=after.value, finished_at=now, **_FREE))
        moved(conn, Counter(Move(row.batch_id, before, after) for row in rows))
        job_is_over(conn, rows, now=now)


def _touched(rows: Any) -> Touched:
    found = list(rows)
    return Touched([row.id for row in found], {row.batch_id for row in found if row.batch_id})


def reap_worker(
    conn: sa.Connection, worker: str, *, in_hand: Collection[str], max_attempts: int, now: datetime
) -> Touched:
    """A worker's process died: its rows go back in line, and those it had in hand become suspects.

    Suspects run in halves until the culprit is alone; a row that kills its process alone, after `max_attempts`
    deaths in all, fails with worker_lost.
    """
    held = conn.execute(
        sa.select(jobs.c.id, jobs.c.batch_id, jobs.c.crashes, jobs.c.max_group, jobs.c.webhook)
        .where(
            # Locked: a last word of the dead that is still being committed, or a cancel, comes before or after.
            jobs.c.worker == worker,
            RUNNING,
        )
        .with_for_update()
    ).all()
    suspects = [row for row in held if row.id in in_hand]
    others = [row for row in held if row.id not in in_hand]
    _go_back(conn, [row.id for row in others])
    moves = Counter(_back(row) for row in others)
    for row in suspects:
        group = min(len(suspects), row.max_group or len(suspects))
        moves[_suspect(conn, row, crashes=row.crashes + 1, group=group, max_attempts=max_attempts, now=now)] += 1
    moved(conn, moves)
    return _touched(held)


def reap_expired(conn: sa.Connection, *, max_attempts: int, now: datetime, limit: int = 5_000) -> Touched:
    """Take rows back whose lease ran out: their host is gone, and nobody knows which of them it had in hand.

    Each becomes a little more suspect; after `max_attempts` it runs alone.
    """
    lost = conn.execute(
        sa.select(jobs.c.id, jobs.c.batch_id, jobs.c.crashes, jobs.c.max_group, jobs.c.webhook)
        .where(RUNNING, jobs.c.lease_until < now)
        .limit(limit)
        # A heartbeat that is just renewing one of them wins: it is alive.
        .with_for_update(skip_locked=True)
    ).all()
    moves: Counter[Move] = Counter()
    for row in lost:
        crashes = row.crashes + 1
        group = row.max_group if crashes < max_attempts else row.max_group or 2
        if group is None:
            moves[_suspend(conn, row, {"crashes": crashes}, now)] += 1
        else:
            moves[_suspect(conn, row, crashes=crashes, group=group, max_attempts=max_attempts, now=now)] += 1
    moved(conn, moves)
    return _touched(lost)


def _go_back(conn: sa.Connection, ids: list[str]) -> None:
    """Rows that were claimed and not begun keep their place in line, and the attempt is not counted."""
    if ids:
        values = {"status": JobStatus.QUEUED.value, "attempts": jobs.c.attempts - 1, "started_at": None, **_FREE}
        conn.execute(sa.update(jobs).where(jobs.c.id.in_(ids), RUNNING).values(values))


def _back(row: Any) -> Move:
    return Move(row.batch_id, JobStatus.RUNNING, JobStatus.QUEUED)


def _suspect(conn: sa.Connection, row: Any, *, crashes: int, group: int, max_attempts: int, now: datetime) -> Move:
    if group == 1 and crashes >= max_attempts:
        values: dict[str, Any] = {
            "status": JobStatus.FAILED.value,
            "finished_at": now,
            "crashes": crashes,
            "error_code": ErrorCode.WORKER_LOST.value,
            "error_message": LOST_MESSAGE,
            **_FREE,
        }
        conn.execute(sa.update(jobs).where(jobs.c.id == row.id).values(values))
        job_is_over(conn, [row], now=now)
        return Move(row.batch_id, JobStatus.RUNNING, JobStatus.FAILED)
    return _suspend(conn, row, {"crashes": crashes, "max_group": max(1, group // 2)}, now)


def _suspend(conn: sa.Connection, row: Any, values: dict[str, Any], now: datetime) -> Move:
    """Back in line, behind everything that waits now: the healthy rows of this moment go first."""
    values = {**values, "status": JobStatus.QUEUED.value, "available_at": now, "started_at": None, **_FREE}
    conn.execute(sa.update(jobs).where(jobs.c.id == row.id).values(values))
    return _back(row)


def pipelines_with_work(conn: sa.Connection, *, now: datetime, only: Priority | None = None) -> list[str]:
    """Active pipelines with rows to claim: each must have a wake under way."""
    return list(conn.scalars(_with_work(only), {"now": now}))


@functools.cache
def _with_work(only: Priority | None) -> sa.Select[Any]:
    waits = [jobs.c.available_at <= sa.bindparam("now")]
    if only is not None:
        waits.append(jobs.c.priority == PRIORITY_RANK[only])
    waiting = _first_in_line(jobs.c.id, *waits).is_not(None)
    return sa.select(pipelines.c.name).where(pipelines.c.state == "active", waiting).order_by(pipelines.c.place)


def _first_in_line(column: sa.Column[Any], *more: sa.ColumnElement[bool]) -> Any:
    """Of the first in line of a pipeline. A seek whatever PostgreSQL believes of the table: asked whether one exists,
    it has read a million rows where most were in line when it last looked.
    """
    line = sa.select(column).where(jobs.c.pipeline == pipelines.c.name, QUEUED, *more)
    return line.order_by(jobs.c.priority, jobs.c.available_at, jobs.c.id).limit(1).scalar_subquery()


def oldest_wait(conn: sa.Connection, *, now: datetime) -> dict[str, float]:
    """Seconds the first in line of each pipeline has waited; the longer of a person's and a file's."""
    waits: dict[str, float] = {}
    for name, *firsts in conn.execute(_FIRST_IN_LINE):
        since = min((first for first in firsts if first is not None), default=None)
        if since is not None:
            waits[name] = max(0.0, (now - since).total_seconds())
    return waits


_FIRST_IN_LINE = sa.select(
    pipelines.c.name,
    *(_first_in_line(jobs.c.created_at, jobs.c.priority == PRIORITY_RANK[priority]) for priority in Priority),
)
