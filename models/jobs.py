"""Jobs as records: find one, list them newest first, remove one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from contract.statuses import JOB_RETRYABLE, PRIORITY_RANK, JobStatus, Priority
from models.job_files import delete_jobs
from models.tables import ENDED_BADLY, NOT_SUCCEEDED, batches, job_data, job_results, jobs
from models.vectors import unpack

_PRIORITIES = {rank: priority for priority, rank in PRIORITY_RANK.items()}


@dataclasses.dataclass(frozen=True)
class Job:
    id: str
    pipeline: str
    #: What its pipeline was for when it was sent; None: not known.
    task: str | None
    status: JobStatus
    priority: Priority
    inputs: Any
    parameters: dict[str, Any]
    metadata: dict[str, Any] | None
    result: Any
    model: dict[str, Any] | None
    error_code: str | None
    error_message: str | None
    batch_id: str | None
    row: int | None
    line: int | None
    external_id: str | None
    attempts: int
    available_at: datetime
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None
    queue_seconds: float | None
    load_seconds: float | None
    inference_seconds: float | None
    webhook: bool


@dataclasses.dataclass(frozen=True)
class Page:
    """One page of a list; `next_cursor` is the id (or row) to go on after, None on the last page."""

    items: list[Job]
    next_cursor: str | None


_OWN = (
    "id", "pipeline", "status", "batch_id", "row", "line", "external_id", "attempts", "available_at", "created_at",
    "started_at", "finished_at", "expires_at", "error_code", "error_message", "queue_seconds", "load_seconds",
    "inference_seconds", "priority", "webhook",
)  # fmt: skip
# No join: it changes nothing of how the others are planned.
_TASK_OF_BATCH = sa.select(batches.c.task).where(batches.c.id == jobs.c.batch_id).scalar_subquery()
_TASK = sa.func.coalesce(job_data.c.task, _TASK_OF_BATCH)
_SELECT = (
    sa.select(
        *(jobs.c[name] for name in _OWN),
        _TASK.label("task"),
        job_data.c.inputs,
        job_data.c.parameters,
        job_data.c.metadata,
        job_results.c.body,
        job_results.c.vector,
        job_results.c.model,
    )
    .join(job_data, job_data.c.job_id == jobs.c.id)
    .outerjoin(job_results, job_results.c.job_id == jobs.c.id)
)


# Built once: a statement remembers what it was compiled to, and building one takes longer than running it.
_ONE = _SELECT.where(jobs.c.id == sa.bindparam("job_id"))
_SOME = _SELECT.where(jobs.c.id.in_(sa.bindparam("ids", expanding=True)))
_STATUS = sa.select(jobs.c.status).where(jobs.c.id == sa.bindparam("job_id"))


def _job(found: Any) -> Job:
    values = dict(found._mapping)
    body, vector = values.pop("body"), values.pop("vector")
    values["status"] = JobStatus(values["status"])
    values["priority"] = _PRIORITIES[values["priority"]]
    return Job(**values, result=unpack(body, vector))


def find_job(conn: sa.Connection, job_id: str) -> Job | None:
    found = conn.execute(_ONE, {"job_id": job_id}).first()
    return None if found is None else _job(found)


def find_jobs(conn: sa.Connection, ids: Sequence[str]) -> dict[str, Job]:
    """Those of `ids` that there are, by id."""
    found = conn.execute(_SOME, {"ids": list(ids)})
    return {job.id: job for job in map(_job, found)}


def recent_inputs(conn: sa.Connection, pipeline: str, task: str, *, limit: int) -> list[Any]:
    """What a pipeline was sent last and answered, newest first; nothing that was sent for another task."""
    query = (
        sa.select(job_data.c.inputs, _TASK.label("task"))
        .join(jobs, jobs.c.id == job_data.c.job_id)
        .where(jobs.c.pipeline == pipeline, jobs.c.status == JobStatus.SUCCEEDED.value)
        .order_by(jobs.c.id.desc())
        .limit(limit)
    )
    return [row.inputs for row in conn.execute(query) if row.task in (None, task)]


def find_status(conn: sa.Connection, job_id: str) -> JobStatus | None:
    """The status alone: what a waiting request looks at again and again."""
    status = conn.scalar(_STATUS, {"job_id": job_id})
    return None if status is None else JobStatus(status)


def list_jobs(
    conn: sa.Connection,
    *,
    limit: int,
    after: str | None = None,
    pipeline: str | None = None,
    status: JobStatus | None = None,
    batch_id: str | None = None,
    single: bool = False,
) -> Page:
    """Newest first; `after` is the id of the last job of the page before. `single`: no rows of batches."""
    query = sa.select(jobs.c.id).order_by(jobs.c.id.desc()).limit(limit + 1)
    if after is not None:
        query = query.where(jobs.c.id < after)
    if pipeline is not None:
        query = query.where(jobs.c.pipeline == pipeline)
    if status is not None:
        # In words, as the indexes of what runs say it: there may be none among millions.
        query = query.where(jobs.c.status == sa.literal_column(f"'{status.value}'"))
        if status in JOB_RETRYABLE:
            query = query.where(ENDED_BADLY)
    if batch_id is not None:
        query = query.where(jobs.c.batch_id == batch_id)
    if single:
        query = query.where(jobs.c.batch_id.is_(None))
    # Which they are, and only then what they hold: joined at once, PostgreSQL has gone through all newer rows of the
    # other tables to come to the first of a page.
    page = _SELECT.where(jobs.c.id.in_(sa.select(query.subquery().c.id))).order_by(jobs.c.id.desc())
    found = [_job(row) for row in conn.execute(page)]
    more = len(found) > limit
    return Page(found[:limit], found[limit - 1].id if more else None)


def list_batch_jobs(
    conn: sa.Connection, batch_id: str, *, limit: int, after_row: int = -1, status: JobStatus | None = None
) -> Page:
    """The rows of a batch in the order of its file; `after_row` is the last row of the page before."""
    query = _SELECT.where(jobs.c.batch_id == batch_id, jobs.c.row > after_row).order_by(jobs.c.row).limit(limit + 1)
    if status is not None:
        query = query.where(jobs.c.status == status.value)
        if status is not JobStatus.SUCCEEDED:
            # An index of its own finds the few among a million.
            query = query.where(NOT_SUCCEEDED)
    found = [_job(row) for row in conn.execute(query)]
    more = len(found) > limit
    return Page(found[:limit], str(found[limit - 1].row) if more else None)


def delete_job(conn: sa.Connection, job_id: str) -> list[str] | None:
    """Remove a terminal job with what it was sent and what came back; None while it is open.

    The answer names files that nobody needs any more: their bytes go after the commit.
    """
    over = jobs.c.status.not_in(["queued", "running"])
    count, files = delete_jobs(conn, sa.and_(jobs.c.id == job_id, over))
    return files if count else None
