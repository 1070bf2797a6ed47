"""Submit: the row that is the promise. A 202 may be sent once this is committed, and not before."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from contract.errors import ErrorCode, RequestError
from contract.ids import new_id
from contract.jsons import canonical
from contract.statuses import PRIORITY_RANK, JobStatus, Priority
from models.tables import idempotency_keys, job_data, jobs
from models.webhooks import NewWebhook, add_webhooks

# Built once: a statement remembers what it was compiled to.
_INSERT_JOBS, _INSERT_DATA = sa.insert(jobs), sa.insert(job_data)


@dataclasses.dataclass(frozen=True)
class NewJob:
    pipeline: str
    inputs: Any
    parameters: dict[str, Any]
    priority: Priority = Priority.INTERACTIVE
    metadata: dict[str, Any] | None = None
    expires_at: datetime | None = None
    webhook: NewWebhook | None = None
    #: What its pipeline is for.
    task: str | None = None


@dataclasses.dataclass(frozen=True)
class Named:
    """A job under the id it will have."""

    id: str
    job: NewJob
    created_at: datetime


@dataclasses.dataclass(frozen=True)
class Submitted:
    job_id: str
    replayed: bool


def submit(
    conn: sa.Connection,
    job: NewJob,
    *,
    now: datetime,
    job_id: str | None = None,
    idempotency_key: str | None = None,
    request_body: Any = None,
) -> Submitted:
    """Insert one queued job, called `job_id` or by a fresh id; with a key seen before, answer the first job instead.

    Raises RequestError(idempotency_conflict) when the key came with another body.
    """
    job_id = job_id or new_id()
    insert_jobs(conn, [job_row(job, job_id, now)], [data_row(job, job_id)])
    add_webhooks(conn, [(job_id, job.webhook)])
    if idempotency_key is None:
        return Submitted(job_id, replayed=False)
    digest = hashlib.sha256(canonical(request_body).encode()).hexdigest()
    if _take_key(conn, idempotency_key, digest, job_id, now):
        return Submitted(job_id, replayed=False)
    # Somebody was first, a moment ago or yesterday: their job is the job, and ours never was.
    conn.execute(sa.delete(jobs).where(jobs.c.id == job_id))
    return _first_with(conn, idempotency_key, digest)


def submit_all(conn: sa.Connection, named: Sequence[Named]) -> None:
    """Insert queued jobs, all or none."""
    insert_jobs(
        conn,
        [job_row(one.job, one.id, one.created_at) for one in named],
        [data_row(one.job, one.id) for one in named],
    )
    add_webhooks(conn, [(one.id, one.job.webhook) for one in named])


def job_row(job: NewJob, job_id: str, now: datetime, **more: Any) -> dict[str, Any]:
    return {
        "id": job_id,
        "pipeline": job.pipeline,
        "status": JobStatus.QUEUED.value,
        "priority": PRIORITY_RANK[job.priority],
        "available_at": now,
        "attempts": 0,
        "fence": 0,
        "crashes": 0,
        "created_at": now,
        "expires_at": job.expires_at,
        "webhook": job.webhook is not None,
        **more,
    }


def data_row(job: NewJob, job_id: str) -> dict[str, Any]:
    sent = {"inputs": job.inputs, "parameters": job.parameters, "metadata": job.metadata}
    return {"job_id": job_id, **sent, "task": job.task}


def insert_jobs(conn: sa.Connection, rows: list[dict[str, Any]], data: list[dict[str, Any]]) -> None:
    if rows:
        conn.execute(_INSERT_JOBS, rows)
        conn.execute(_INSERT_DATA, data)


def _take_key(conn: sa.Connection, key: str, digest: str, job_id: str, now: datetime) -> bool:
    """Insert the key unless it is taken. On PostgreSQL this waits for a rival that has not committed yet."""
    insert = postgresql.insert if conn.dialect.name == "postgresql" else sqlite.insert
    statement = insert(idempotency_keys).values(key=key, digest=digest, job_id=job_id, created_at=now)
    taken = statement.on_conflict_do_nothing(index_elements=["key"]).returning(idempotency_keys.c.key)
    return conn.execute(taken).first() is not None


def _first_with(conn: sa.Connection, key: str, digest: str) -> Submitted:
    table = idempotency_keys
    first = conn.execute(sa.select(table.c.job_id, table.c.digest).where(table.c.key == key)).one()
    if first.digest != digest:
        raise RequestError(
            ErrorCode.IDEMPOTENCY_CONFLICT,
            "This Idempotency-Key was used before with another request body. Take a new key.",
            field="Idempotency-Key",
        )
    return Submitted(first.job_id, replayed=True)
