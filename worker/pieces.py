"""One piece of a batch's file: the cursor moves on, and the rows behind it go in, in one transaction or not at all.

Whoever moves the cursor first has the piece; a doubled message, a second host or a reader whose batch was canceled
finds that it moved, and writes nothing.
"""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from contract.errors import ErrorCode
from contract.ids import new_ids
from contract.jsons import dumps
from contract.schemas import Problem
from contract.statuses import BatchStatus, OnInvalidRows
from models import batches
from models.batches import ERRORS_SHOWN, Batch, BatchRow, Cursor
from models.files import find_files, set_size
from models.job_files import attach_rows, link_rows
from models.sheets.layout import MAX_COLUMNS, FileError, Layout
from models.sheets.mapping import Mapping
from models.sheets.preview import NO_ROWS, duplicate, file_error, row_error
from models.sheets.rows import Row, shown

#: Bad rows of a refused file that are kept to be read; the batch counts them all.
REFUSED_KEPT = 10_000


def commit(
    conn: sa.Connection,
    batch: Batch,
    piece: list[Row],
    mapping: Mapping,
    *,
    ended: bool,
    now: datetime,
    mark: dict[str, Any] | None = None,
) -> Batch | None:
    """Write one piece; the batch as it is then, or None when this reader has lost it.

    `mapping`: which columns its rows were read from.
    `mark`: where a new reader of a dataset may begin so as to come to the row behind the piece.
    """
    checked = _without_doubles(conn, batch, _with_files(conn, piece))
    bad = [row for row in checked if row.problems]
    good = [row for row in checked if not row.problems]
    cursor = dataclasses.replace(_behind(batch.cursor, piece, invalid=len(bad)), mark=mark)
    if ended and not cursor.row:
        return _refuse(conn, batch, cursor, [file_error(FileError(ErrorCode.NO_ROWS, NO_ROWS))], now=now)
    changes: dict[str, Any] = {"layout": _widened(batch, piece), "errors": _errors(batch, bad, mapping)}
    if batch.cursor.phase == "check":
        return _commit_checked(conn, batch, cursor, changes, bad, good, ended=ended, now=now)
    if batch.status is BatchStatus.VALIDATING:
        changes |= {"status": BatchStatus.RUNNING, "started_at": batch.started_at or now}
    if ended:
        changes |= {"ingested": True, "total": cursor.row}
    after = _advance(conn, batch, cursor, changes)
    if after is not None:
        _insert(conn, batch, good, now)
        _note(conn, batch, bad, good)
        _measure(conn, batch, cursor)
    return after


def _commit_checked(
    conn: sa.Connection, batch: Batch, cursor: Cursor, changes: dict[str, Any], bad: list[Row], good: list[Row],
    *, ended: bool, now: datetime,
) -> Batch | None:  # fmt: skip
    """A piece of the first pass. At its end the file is refused, or read again from its beginning."""
    if ended and cursor.invalid:
        after = _refuse(conn, batch, cursor, changes.pop("errors"), now=now, **changes)
    else:
        after = _advance(conn, batch, Cursor(phase="insert") if ended else cursor, changes)
    if after is not None:
        _note(conn, batch, bad[: max(0, REFUSED_KEPT - batch.cursor.invalid)], good)
        _measure(conn, batch, cursor)
    return after


def _measure(conn: sa.Connection, batch: Batch, cursor: Cursor) -> None:
    """The file of a dataset is as long as what was read of it."""
    if (batch.layout or {}).get("dataset") and in_first_pass(batch):
        set_size(conn, batch.file_id, cursor.offset)


def _advance(conn: sa.Connection, batch: Batch, cursor: Cursor, changes: dict[str, Any]) -> Batch | None:
    written = {name: value.value if isinstance(value, BatchStatus) else value for name, value in changes.items()}
    if not batches.advance(conn, batch, cursor, **written):
        return None
    version = batch.cursor_version + 1
    return dataclasses.replace(batch, cursor=cursor, cursor_version=version, invalid=cursor.invalid, **changes)


def _refuse(
    conn: sa.Connection, batch: Batch, cursor: Cursor, errors: list[dict[str, Any]], *, now: datetime, **changes: Any
) -> Batch | None:
    after = _advance(conn, batch, cursor, changes)
    if after is None or not batches.refuse_batch(conn, batch.id, errors, now=now):
        return None
    return dataclasses.replace(after, status=BatchStatus.FAILED, ingested=True, errors=errors)


