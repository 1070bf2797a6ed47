"""Batches: the jobs accepted together from one upload, and how reading its file goes on after anything."""

from __future__ import annotations

import dataclasses
from collections import Counter
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from contract.ids import new_id
from contract.statuses import BATCH_OVER, JOB_RETRYABLE, BatchStatus, JobStatus, OnInvalidRows, Priority
from models.bulk import load
from models.counts import Move, count, moved
from models.submit import NewJob, job_row
from models.tables import BATCH_OPEN, NOT_SUCCEEDED, OPEN, batches, job_data, jobs, rejected_rows, row_ids
from models.webhooks import batch_goes_on, batch_is_over

ERRORS_SHOWN = 100
_IDS_ASKED = 5_000
#: Neither over nor canceled by anybody: its file may be read on.
READABLE = batches.c.status.in_([BatchStatus.VALIDATING.value, BatchStatus.RUNNING.value])
_HAS_OPEN = sa.select(sa.exists().where(jobs.c.batch_id == sa.bindparam("batch_id"), OPEN))


@dataclasses.dataclass(frozen=True)
class Cursor:
    """Where reading a file goes on: the piece before it is committed with it, or not at all."""

    #: check: first pass of on_invalid_rows=fail. insert: rows go into the queue.
    phase: str = "check"
    #: Byte after the last record read, its line number and how many data rows came before.
    offset: int = 0
    line: int = 1
    row: int = 0
    #: Invalid rows met so far in this phase.
    invalid: int = 0
    #: Reading was given up before the end of the file: its time was up, or the file cannot be read further.
    stopped: bool = False
    #: Of a dataset: where a new reader of it may begin (models.hub.stream.Stream.mark).
    mark: dict[str, Any] | None = None


@dataclasses.dataclass(frozen=True)
class Batch:
    id: str
    pipeline: str
    #: What its pipeline was for when it was sent; None: not known.
    task: str | None
    status: BatchStatus
    filename: str
    file_id: str
    format: str | None
    layout: dict[str, Any] | None
    mapping: dict[str, str | int]
    id_column: str | int | None
    on_invalid_rows: OnInvalidRows
    parameters: dict[str, Any]
    metadata: dict[str, Any] | None
    total: int | None
    invalid: int
    errors: list[dict[str, Any]]
    cursor: Cursor
    cursor_version: int
    ingested: bool
    tally: dict[str, int] | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None
    resumed_at: datetime | None
    resumed_with: int | None
    deleted_at: datetime | None


@dataclasses.dataclass(frozen=True)
class NewBatch:
    pipeline: str
    filename: str
    file_id: str
    parameters: dict[str, Any]
    mapping: dict[str, str | int]
    on_invalid_rows: OnInvalidRows = OnInvalidRows.FAIL
    id_column: str | int | None = None
    format: str | None = None
    metadata: dict[str, Any] | None = None
    expires_at: datetime | None = None
    #: What its pipeline is for.
    task: str | None = None


def create_batch(conn: sa.Connection, new: NewBatch, *, now: datetime, layout: dict[str, Any] | None = None) -> str:
    """Insert a batch whose file is stored; an `ingest` message, or the sweep, begins to read it.

    `layout`: how the file is laid out, where that is known before it is sniffed.
    """
    batch_id = new_id()
    phase = "check" if new.on_invalid_rows is OnInvalidRows.FAIL else "insert"
    conn.execute(
        sa.insert(batches).values(
            id=batch_id,
            status=BatchStatus.VALIDATING.value,
            invalid=0,
            errors=[],
            cursor=dataclasses.asdict(Cursor(phase=phase)),
            cursor_version=0,
            ingested=False,
            created_at=now,
            layout=layout,
            **dataclasses.asdict(new),
        )
    )
    return batch_id


def _batch(found: Any) -> Batch:
    values = dict(found._mapping)
    values["status"] = BatchStatus(values["status"])
    values["on_invalid_rows"] = OnInvalidRows(values["on_invalid_rows"])
    values["cursor"] = Cursor(**values["cursor"])
    return Batch(**values)


def find_batch(conn: sa.Connection, batch_id: str) -> Batch | None:
    """None for one that was deleted, too."""
    found = conn.execute(sa.select(batches).where(batches.c.id == batch_id, batches.c.deleted_at.is_(None))).first()
    return None if found is None else _batch(found)


def list_batches(conn: sa.Connection, *, limit: int, after: str | None = None) -> tuple[list[Batch], str | None]:
    """Newest first, and the id to go on after (None on the last page)."""
    query = sa.select(batches).where(batches.c.deleted_at.is_(None)).order_by(batches.c.id.desc()).limit(limit + 1)
    if after is not None:
        query = query.where(batches.c.id < after)
    found = [_batch(row) for row in conn.execute(query)]
    return found[:limit], (found[limit - 1].id if len(found) > limit else None)


