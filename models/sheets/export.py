"""Results to take home: every input column beside what came of its row, in flat memory whatever the format.

CSV, JSONL and JSON go out as they are made. Parquet and xlsx have their table of contents at the end, so they are
made in a temporary file first; it has no name, and is gone with the process that made it.
"""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from contract.jsons import dumps_anything
from models.sheets import folders, parquets, workbooks
from models.sheets.formulas import defused
from models.sheets.table import Column, Joined

#: Formats results can be had in, and their media types. A further one is a line here and a writer below.
MEDIA = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/x-ndjson; charset=utf-8",
    "json": "application/json",
    "parquet": "application/vnd.apache.parquet",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "datasets": "application/zip",
}
#: How a file's name ends, where that is not the name of its format.
ENDINGS = {"datasets": "zip"}
#: Formats of which any row is of use by itself, so that a download that broke goes on behind one.
BY_ROW = frozenset({"csv", "jsonl"})
_PIECE = 1 << 16


def write_csv(columns: list[Column], rows: Iterable[Joined], *, headed: bool = True) -> Iterator[bytes]:
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    if headed:
        writer.writerow([_cell(column.name) for column in columns])
    for joined in rows:
        writer.writerow([_cell(column.get(joined)) for column in columns])
        if out.tell() >= _PIECE:
            yield _taken(out)
    yield _taken(out)


def _taken(out: io.StringIO) -> bytes:
    text = out.getvalue()
    out.seek(0)
    out.truncate()
    return text.encode()


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return defused(value)
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    return _dumps(value).decode()


def write_jsonl(columns: list[Column], rows: Iterable[Joined]) -> Iterator[bytes]:
    return _in_pieces(_dumps({column.name: column.get(joined) for column in columns}) + b"\n" for joined in rows)


def write_json(columns: list[Column], rows: Iterable[Joined]) -> Iterator[bytes]:
    def parts() -> Iterator[bytes]:
        yield b"["
        for place, joined in enumerate(rows):
            yield (b",\n" if place else b"\n") + _dumps({column.name: column.get(joined) for column in columns})
        yield b"\n]\n"

    return _in_pieces(parts())


def _in_pieces(parts: Iterable[bytes]) -> Iterator[bytes]:
    held = bytearray()
    for part in parts:
        held += part
        if len(held) >= _PIECE:
            yield bytes(held)
            held.clear()
    yield bytes(held)


def _dumps(value: Any) -> bytes:
    return dumps_anything(value, _from_fragment)


def _from_fragment(value: Any) -> Any:
    return orjson.loads(orjson.dumps(value))


WRITERS: dict[str, Callable[[list[Column], Iterable[Joined]], Iterator[bytes]]] = {
    "csv": write_csv,
    "jsonl": write_jsonl,
    "json": write_json,
}

#: Those that need a whole file to write to, and may go through the rows more than once.
_FILES: dict[str, Callable[[BinaryIO, list[Any], Iterable[Any], Path], None]] = {
    "parquet": parquets.write,
    "xlsx": workbooks.write,
}


def written(
    format: str, columns: list[Column], rows: Iterable[Joined], *, folder: Path, headed: bool = True
) -> Iterator[bytes]:
    """A file of these rows, piece by piece; `folder` is where a temporary one may be made.

    Not `headed`: a CSV whose header the caller has already.
    """
    if format == "csv":
        return write_csv(columns, rows, headed=headed)
    if format in WRITERS:
        return WRITERS[format](columns, rows)
    if format == "datasets":
        return folders.write(columns, rows, folder)
    return _by_way_of_a_file(_FILES[format], columns, rows, folder)


def _by_way_of_a_file(
    write: Callable[[BinaryIO, list[Any], Iterable[Any], Path], None],
    columns: list[Column],
    rows: Iterable[Joined],
    folder: Path,
) -> Iterator[bytes]:
    with tempfile.TemporaryFile(dir=folder) as file:
        write(file, columns, rows, folder)
        file.seek(0)
        while piece := file.read(_PIECE):
            yield piece
