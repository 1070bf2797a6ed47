"""How many rows of a batch are in which status, counted as they move: a poll adds up a few numbers, not the rows.

Whoever moves rows adds the move here in the same transaction, so that a crash takes both or neither. Each process has
a part of its own to add to, and a poll sums them: there is no row that every worker waits for.
"""

from __future__ import annotations

import functools
import os
from collections import Counter
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from contract.statuses import JobStatus
from models.tables import BATCH_OPEN, batch_counts, batches, jobs

#: Parts of a batch's counts at most. Two processes that share one wait for each other's commit, nothing more.
PARTS = 16
_STATUSES = [status.value for status in JobStatus]


class Move(NamedTuple):
    """What happened to a row: it went from a status (None: it is new) to another. No batch: nobody counts it."""

    batch_id: str | None
    before: JobStatus | None
    after: JobStatus


def moved(conn: sa.Connection, moves: Counter[Move]) -> None:
    """Count moves. The last thing in a transaction that does it: nobody should wait for rows while holding counts."""
    changes: dict[str, Counter[str]] = {}
    for (batch_id, before, after), rows in moves.items():
        if batch_id is not None and rows:
            change = changes.setdefault(batch_id, Counter())
            change[after.value] += rows
            if before is not None:
                change[before.value] -= rows
    # In one order, so that two transactions with the same batches do not wait for each other crosswise.
    for batch_id in sorted(changes):
        change = changes[batch_id]
        here = {"batch_id": batch_id, "part": _part(conn)}
        conn.execute(_add(conn.dialect.name), {**here, **{status: change[status] for status in _STATUSES}})


def count(conn: sa.Connection, batch_id: str) -> dict[str, int | None]:
    """Rows by status, with `total` and `invalid`, all of one moment."""
    found = conn.execute(_SUM, {"batch_id": batch_id}).one()
    return {name: None if value is None else int(value) for name, value in found._mapping.items()}


@functools.cache
def _add(dialect: str) -> Any:
    """Built once: building it takes longer than running it."""
    new: Any = (postgresql.insert if dialect == "postgresql" else sqlite.insert)(batch_counts)
    sums = {status: batch_counts.c[status] + new.excluded[status] for status in _STATUSES}
    return new.on_conflict_do_update(index_elements=["batch_id", "part"], set_=sums)


# One statement is one moment on PostgreSQL too: counts of two moments need not add up.
_SUM = (
    sa.select(
        batches.c.total,
        *(sa.func.coalesce(sa.func.sum(batch_counts.c[status]), 0).label(status) for status in _STATUSES),
        batches.c.invalid,
    )
    .select_from(batches.outerjoin(batch_counts, batch_counts.c.batch_id == batches.c.id))
    .where(batches.c.id == sa.bindparam("batch_id"))
    .group_by(batches.c.id, batches.c.total, batches.c.invalid)
)


def _part(conn: sa.Connection) -> int:
    # SQLite has one writer at a time anyway.
    return os.getpid() % PARTS if conn.dialect.name == "postgresql" else 0


def count_open(conn: sa.Connection) -> dict[str, dict[str, int]]:
    """Queued and running jobs by pipeline: those of files as they are counted, the others one by one."""
    found: dict[str, Counter[str]] = {}
    for pipeline, queued, running in conn.execute(_OPEN_OF_FILES):
        found.setdefault(pipeline, Counter()).update(queued=int(queued), running=int(running))
    for pipeline, status, jobs_there in conn.execute(_OPEN_SINGLE):
        found.setdefault(pipeline, Counter())[status] += jobs_there
    return {pipeline: dict(+counts) for pipeline, counts in found.items() if counts.total()}


_OPEN_OF_FILES = (
    sa.select(batches.c.pipeline, sa.func.sum(batch_counts.c.queued), sa.func.sum(batch_counts.c.running))
    .join(batch_counts, batch_counts.c.batch_id == batches.c.id)
    .where(BATCH_OPEN)
    .group_by(batches.c.pipeline)
)
_OPEN_SINGLE = (
    sa.select(jobs.c.pipeline, jobs.c.status, sa.func.count())
    .where(
        jobs.c.batch_id.is_(None),
        jobs.c.status.in_([sa.literal_column("'queued'"), sa.literal_column("'running'")]),
    )
    .group_by(jobs.c.pipeline, jobs.c.status)
)