def counts(conn: sa.Connection, batch: Batch) -> dict[str, int | None]:
    """Rows by status. They add up to `total` once that is known."""
    if batch.tally is not None:
        return {"total": batch.total, **batch.tally}
    return count(conn, batch.id)


def advance(conn: sa.Connection, batch: Batch, cursor: Cursor, **changes: Any) -> bool:
    """Move a batch's reading on, unless another reader or a cancel came first; then nothing may be written.

    Called before the piece's rows are inserted, in the same transaction.
    """
    return _moved_on(conn, batch, cursor, invalid=cursor.invalid, **changes)


def _moved_on(conn: sa.Connection, batch: Batch, cursor: Cursor, **changes: Any) -> bool:
    """Compare-and-set: only from where this reader found the batch, and only while it may be read."""
    unmoved = (batches.c.id == batch.id, batches.c.cursor_version == batch.cursor_version, READABLE)
    ahead = {"cursor": dataclasses.asdict(cursor), "cursor_version": batch.cursor_version + 1}
    return conn.execute(sa.update(batches).where(*unmoved).values(**ahead, **changes)).rowcount == 1


class BatchRow(NamedTuple):
    """A row of a file as it goes into the queue, under the id it will have."""

    job_id: str
    row: int
    line: int
    external_id: str | None
    inputs: Any
    parameters: dict[str, Any]


def add_rows(conn: sa.Connection, batch: Batch, rows: list[BatchRow], *, now: datetime) -> None:
    """Queue rows of a file; after `advance`, in its transaction."""
    job = NewJob(batch.pipeline, None, {}, Priority.BULK, None, batch.expires_at)
    # One turn for the whole file: its rows stay together, behind files that came before.
    same = job_row(job, "", now, available_at=batch.created_at, batch_id=batch.id)
    for name in ("id", "webhook"):
        same.pop(name)
    load(conn, jobs, ("id", "row", "line", "external_id"), (row[:4] for row in rows), **same)
    data = ((row.job_id, row.inputs, row.parameters) for row in rows)
    load(conn, job_data, ("job_id", "inputs", "parameters"), data)
    moved(conn, Counter({Move(batch.id, None, JobStatus.QUEUED): len(rows)}))


def reject_rows(conn: sa.Connection, rows: list[dict[str, Any]]) -> None:
    """Keep rows that were not taken: batch_id, row, line, external_id, code, message, input."""
    if rows:
        conn.execute(sa.insert(rejected_rows), rows)


def known_ids(conn: sa.Connection, batch_id: str, ids: list[str]) -> set[str]:
    """Those of `ids` that earlier pieces of the file have."""
    known: set[str] = set()
    for first in range(0, len(ids), _IDS_ASKED):
        some = row_ids.c.external_id.in_(ids[first : first + _IDS_ASKED])
        known.update(conn.scalars(sa.select(row_ids.c.external_id).where(row_ids.c.batch_id == batch_id, some)))
    return known


def keep_ids(conn: sa.Connection, batch_id: str, ids: list[str]) -> None:
    """Remember the ids of a piece; after `advance`, in its transaction."""
    load(conn, row_ids, ("external_id",), ((one,) for one in ids), batch_id=batch_id)


def refuse_batch(conn: sa.Connection, batch_id: str, errors: list[dict[str, Any]], *, now: datetime) -> bool:
    """The file as a whole is unusable: nothing of it runs."""
    refused = (
        sa.update(batches)
        .where(batches.c.id == batch_id, batches.c.status == BatchStatus.VALIDATING.value)
        .values(status=BatchStatus.FAILED.value, finished_at=now, ingested=True, errors=errors[:ERRORS_SHOWN])
    )
    if conn.execute(refused).rowcount != 1:
        return False
    batch_is_over(conn, batch_id, now=now)
    return True


def begin_cancel(conn: sa.Connection, batch_id: str) -> bool:
    """Stop reading and claiming for it; its rows are canceled in pieces after this is committed."""
    canceling = (
        sa.update(batches)
        .where(batches.c.id == batch_id, READABLE)
        .values(status=BatchStatus.CANCELING.value, cursor_version=batches.c.cursor_version + 1)
    )
    return conn.execute(canceling).rowcount == 1


def expire_batches(conn: sa.Connection, *, now: datetime) -> list[str]:
    """Stop reading files whose batch's time is up; the rows that are there expire by themselves."""
    late = sa.select(batches).where(READABLE, batches.c.expires_at <= now, ~batches.c.ingested)
    found = [_batch(row) for row in conn.execute(late)]
    return [batch.id for batch in found if stop_reading(conn, batch)]


