"""Fills a migrated PostgreSQL with jobs as batches and forms leave them; the database makes the rows itself."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import sqlalchemy as sa

from contract.pipelines import PipelineSpec
from contract.times import utc_now
from models.pipelines import sync_pipelines

PIPELINE = "fake"
#: Of all rows: in batches that are over, in one that waits, and jobs of forms and programs.
_FINISHED, _WAITING = 0.90, 0.07
_BATCHES = 10
_PIECE = 500_000
#: One in so many rows of a batch failed.
_FAILED = 1_000


@dataclasses.dataclass(frozen=True)
class Filled:
    """What there is, for whoever looks. Batches are called b00, b01 … in the order of their time."""

    finished: list[str]
    rows_each: int
    waiting: str
    waiting_rows: int
    single: int


def fill(engine: sa.Engine, rows: int) -> Filled:
    """`rows` jobs; statistics are taken and the tables vacuumed, as they are after a night."""
    each, waiting = int(rows * _FINISHED) // _BATCHES, int(rows * _WAITING)
    single = rows - each * _BATCHES - waiting
    sync_pipelines(engine, [PipelineSpec(PIPELINE, "text-classification", backend="fake")], utc_now())
    names = [f"b{number:02}" for number in range(_BATCHES + 1)]
    for place, name in enumerate(names):
        is_over = place < _BATCHES
        _batch(engine, name, place, each if is_over else waiting, is_over=is_over)
    _jobs(engine, None, _BATCHES + 1, single, status="'succeeded'", priority=0)
    _jobs(engine, None, _BATCHES + 2, 20, status="'queued'", priority=0)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.exec_driver_sql("VACUUM ANALYZE")
        conn.exec_driver_sql("CHECKPOINT")
    return Filled(names[:_BATCHES], each, names[-1], waiting, single)


def _batch(engine: sa.Engine, name: str, place: int, rows: int, *, is_over: bool) -> None:
    created = utc_now() - timedelta(days=30 - place)
    tally = {"succeeded": rows - rows // _FAILED, "failed": rows // _FAILED} if is_over else {"queued": rows}
    zero = dict.fromkeys(("queued", "running", "succeeded", "failed", "canceled", "expired"), 0)
    with engine.begin() as conn:
        conn.execute(
            sa.text("INSERT INTO files VALUES (:id, 'rows.csv', 'text/csv', 9, :created, false)"),
            {"id": f"f{name}", "created": created},
        )
        conn.execute(
            sa.text(
                "INSERT INTO batches (id, pipeline, status, filename, file_id, mapping, on_invalid_rows, parameters,"
                " total, invalid, errors, cursor, cursor_version, ingested, created_at, started_at, finished_at)"
                " VALUES (:id, :pipeline, :status, 'rows.csv', :file, '{}', 'skip', '{}', :rows, 0, '[]', :cursor, 9,"
                " true, :created, :created, :finished)"
            ),
            {
                "id": name, "pipeline": PIPELINE, "status": "completed" if is_over else "running", "file": f"f{name}",
                "rows": rows, "created": created, "finished": created if is_over else None,
                "cursor": f'{{"phase":"insert","offset":9,"line":9,"row":{rows},"invalid":0}}',
            },
        )  # fmt: skip
        columns = ", ".join(zero)
        values = ", ".join(f":{status}" for status in zero)
        conn.execute(
            sa.text(f"INSERT INTO batch_counts (batch_id, part, {columns}) VALUES (:id, 0, {values})"),
            {"id": name, **zero, **tally},
        )
    status = f"CASE WHEN n % {_FAILED} = 7 THEN 'failed' ELSE 'succeeded' END" if is_over else "'queued'"
    _jobs(engine, name, place, rows, status=status, priority=1)


def _jobs(engine: sa.Engine, batch: str | None, place: int, rows: int, *, status: str, priority: int) -> None:
    for first in range(0, rows, _PIECE):
        with engine.begin() as conn:
            # What the rows refer to is there: a check of each would take as long as the rest.
            conn.exec_driver_sql("SET LOCAL session_replication_role = replica")
            conn.exec_driver_sql("SET LOCAL synchronous_commit = off")
            for statement in _statements(batch, place, status, priority):
                conn.execute(sa.text(statement), {"first": first, "last": min(rows, first + _PIECE) - 1})


def _statements(batch: str | None, place: int, status: str, priority: int) -> list[str]:
    milliseconds = int((utc_now() - timedelta(days=30 - place)).timestamp() * 1000)
    # Sorted by time in front, random behind, as ours are.
    job_id = (
        f"lpad(to_hex({milliseconds} + n / 40), 12, '0') || '7' || lpad(to_hex(n % 40), 3, '0')"
        f" || left(md5(cast(n AS text) || '{place}'), 16)"
    )
    created = f"to_timestamp({milliseconds / 1000})"
    batch_id, row = (f"'{batch}'", "n") if batch else ("NULL", "NULL")
    available = created if batch else f"{created} + n * interval '1 millisecond'"
    numbers = "generate_series(cast(:first AS bigint), cast(:last AS bigint)) AS n"
    over = f"{status} <> 'queued'"
    failed = f"CASE WHEN {status} = 'failed' THEN"
    in_jobs = (
        "INSERT INTO jobs (id, pipeline, batch_id, row, line, status, priority, available_at, attempts, fence,"
        " crashes, created_at, started_at, finished_at, error_code, error_message, queue_seconds, load_seconds,"
        f" inference_seconds) SELECT {job_id}, '{PIPELINE}', {batch_id}, {row}, {row} + 2, {status}, {priority},"
        f" {available}, 1, 1, 0, {created}, {created}, CASE WHEN {over} THEN {created} END,"
        f" {failed} 'inference_failed' END, {failed} 'It failed.' END, 1.5, 0, 0.01 FROM {numbers}"
    )
    in_data = (
        f"INSERT INTO job_data (job_id, inputs, parameters) SELECT {job_id},"
        " '{\"text\"\\:\"a review of some words, number ' || n || '\"}', '{}' FROM " + numbers
    )
    in_results = (
        f"INSERT INTO job_results (job_id, body, model) SELECT {job_id},"
        ' \'[{"label"\\:"even","score"\\:0.75},{"label"\\:"odd","score"\\:0.25}]\','
        ' \'{"id"\\:"fake","commit"\\:"fake","dtype"\\:"none","backend"\\:"fake"}\''
        f" FROM {numbers} WHERE {status} = 'succeeded'"
    )
    return [in_jobs, in_data, in_results]
