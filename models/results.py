"""Results and errors of a batch as files: its upload read again, row by row beside what became of each.

Everything here is generators over pages: memory stays the same for any size, and no transaction is held open while
a slow caller downloads.
"""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from contract.errors import ErrorCode, FournilError
from contract.jsons import dumps
from contract.statuses import JOB_OVER, JobStatus
from contract.tasks import Task
from models.batches import Batch, find_batch
from models.database import reading
from models.jobs import Job, list_batch_jobs
from models.outcomes import RowOutcome, outcomes, rejected
from models.sheets import formats
from models.sheets.export import BY_ROW, written
from models.sheets.layout import TEXTS, Layout, columns_of
from models.sheets.table import Joined, Table
from models.vectors import unpack

Item = TypeVar("Item")
INVALID = "invalid"
STATUSES = (*sorted(status.value for status in JOB_OVER), INVALID)
_PAGE = 1_000
_SMALL_PAGE = 200


def results(
    engine: sa.Engine,
    path: Path,
    batch: Batch,
    task: Task | None,
    *,
    format: str,
    columns: str | None = None,
    statuses: frozenset[str] | None = None,
    from_row: int = 0,
    numbered: bool = False,
) -> Iterator[bytes]:
    """The rows that are over, in the order of the file, from `from_row` on.

    `task`: what the batch was sent for; None where nobody knows it any more.

    `numbered`: where a row can be told from the next one (BY_ROW), it begins with its number.
    An unknown column raises RequestError before any byte.
    """
    layout = Layout.from_dict(batch.layout) if batch.layout else None
    texts = layout is not None and layout.format in TEXTS
    table = Table(task, layout.columns if layout else [], format=format, texts=texts)
    chosen = table.choose(columns)
    if numbered and format in BY_ROW:
        chosen = [table.number, *chosen]
    wanted = frozenset(STATUSES) if statuses is None else statuses

    def rows() -> Iterator[Joined]:
        over = _over(engine, batch.id, wanted, from_row)
        if layout is not None and table.needs_file(chosen):
            over = _with_inputs(over, path, layout)
        return _whole(engine, batch.id, over)

    return written(format, chosen, _Again(rows), folder=path.parent, headed=not from_row)


class _Again(Iterable[Joined]):
    """Rows that may be gone through more than once."""

    def __init__(self, rows: Callable[[], Iterator[Joined]]) -> None:
        self._rows = rows

    def __iter__(self) -> Iterator[Joined]:
        return self._rows()


def _whole(engine: sa.Engine, batch_id: str, items: Iterator[Item]) -> Iterator[Item]:
    """All of them, or an error: rows that are deleted meanwhile would make a shorter file that looks whole."""
    try:
        yield from items
    except FileNotFoundError:
        _refuse_deleted(engine, batch_id)
        raise
    # Last, for a batch is out of sight before the first of its rows goes.
    _refuse_deleted(engine, batch_id)


def _refuse_deleted(engine: sa.Engine, batch_id: str) -> None:
    with reading(engine) as conn:
        if find_batch(conn, batch_id) is None:
            raise FournilError(ErrorCode.NOT_FOUND, "The batch was deleted while it was downloaded.")


def _over(engine: sa.Engine, batch_id: str, wanted: frozenset[str], from_row: int) -> Iterator[Joined]:
    jobs = frozenset(JobStatus(status) for status in wanted if status != INVALID)
    sources = [_ended(engine, batch_id, jobs, from_row)] if jobs else []
    if INVALID in wanted:
        sources.append(_invalid(engine, batch_id, from_row))
    return heapq.merge(*sources, key=lambda joined: joined.row)


def _ended(engine: sa.Engine, batch_id: str, statuses: frozenset[JobStatus], from_row: int) -> Iterator[Joined]:
    def page(after: int) -> list[RowOutcome]:
        with reading(engine) as conn:
            return outcomes(conn, batch_id, after_row=after, limit=_PAGE, statuses=statuses)

    return map(_joined, _pages(page, lambda outcome: outcome.row, _PAGE, from_row))