def stop_reading(conn: sa.Connection, batch: Batch, *, errors: list[dict[str, Any]] | None = None) -> bool:
    """Give up the rest of a file; what was taken of it runs, and a retry reads on."""
    found = count(conn, batch.id)
    return _moved_on(
        conn,
        batch,
        dataclasses.replace(batch.cursor, stopped=True),
        ingested=True,
        total=batches.c.invalid + sum(found[status] or 0 for status in JobStatus),
        status=BatchStatus.RUNNING.value,
        # A retry may stop at the same place again.
        errors=(batch.errors + [one for one in errors or [] if one not in batch.errors])[:ERRORS_SHOWN],
    )


def close_if_over(conn: sa.Connection, batch_id: str, *, now: datetime) -> BatchStatus | None:
    """End a batch none of whose rows is open; the status it ended with, or None when it goes on."""
    batch = find_batch(conn, batch_id)
    if batch is None or batch.status in BATCH_OVER:
        return None
    canceling = batch.status is BatchStatus.CANCELING
    if not (batch.ingested or canceling):
        return None
    if conn.scalar(_HAS_OPEN, {"batch_id": batch_id}):
        return None
    tally = {name: value or 0 for name, value in count(conn, batch_id).items() if name != "total"}
    late = batch.cursor.stopped and batch.expires_at is not None and batch.expires_at <= now
    status = _final_status(tally, canceling=canceling, late=late)
    total = sum(tally.values())
    closed = (
        sa.update(batches)
        .where(batches.c.id == batch_id, batches.c.status == batch.status.value)
        .values(status=status.value, finished_at=now, tally=tally, total=total)
    )
    if not conn.execute(closed).rowcount:
        return None
    batch_is_over(conn, batch_id, now=now)
    return status


def _final_status(tally: dict[str, int], *, canceling: bool, late: bool) -> BatchStatus:
    if canceling:
        return BatchStatus.CANCELED
    return BatchStatus.EXPIRED if late or tally[JobStatus.EXPIRED] else BatchStatus.COMPLETED


def retry(conn: sa.Connection, batch: Batch, *, now: datetime) -> int:
    """Queue the rows that did not succeed again, into the same batch; how many those are. Finished rows stay."""
    if batch.status not in BATCH_OVER or batch.status is BatchStatus.FAILED or not _holds(conn, batch):
        return 0
    moves = Counter({Move(batch.id, was, JobStatus.QUEUED): _reopen(conn, batch, was, now) for was in JOB_RETRYABLE})
    queued = moves.total()
    ingested = batch.ingested and not batch.cursor.stopped
    if queued or not ingested:
        # A batch canceled or expired while its file was read goes on reading where it stopped.
        status = BatchStatus.RUNNING if ingested or batch.cursor.phase == "insert" else BatchStatus.VALIDATING
        conn.execute(
            sa.update(batches)
            .where(batches.c.id == batch.id)
            .values(
                status=status.value, tally=None, finished_at=None, expires_at=None, ingested=ingested,
                resumed_at=now, resumed_with=(batch.tally or {}).get(JobStatus.SUCCEEDED.value, 0),
                cursor=dataclasses.asdict(dataclasses.replace(batch.cursor, stopped=False)),
                cursor_version=batches.c.cursor_version + 1, total=batch.total if ingested else None,
            )
        )  # fmt: skip
        batch_goes_on(conn, batch.id)
    moved(conn, moves)
    return queued


def _holds(conn: sa.Connection, batch: Batch) -> bool:
    """Whether it still is, and stays, as it was seen: of two retries the second would set the cursor back."""
    seen = batches.c.id == batch.id, batches.c.cursor_version == batch.cursor_version
    held = sa.select(batches.c.id).where(*seen, batches.c.status == batch.status.value)
    return conn.scalar(held.with_for_update(key_share=True)) is not None


def _reopen(conn: sa.Connection, batch: Batch, was: JobStatus, now: datetime) -> int:
    again = (
        sa.update(jobs)
        .where(jobs.c.batch_id == batch.id, jobs.c.status == was.value, NOT_SUCCEEDED)
        .values(
            status=JobStatus.QUEUED.value, available_at=now, crashes=0, max_group=None, started_at=None,
            finished_at=None, expires_at=None, error_code=None, error_message=None, queue_seconds=None,
            load_seconds=None, inference_seconds=None,
        )
    )  # fmt: skip
    return conn.execute(again).rowcount


def open_batches(conn: sa.Connection) -> list[tuple[str, BatchStatus, bool]]:
    """`(id, status, ingested)` of every batch that is not over: what upkeep looks at."""
    query = sa.select(batches.c.id, batches.c.status, batches.c.ingested).where(BATCH_OPEN)
    return [(row.id, BatchStatus(row.status), row.ingested) for row in conn.execute(query)]
