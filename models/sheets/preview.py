"""A dry run over a file: what would be sent and what is wrong, with nothing kept."""

from __future__ import annotations

import dataclasses
import sqlite3
import time
from collections.abc import Callable, Iterator
from collections.abc import Mapping as Dict
from pathlib import Path
from typing import Any

from contract.errors import ErrorCode
from contract.pipelines import PipelineSpec
from contract.schemas import Problem
from models.sheets import formats
from models.sheets.layout import AS_FOUND, MAX_UNPACKED, Corrections, FileError, Layout, Record
from models.sheets.mapping import Column, Mapping, resolve
from models.sheets.rows import Row, Rows, short_files

ROWS_SHOWN = 10
ERRORS_SHOWN = 1_000


@dataclasses.dataclass(frozen=True)
class Preview:
    """Fields are None as far as the file could not be read."""

    format: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    #: Of a workbook: the sheet that is read, and those there are.
    sheet: str | None = None
    sheets: list[str] = dataclasses.field(default_factory=list)
    #: Lines above the table, of formats that may have any.
    skip_lines: int | None = None
    #: gzip or zstd.
    compression: str | None = None
    columns: list[str] = dataclasses.field(default_factory=list)
    #: Input field (or parameters.NAME) to column, guesses included.
    mapping: dict[str, str] = dataclasses.field(default_factory=dict)
    id_column: str | None = None
    #: Data rows; None where the time was up before the end.
    total: int | None = None
    #: The first rows as they would be sent.
    rows: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    #: The first bad rows, and how many there are.
    errors: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    invalid: int = 0
    #: Why the file as a whole is unusable.
    error: dict[str, Any] | None = None

    @property
    def valid(self) -> bool:
        return self.error is None and not self.invalid

    def as_dict(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "valid": self.valid}


def preview(
    path: Path,
    *,
    spec: PipelineSpec,
    mapping: Dict[str, Column],
    id_column: Column | None = None,
    format: str | None = None,
    filename: str = "",
    parameters: dict[str, Any] | None = None,
    seconds: float | None = None,
    limit: int = MAX_UNPACKED,
    files: int | None = None,
    corrections: Corrections = AS_FOUND,
    bring: Callable[[Row], Row] | None = None,
) -> Preview:
    """Read a file to its end, or for `seconds`; never raises for what stands in it.

    `files`: how many an archive may hold. `bring`: looks at the files that a row names.
    """
    try:
        main_field = spec.catalogue.main_field
        layout = formats.sniff(
            path, main_field=main_field, filename=filename, said=format, limit=limit, files=files,
            corrections=corrections,
        )  # fmt: skip
        return preview_of(
            layout, lambda: formats.records(path, layout), spec=spec, mapping=mapping, id_column=id_column,
            parameters=parameters, seconds=seconds, bring=bring,
        )  # fmt: skip
    except FileError as error:
        return Preview(sheets=list(error.sheets), error=file_error(error))


def preview_of(
    layout: Layout,
    records: Callable[[], Iterator[Record]],
    *,
    spec: PipelineSpec,
    mapping: Dict[str, Column],
    id_column: Column | None = None,
    parameters: dict[str, Any] | None = None,
    seconds: float | None = None,
    bring: Callable[[Row], Row] | None = None,
) -> Preview:
    """The same of records wherever they come from, once their layout is known."""
    shape = "dataset" if layout.dataset else layout.format
    known = Preview(
        format=shape,
        encoding=layout.encoding or None,
        delimiter=layout.delimiter,
        sheet=layout.sheet,
        sheets=layout.sheets,
        skip_lines=layout.skip_lines if shape in ("csv", "xlsx") else None,
        compression=layout.packing,
        columns=layout.columns,
    )
    try:
        found = resolve(spec, layout, mapping, id_column)
        known = dataclasses.replace(known, mapping=found.as_dict(), id_column=found.id_column)
        return _read(records(), layout, spec, found, known, parameters or {}, seconds, bring)
    except FileError as error:
        return dataclasses.replace(known, error=file_error(error))


def _read(
    records: Iterator[Record],
    layout: Layout,
    spec: PipelineSpec,
    mapping: Mapping,
    known: Preview,
    parameters: dict[str, Any],
    seconds: float | None,
    bring: Callable[[Row], Row] | None,
) -> Preview:
    rows, seen = Rows(spec, layout, mapping, parameters), Seen()
    until = None if seconds is None else time.monotonic() + seconds
    total = invalid = 0
    shown: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    cut = False
    for record in records:
        row = rows.row(record)
        if bring is not None:
            row = bring(row)
        if row.external_id is not None and not row.problems and seen.again(row.external_id):
            row = duplicate(row)
        total += 1
        if row.problems:
            invalid += 1
            if len(errors) < ERRORS_SHOWN:
                errors.append(row_error(row, mapping))
        elif len(shown) < ROWS_SHOWN:
            shown.append(as_sent(row))
        if until is not None and (bring is not None or total % 1_000 == 0) and time.monotonic() > until:
            cut = True
            break
    if not total:
        raise FileError(ErrorCode.NO_ROWS, NO_ROWS)
    return dataclasses.replace(known, total=layout.rows if cut else total, rows=shown, errors=errors, invalid=invalid)


NO_ROWS = "The file has a header and no rows."


def as_sent(row: Row) -> dict[str, Any]:
    inputs = {name: short_files(value) for name, value in row.inputs.items()}
    sent = {"row": row.record.row, "line": row.record.line, "inputs": inputs, "parameters": row.parameters}
    return {**sent, "id": row.external_id}


def row_error(row: Row, mapping: Mapping) -> dict[str, Any]:
    """An entry of `errors`: what is wrong with a row, and where."""
    first = row.problems[0]
    error: dict[str, Any] = {"row": row.record.row, "line": row.record.line, "code": first.code.value}
    return {**error, "field": first.field, "column": mapping.column_of(first.field), "message": row.message}


def file_error(error: FileError) -> dict[str, Any]:
    """An entry of `errors` for the file as a whole."""
    about = {"row": None, "line": error.line, "code": error.code.value, "message": error.message}
    return about if error.field == "file" else {**about, "field": error.field}


def duplicate(row: Row) -> Row:
    problem = Problem("id_column", ErrorCode.DUPLICATE_ID, f"The id '{(row.external_id or '')[:60]}' came before.")
    return row._replace(problems=[problem])


class Seen:
    """Ids met so far, exactly, in flat memory: a private database that spills to a temporary file."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute("CREATE TABLE ids (id TEXT PRIMARY KEY) WITHOUT ROWID")
        self._database.execute("BEGIN")

    def again(self, external_id: str) -> bool:
        """Whether this id was asked about before."""
        return self._database.execute("INSERT OR IGNORE INTO ids VALUES (?)", (external_id,)).rowcount == 0