def _joined(found: RowOutcome) -> Joined:
    error = {"code": found.error_code, "message": found.error_message or ""} if found.error_code else None
    vector = None if found.vector is None else unpack(None, found.vector)
    succeeded = found.status is JobStatus.SUCCEEDED
    body = found.body if succeeded else None
    return Joined(found.row, found.external_id, {}, found.status.value, body, vector if succeeded else None, error)


def _invalid(engine: sa.Engine, batch_id: str, from_row: int) -> Iterator[Joined]:
    return (
        Joined(bad["row"], bad["external_id"], {}, INVALID, None, None, {k: bad[k] for k in ("code", "message")})
        for bad in _rejected(engine, batch_id, from_row)
    )


def _rejected(engine: sa.Engine, batch_id: str, from_row: int = 0) -> Iterator[dict[str, Any]]:
    def page(after: int) -> list[dict[str, Any]]:
        with reading(engine) as conn:
            return rejected(conn, batch_id, after_row=after, limit=_PAGE)

    return _pages(page, lambda bad: int(bad["row"]), _PAGE, from_row)


def _pages(
    page: Callable[[int], list[Item]], row_of: Callable[[Item], int], size: int, from_row: int = 0
) -> Iterator[Item]:
    """Items of keyset pages: `page` answers up to `size` items after a row."""
    after = from_row - 1
    while True:
        items = page(after)
        yield from items
        if len(items) < size:
            return
        after = row_of(items[-1])


def _with_inputs(over: Iterator[Joined], path: Path, layout: Layout) -> Iterator[Joined]:
    """Each row with its columns from the file; rows of the file that are not asked for are passed over."""
    records = formats.records(path, dataclasses.replace(layout, exact=True))
    for joined in over:
        record = next((record for record in records if record.row >= joined.row), None)
        inputs = {} if record is None else columns_of(record, layout.columns)
        yield joined._replace(inputs=inputs)


def errors(engine: sa.Engine, batch: Batch) -> Iterator[bytes]:
    """JSONL of every row that is invalid or failed, in the order of the file; first what is wrong with the file."""
    return _whole(engine, batch.id, _error_lines(engine, batch))


def _error_lines(engine: sa.Engine, batch: Batch) -> Iterator[bytes]:
    for entry in batch.errors:
        if entry.get("row") is None:
            yield _line(None, entry.get("line"), None, entry["code"], entry["message"], None)
    failed = ((job.row or 0, _failed_line(job)) for job in _failed(engine, batch.id))
    invalid = ((int(bad["row"]), _invalid_line(bad)) for bad in _rejected(engine, batch.id))
    for _, line in heapq.merge(failed, invalid, key=lambda pair: pair[0]):
        yield line


def _failed(engine: sa.Engine, batch_id: str) -> Iterator[Job]:
    def page(after: int) -> list[Job]:
        with reading(engine) as conn:
            found = list_batch_jobs(conn, batch_id, limit=_SMALL_PAGE, after_row=after, status=JobStatus.FAILED)
            return found.items

    return _pages(page, lambda job: job.row or 0, _SMALL_PAGE)


def _failed_line(job: Job) -> bytes:
    return _line(job.row, job.line, job.external_id, job.error_code, job.error_message, job.inputs)


def _invalid_line(bad: dict[str, Any]) -> bytes:
    return _line(bad["row"], bad["line"], bad["external_id"], bad["code"], bad["message"], bad["input"])


def _line(
    row: int | None, line: int | None, external_id: str | None, code: str | None, message: str | None, sent: Any
) -> bytes:
    entry = {"row": row, "line": line, "id": external_id, "code": code, "message": message, "input": sent}
    return dumps(entry).encode() + b"\n"
