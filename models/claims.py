"""Claims: take rows by compare-and-set, hold them by lease, give them back.

The fence grows with every claim and never shrinks, and whoever records a row must name the fence it claimed with.
A second worker with the same message finds nothing to claim, which is a normal answer.
"""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from contract.statuses import PRIORITY_RANK, BatchStatus, JobStatus, Priority
from models.counts import Move, moved
from models.sweeps import end_rows
from models.tables import batches, job_data, jobs

# A literal: with a bound status PostgreSQL's generic plan would leave the partial index aside.
_QUEUED = jobs.c.status == sa.literal_column("'queued'")
_RUNNING = jobs.c.status == sa.literal_column("'running'")
#: `_RUNNING`, by the table's own check, in words that no partial index has: rows that are named are found by their
#: names, and not by a walk through all that run or ran a moment ago.
HELD = jobs.c.lease_until.is_not(None)
_TURN = (jobs.c.priority, jobs.c.available_at, jobs.c.id)
#: Looks for rows where the first in line are all of batches that are being canceled.
_LOOKS = 5


@dataclasses.dataclass(frozen=True)
class Claimed:
    """A row in a worker's hands."""

    id: str
    pipeline: str
    fence: int
    priority: int
    batch_id: str | None
    inputs: Any
    parameters: dict[str, Any]
    expires_at: datetime | None
    #: At most so many rows in one microbatch, because a process died with it in hand; None: no suspect.
    max_group: int | None
    #: Somebody is to be told when it is over.
    webhook: bool = False
    #: What its pipeline was for when it was sent; None: not known.
    task: str | None = None


def claim(
    conn: sa.Connection,
    pipeline: str,
    *,
    limit: int,
    worker: str,
    lease: timedelta,
    now: datetime,
    only: Priority | None = None,
) -> list[Claimed]:
    """Take up to `limit` queued rows of a pipeline in their order; suspects only among suspects of one size.

    Nobody comes between the look and the update: PostgreSQL has the rows locked, and leaves out those that another
    claim has locked; SQLite's transaction has begun as a writer's.
    """
    line = _line(people_only=only is Priority.INTERACTIVE)
    found: list[Any] = []
    theirs: dict[str, Any] = {}
    for _ in range(_LOOKS):
        first = conn.execute(line, {"pipeline": pipeline, "now": now, "limit": limit}).all()
        theirs = _batches_of(conn, first)
        found = _wanted(conn, first, theirs, now)
        if found or not first:
            break
    picked = _alike(found)
    if picked:
        ids = [row.id for row in picked]
        conn.execute(_take(), {"ids": ids, "worker": worker, "lease_until": now + lease, "started_at": now})
        moved(conn, Counter(Move(row.batch_id, JobStatus.QUEUED, JobStatus.RUNNING) for row in picked))
    return [_claimed(row, theirs.get(row.batch_id)) for row in picked]


def _claimed(row: Any, batch: Any) -> Claimed:
    return Claimed(**{**row._mapping, "fence": row.fence + 1, "task": row.task if batch is None else batch.task})


def _batches_of(conn: sa.Connection, found: Sequence[Any]) -> dict[str, Any]:
    """Status and task of the batches that rows are of, by id."""
    ids = {row.batch_id for row in found if row.batch_id is not None}
    return {batch.id: batch for batch in conn.execute(_theirs(), {"ids": list(ids)})} if ids else {}


def _wanted(conn: sa.Connection, found: Sequence[Any], theirs: dict[str, Any], now: datetime) -> list[Any]:
    """Those whose batch nobody has canceled; the others end here, ahead of whoever cancels them piece by piece."""
    stopped = {batch_id for batch_id, batch in theirs.items() if batch.status == BatchStatus.CANCELING}
    if not stopped:
        return list(found)
    unwanted = [row for row in found if row.batch_id in stopped]
    end_rows(conn, unwanted, before=JobStatus.QUEUED, after=JobStatus.CANCELED, now=now)
    return [row for row in found if row.batch_id not in stopped]


@functools.cache
def _theirs() -> sa.Select[Any]:
    these = batches.c.id.in_(sa.bindparam("ids", expanding=True))
    return sa.select(batches.c.id, batches.c.status, batches.c.task).where(these)


def any_waiting(conn: sa.Connection, pipeline: str, *, now: datetime) -> bool:
    """Whether a claim would find rows: a look that waits for no writer and stops none."""
    return conn.execute(_any(), {"pipeline": pipeline, "now": now}).first() is not None


@functools.cache
def _any() -> sa.Select[Any]:
    waits = (jobs.c.pipeline == sa.bindparam("pipeline"), _QUEUED, jobs.c.available_at <= sa.bindparam("now"))
    # In the order of their turn, which is that of an index: in none, PostgreSQL reads the table from its beginning
    # where most rows were in line when it last looked, and at the end of a file that is all of it.
    return sa.select(sa.literal(1)).where(*waits).order_by(*_TURN).limit(1)


