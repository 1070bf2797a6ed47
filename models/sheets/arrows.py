"""Arrow IPC (Feather 2), as a file or a stream; and what is common to all that pyarrow reads.

A process of its own opens the file (models.sheets.columnar) and sends rows on; only those are seen here. pyarrow is
imported where a file is read: it takes longer to load than many a request takes to answer.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import math
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from contract.errors import ErrorCode
from models.sheets import columnar
from models.sheets.csvs import column_names
from models.sheets.layout import AS_FOUND, MAX_COLUMNS, Corrections, FileError, Layout, Place, Record
from models.sheets.packed import plain, refuse_beyond

FILE_MARK = columnar.FILE_MARK
STREAM_MARK = b"\xff\xff\xff\xff"
_LIMITED = {"ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1"}
#: How a process dies of what it reads: out of time, out of memory where nobody could say so, or out of its mind.
_OWN_DEATHS = frozenset({signal.SIGXCPU, signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL})
_TOO_MUCH = (
    "Reading the file takes more memory or time than one of its size may: it is damaged, or packed too tightly."
)


def sniff(path: Path, layout: Layout, _corrections: Corrections = AS_FOUND) -> Layout:
    about = look(path, layout)
    refuse_beyond(layout.limit, about["bytes"] or 0)
    return with_schema(layout, about["columns"], rows=about["rows"])


def records(path: Path, layout: Layout, place: Place) -> Iterator[Record]:
    """Rows from `place.row` on."""
    row, end = place.row, place.offset
    # A map of a file shows what is in it and takes no memory: only what was unpacked is counted.
    most = sys.maxsize if layout.format == "arrow" else layout.limit
    # Values can be what no other type has room for: found when they are made into Python's.
    with _as_damage():
        for batch in _batches(path, layout, row):
            for record in rows_of(batch, row, end):
                yield record
                end = record.end
            row += batch.num_rows
            refuse_beyond(most, end)


def look(path: Path, layout: Layout) -> dict[str, Any]:
    """`columns`, and `rows` and `bytes` where the file says so."""
    with _program("look", path, layout, 0) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        _refuse(process)
        found: dict[str, Any] = orjson.loads(said)
        return found


def _batches(path: Path, layout: Layout, row: int) -> Iterator[Any]:
    """Batches of few rows, from a row on."""
    import pyarrow as pa

    with _program("read", path, layout, row) as process:
        try:
            with pa.ipc.open_stream(process.stdout) as stream:
                yield from stream
        except (pa.ArrowException, OSError) as error:
            # It says why by how it ends.
            _refuse(process)
            raise damaged() from error
        _refuse(process)


@contextlib.contextmanager
def _program(what: str, path: Path, layout: Layout, row: int) -> Iterator[subprocess.Popen[bytes]]:
    # -I: whatever stands in this folder or in the environment is not imported.
    words = [what, str(plain(path, layout)), layout.format, str(row)]
    command = [sys.executable, "-I", columnar.__file__, *words]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_LIMITED
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _refuse(process: subprocess.Popen[bytes]) -> None:
    """Wait for the end of the process, and raise what it was about the file."""
    status = process.wait()
    if status == columnar.DAMAGED:
        raise damaged()
    if status == columnar.TOO_MUCH or -status in _OWN_DEATHS:
        raise FileError(ErrorCode.UNREADABLE_FILE, _TOO_MUCH)
    if status:
        # Somebody ended it, or the disk fails: not the file's fault, and read again.
        raise OSError(errno.EIO, "the process that reads a file failed")


def with_schema(layout: Layout, names: list[str], *, rows: int | None) -> Layout:
    if len(names) > MAX_COLUMNS:
        raise FileError(ErrorCode.UNREADABLE_FILE, f"The file has more than {MAX_COLUMNS:,} columns.")
    same = {**layout.as_dict(), "columns": column_names(names), "rows": rows}
    return Layout(**same)


@contextlib.contextmanager
def _as_damage() -> Iterator[None]:
    """What pyarrow says of values that are none, as a FileError."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, ValueError, KeyError, ArithmeticError) as error:
        raise damaged() from error


def damaged() -> FileError:
    return FileError(ErrorCode.UNREADABLE_FILE, "The file is damaged or cut short: it cannot be read to its end.")


def rows_of(batch: Any, row: int, end: int) -> Iterator[Record]:
    """The rows of a record batch. Their place is counted in what they hold: the bytes of the file tell little."""
    columns = [_values(column) for column in batch.columns]
    for values in zip(*columns, strict=True) if columns else [()] * batch.num_rows:
        held = [None if value is _WRONG else value for value in values]
        flaw = _WRONG_TEXT if _WRONG in values else None
        end += 1 + sum(map(_size, held))
        yield Record(row, row + 1, held, flaw, end, row + 2)
        row += 1


def _size(value: Any) -> int:
    return len(value) if isinstance(value, str) else len(str(value)) if isinstance(value, list | dict) else 8


#: Stands for a text that is not UTF-8.
_WRONG = object()
_WRONG_TEXT = "The row holds a text that is not UTF-8."


def _values(column: Any) -> list[Any]:
    """A column as values that JSON has: texts, numbers, lists, objects."""
    import pyarrow as pa

    kind = column.type
    if isinstance(column, pa.ExtensionArray):
        return _values(column.storage)
    if pa.types.is_dictionary(kind):
        used = column.indices.unique().drop_null()
        known = dict(zip(used.to_pylist(), _values(column.dictionary.take(used)), strict=True))
        return [known.get(place) for place in column.indices.to_pylist()]
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == pa.string_view():
        return _texts(column)
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        # Nanoseconds have no Python type of their own.
        column = column.cast(pa.timestamp("us", tz=kind.tz), safe=False)
    elif pa.types.is_time64(kind):
        column = column.cast(pa.time64("us"), safe=False)
    elif pa.types.is_duration(kind):
        column = column.cast(pa.duration("us"), safe=False)
    values = _moments(column) if pa.types.is_date(kind) or pa.types.is_timestamp(kind) else column.to_pylist()
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return list(values)
    return [as_json(value) for value in values]


def _moments(column: Any) -> list[Any]:
    try:
        return list(column.to_pylist())
    except (ValueError, OverflowError, KeyError):
        return [_moment(one) for one in column]


def _moment(one: Any) -> Any:
    """A date or time; a text where Python has no such year, or nobody knows the time zone."""
    try:
        return one.as_py()
    except (ValueError, OverflowError, KeyError):
        import pyarrow as pa

        zone = getattr(one.type, "tz", None)
        text = (one.cast(pa.timestamp(one.type.unit)) if zone else one).cast(pa.string()).as_py()
        # pyarrow says so of years that have more than five digits.
        return str(one.value) if text.startswith("<") else text.replace(" ", "T") + ("Z" if zone else "")


def _texts(column: Any) -> list[Any]:
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:
        import pyarrow as pa

        return [_text(data) for data in column.cast(pa.large_binary()).to_pylist()]


def _text(data: bytes | None) -> Any:
    try:
        return None if data is None else data.decode()
    except UnicodeDecodeError:
        return _WRONG


def as_json(value: Any) -> Any:
    """A value as JSON has it: what is no number, text, list or object becomes a text; NaN is nothing."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(name): as_json(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(one) for one in value]
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return _of_bytes(value) if isinstance(value, bytes) else _of_number(value)


def _of_bytes(data: bytes) -> str:
    """Many programs mark no text as one; what is none is base64."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return base64.b64encode(data).decode()


def _of_number(value: Any) -> str:
    return format(value, "f") if isinstance(value, Decimal) and value.is_finite() else str(value)
