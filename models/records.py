"""Records: how a claimed row ends. Each is written once, by whoever holds its fence.

Zero rows updated means that the row was canceled, expired or taken over meanwhile: a normal answer, and the
outcome is dropped.
"""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from contract.errors import ErrorCode
from contract.statuses import JobStatus
from models.bulk import load
from models.claims import HELD, by_fence
from models.counts import Move, moved
from models.tables import job_results, jobs
from models.vectors import pack
from models.webhooks import job_is_over


@dataclasses.dataclass(frozen=True)
class Success:
    job_id: str
    fence: int
    result: Any


@dataclasses.dataclass(frozen=True)
class Failure:
    job_id: str
    fence: int
    code: ErrorCode
    message: str


@dataclasses.dataclass(frozen=True)
class Timing:
    """Seconds, measured where they passed; one for all rows of a microbatch."""

    load: float
    inference: float


_FREE = {"worker": None, "lease_until": None}


def finish(
    conn: sa.Connection, rows: Sequence[Success], *, model: dict[str, Any], timing: Timing, now: datetime
) -> set[str]:
    """Record results; the ids of those rows that were still ours to record."""
    recorded: dict[str, str | None] = {}
    # A row may be here twice, with an old fence and its newest: only what was made under the newest is its result.
    fences: dict[str, int] = {}
    for fence, ids in by_fence((row.job_id, row.fence) for row in rows).items():
        values = {"ids": ids, "mine": fence, "now": now, "load": timing.load, "inference": timing.inference}
        ended = conn.execute(_finish(conn.dialect.name), values).all()
        recorded.update((row.id, row.batch_id) for row in ended)
        fences.update((row.id, fence) for row in ended)
        job_is_over(conn, ended, now=now)
    results = ((row.job_id, *pack(row.result)) for row in rows if fences.get(row.job_id) == row.fence)
    load(conn, job_results, ("job_id", "body", "vector"), results, model=model)
    _count(conn, recorded, JobStatus.SUCCEEDED)
    return set(recorded)


def _count(conn: sa.Connection, recorded: dict[str, str | None], status: JobStatus) -> None:
    moved(conn, Counter(Move(batch_id, JobStatus.RUNNING, status) for batch_id in recorded.values()))


@functools.cache
def _finish(dialect: str) -> sa.UpdateBase:
    """Built once: building it takes longer than running it."""
    return (
        sa.update(jobs)
        .where(jobs.c.id.in_(sa.bindparam("ids", expanding=True)), jobs.c.fence == sa.bindparam("mine"), HELD)
        .values(
            status=JobStatus.SUCCEEDED.value,
            error_code=None,
            finished_at=sa.bindparam("now", type_=jobs.c.finished_at.type),
            queue_seconds=seconds_from(dialect, jobs.c.created_at, jobs.c.started_at),
            load_seconds=sa.bindparam("load", type_=sa.Float),
            inference_seconds=sa.bindparam("inference", type_=sa.Float),
            **_FREE,
        )
        .returning(jobs.c.id, jobs.c.batch_id, jobs.c.webhook)
    )


def fail(conn: sa.Connection, rows: Sequence[Failure], *, timing: Timing, now: datetime) -> set[str]:
    """Record why rows failed; the ids of those that were still ours to record."""
    recorded: dict[str, str | None] = {}
    for row in rows:
        failed = (
            sa.update(jobs)
            .where(jobs.c.id == row.job_id, jobs.c.fence == row.fence, HELD)
            .values(
                status=JobStatus.FAILED.value,
                **_ended(conn, timing, now),
                error_code=row.code.value,
                error_message=row.message,
            )
            .returning(jobs.c.id, jobs.c.batch_id, jobs.c.webhook)
        )
        ended = conn.execute(failed).all()
        recorded.update((found.id, found.batch_id) for found in ended)
        job_is_over(conn, ended, now=now)
    _count(conn, recorded, JobStatus.FAILED)
    return set(recorded)


def _ended(conn: sa.Connection, timing: Timing, now: datetime) -> dict[str, Any]:
    return {
        "finished_at": now,
        "queue_seconds": seconds_from(conn.dialect.name, jobs.c.created_at, jobs.c.started_at),
        "load_seconds": timing.load,
        "inference_seconds": timing.inference,
        **_FREE,
    }


def seconds_from(dialect: str, start: Any, end: Any) -> sa.ColumnElement[float]:
    """SQL for the seconds between two time columns."""
    if dialect == "sqlite":
        days = sa.func.julianday(end) - sa.func.julianday(start)
        return sa.func.max(0.0, sa.func.round(days * 86_400.0, 4))
    return sa.func.greatest(0.0, sa.extract("epoch", end - start))