def _alike(found: Sequence[Any]) -> list[Any]:
    """The row whose turn it is decides: healthy rows never share a forward pass with a suspect."""
    if not found:
        return []
    group = found[0].max_group
    return [row for row in found if row.max_group == group][:group]


@functools.cache
def _line(*, people_only: bool) -> sa.Select[Any]:
    """Rows in the order of their turn. Built once: building it takes longer than running it."""
    line = (
        sa.select(
            jobs.c.id, jobs.c.pipeline, jobs.c.fence, jobs.c.priority, jobs.c.batch_id, job_data.c.inputs,
            job_data.c.parameters, jobs.c.expires_at, jobs.c.max_group, jobs.c.webhook, job_data.c.task,
        )
        .join(job_data, job_data.c.job_id == jobs.c.id)
        .where(jobs.c.pipeline == sa.bindparam("pipeline"), _QUEUED, jobs.c.available_at <= sa.bindparam("now"))
        # A late row is the sweep's to end, and nobody's to begin.
        .where(sa.or_(jobs.c.expires_at.is_(None), jobs.c.expires_at > sa.bindparam("now")))
        .order_by(*_TURN)
        .limit(sa.bindparam("limit", type_=sa.Integer))
        .with_for_update(skip_locked=True, of=jobs)
    )  # fmt: skip
    return line.where(jobs.c.priority == PRIORITY_RANK[Priority.INTERACTIVE]) if people_only else line


@functools.cache
def _take() -> sa.Update:
    return (
        sa.update(jobs)
        .where(jobs.c.id.in_(sa.bindparam("ids", expanding=True)))
        .values(
            status=JobStatus.RUNNING.value,
            attempts=jobs.c.attempts + 1,
            fence=jobs.c.fence + 1,
            worker=sa.bindparam("worker"),
            lease_until=sa.bindparam("lease_until"),
            started_at=sa.bindparam("started_at"),
        )
    )


def renew(conn: sa.Connection, worker: str, *, until: datetime, ending_by: datetime) -> int:
    """Extend those leases of a worker's rows that end by a moment; how many those are.

    Not every row's at every heartbeat: most are over before their first lease is old, and whoever records them waits
    for their renewal. Nor does this wait for him: each would have some of the rows the other wants, and PostgreSQL
    takes a second to see that. A row that is being recorded needs no lease; if it is not after all, the next
    heartbeat finds it.
    """
    old = sa.select(jobs.c.id).where(jobs.c.worker == worker, _RUNNING, jobs.c.lease_until <= ending_by)
    these = jobs.c.id.in_(old.with_for_update(skip_locked=True))
    return conn.execute(sa.update(jobs).where(these, HELD).values(lease_until=until)).rowcount


def still_mine(conn: sa.Connection, rows: Sequence[Claimed]) -> set[str]:
    """Ids of those rows nobody canceled, expired or took over since they were claimed."""
    if not rows:
        return set()
    query = sa.select(jobs.c.id, jobs.c.fence).where(jobs.c.id.in_([row.id for row in rows]), HELD)
    mine = {row.id: row.fence for row in rows}
    return {job_id for job_id, fence in conn.execute(query) if mine[job_id] == fence}


def release(conn: sa.Connection, rows: Sequence[Claimed]) -> int:
    """Give rows back untouched, to their old place in line: the slice is over, or the worker stops."""
    # A row that nobody baked was not tried; its fence stays as it is all the same.
    values = {"attempts": jobs.c.attempts - 1, "worker": None, "lease_until": None, "started_at": None}
    return back_in_line(conn, ((row.id, row.fence) for row in rows), values)


def back_in_line(conn: sa.Connection, rows: Iterable[tuple[str, int]], values: dict[str, Any]) -> int:
    """Queue those `(id, fence)` rows again that are still held with that fence; how many those are."""
    moves: Counter[Move] = Counter()
    for fence, ids in by_fence(rows).items():
        back = (
            sa.update(jobs)
            .where(jobs.c.id.in_(ids), jobs.c.fence == fence, HELD)
            .values(status=JobStatus.QUEUED.value, **values)
            .returning(jobs.c.batch_id)
        )
        moves.update(Move(batch_id, JobStatus.RUNNING, JobStatus.QUEUED) for batch_id in conn.scalars(back))
    moved(conn, moves)
    return moves.total()


def by_fence(pairs: Iterable[tuple[str, int]]) -> dict[int, list[str]]:
    """Ids grouped by fence: nearly always one group, so that one statement serves all rows."""
    groups: dict[int, list[str]] = {}
    for job_id, fence in pairs:
        groups.setdefault(fence, []).append(job_id)
    return groups