def _errors(batch: Batch, bad: list[Row], mapping: Mapping) -> list[dict[str, Any]]:
    return (batch.errors + [row_error(row, mapping) for row in bad[:ERRORS_SHOWN]])[:ERRORS_SHOWN]


def _without_doubles(conn: sa.Connection, batch: Batch, piece: list[Row]) -> list[Row]:
    """The piece, with a problem for each row whose id came before.

    Read before the cursor moves: were a rival to add ids in between, the cursor would have moved too.
    """
    if not _looks_at_ids(batch):
        return piece
    seen = batches.known_ids(conn, batch.id, [row.external_id for row in piece if row.external_id])
    checked: list[Row] = []
    for row in piece:
        if row.problems or row.external_id is None:
            checked.append(row)
            continue
        checked.append(duplicate(row) if row.external_id in seen else row)
        seen.add(row.external_id)
    return checked


def _with_files(conn: sa.Connection, piece: list[Row]) -> list[Row]:
    """The piece, with a problem for each row that names a file which was deleted since somebody looked at it."""
    named = {file_id for row in piece for file_id in row.known}
    if not named:
        return piece
    held = find_files(conn, named)
    problem = Problem("inputs", ErrorCode.INVALID_VALUE, "A file that the row names was deleted.")
    return [row if held.issuperset(row.known) else row._replace(problems=[problem]) for row in piece]


def _looks_at_ids(batch: Batch) -> bool:
    """Once a file: in the pass that finds bad rows."""
    return batch.id_column is not None and in_first_pass(batch)


def in_first_pass(batch: Batch) -> bool:
    """Whether rows are read for the first time: the pass that finds bad ones, and that fetches those of a dataset."""
    return batch.cursor.phase == "check" or batch.on_invalid_rows is OnInvalidRows.SKIP


def _insert(conn: sa.Connection, batch: Batch, good: list[Row], now: datetime) -> None:
    ids = new_ids(len(good))
    rows = [
        BatchRow(job_id, row.record.row, row.record.line, row.external_id, row.inputs, row.parameters)
        for job_id, row in zip(ids, good, strict=True)
    ]
    batches.add_rows(conn, batch, rows, now=now)
    made = [(job_id, file) for job_id, row in zip(ids, good, strict=True) for file in row.made]
    if made:
        attach_rows(conn, made, now=now)
    known = [(job_id, file_id) for job_id, row in zip(ids, good, strict=True) for file_id in set(row.known)]
    if known:
        link_rows(conn, known)


def _note(conn: sa.Connection, batch: Batch, bad: list[Row], good: list[Row]) -> None:
    columns = batch.layout["columns"] if batch.layout else []
    batches.reject_rows(conn, [_rejected(batch.id, row, columns) for row in bad])
    if _looks_at_ids(batch):
        batches.keep_ids(conn, batch.id, [row.external_id for row in good if row.external_id is not None])


def _behind(cursor: Cursor, piece: list[Row], *, invalid: int) -> Cursor:
    if not piece:
        return cursor
    last = piece[-1].record
    return Cursor(cursor.phase, last.end, last.next_line, last.row + 1, cursor.invalid + invalid)


def _widened(batch: Batch, piece: list[Row]) -> dict[str, Any] | None:
    """The layout with columns that only later JSONL lines have: an export must know them before its first row."""
    if batch.layout is None:
        return None
    known = Layout.from_dict(batch.layout)
    columns = dict.fromkeys(known.columns)
    for row in piece:
        values = row.record.values
        if isinstance(values, dict) and not values.keys() <= columns.keys():
            columns.update(dict.fromkeys(values))
    return dataclasses.replace(known, columns=list(columns)[:MAX_COLUMNS]).as_dict()


def _rejected(batch_id: str, row: Row, columns: list[str]) -> dict[str, Any]:
    return {
        "batch_id": batch_id,
        "row": row.record.row,
        "line": row.record.line,
        "external_id": row.external_id,
        "code": row.problems[0].code.value,
        # PostgreSQL's text takes no NUL, and a message may quote what the caller wrote.
        "message": row.message.replace("\0", "\ufffd"),
        "input": storable(shown(row.record, columns)),
    }


def storable(values: dict[str, Any]) -> dict[str, Any] | None:
    """None for what no JSON writer takes, such as a thousand lists in one another."""
    try:
        dumps(values)
    except TypeError:
        return None
    return values
