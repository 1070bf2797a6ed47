"""Arrow IPC (Feather 2), as a file or a stream; and what is common to all that pyarrow reads.

pyarrow is imported where a file is read: it takes longer to load than many a request takes to answer.
"""

from __future__ import annotations

import base64
import contextlib
import math
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from contract.errors import ErrorCode
from models.sheets.csvs import column_names
from models.sheets.layout import MAX_COLUMNS, FileError, Layout, Place, Record
from models.sheets.packed import plain

FILE_MARK = b"ARROW1\0\0"
STREAM_MARK = b"\xff\xff\xff\xff"
#: Rows made into Python objects at once: so many, or what comes to about so many bytes.
ROWS_AT_ONCE = 2_000
BYTES_AT_ONCE = 16_000_000


def sniff(path: Path, layout: Layout) -> Layout:
    with in_words(), _reader(plain(path, layout)) as reader:
        return with_schema(layout, reader.schema.names, rows=None)


def records(path: Path, layout: Layout, place: Place) -> Iterator[Record]:
    with in_words():
        row, end = place.row, place.offset
        for batch in _batches(plain(path, layout), skip=row):
            for record in rows_of(batch, row, end):
                yield record
                end = record.end
            row += batch.num_rows


def _batches(path: Path, *, skip: int) -> Iterator[Any]:
    """Batches of bounded size behind the first `skip` rows."""
    passed, place = _passed(path, skip)
    with _reader(path) as reader:
        for batch in _each(reader, place):
            # Nobody vouches for the offsets in a file, and a wrong one would be read as memory.
            batch.validate(full=True)
            step = rows_at_once(batch.nbytes, batch.num_rows)
            for first in range(skip - passed, batch.num_rows, step):
                yield batch.slice(first, step)
            passed = skip


def _passed(path: Path, skip: int) -> tuple[int, int]:
    """`(rows before, number)` of the batch that holds row `skip`; of the batches before it one column is unpacked."""
    import pyarrow as pa

    passed = place = 0
    if skip:
        with _reader(path, pa.ipc.IpcReadOptions(included_fields=[0])) as reader:
            for place, batch in enumerate(_each(reader, 0)):
                if passed + batch.num_rows > skip:
                    return passed, place
                passed += batch.num_rows
            place += 1
    return passed, place


@contextlib.contextmanager
def _reader(path: Path, options: Any = None) -> Iterator[Any]:
    import pyarrow as pa

    with pa.memory_map(str(path)) as source:
        is_file = source.read(len(FILE_MARK)) == FILE_MARK
        source.seek(0)
        make = pa.ipc.open_file if is_file else pa.ipc.open_stream
        with make(source, options=options) as reader:
            yield reader


def _each(reader: Any, first: int) -> Iterator[Any]:
    if hasattr(reader, "num_record_batches"):
        for place in range(first, reader.num_record_batches):
            yield reader.get_batch(place)
        return
    for place, batch in enumerate(reader):
        if place >= first:
            yield batch


def rows_at_once(size: int, rows: int) -> int:
    return max(1, min(ROWS_AT_ONCE, BYTES_AT_ONCE * rows // max(1, size)))


def with_schema(layout: Layout, names: list[str], *, rows: int | None) -> Layout:
    if len(names) > MAX_COLUMNS:
        raise FileError(ErrorCode.UNREADABLE_FILE, f"The file has more than {MAX_COLUMNS:,} columns.")
    same = {**layout.as_dict(), "columns": column_names(names), "rows": rows}
    return Layout(**same)


@contextlib.contextmanager
def in_words() -> Iterator[None]:
    """What pyarrow says of a damaged file, as a FileError."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, ValueError, KeyError, ArithmeticError) as error:
        raise damaged() from error
    except OSError as error:
        # pyarrow calls a damaged file so too; that of a disk that fails has a number.
        if error.errno is not None:
            raise
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
    if pa.types.is_timestamp(kind):
        # Nanoseconds have no Python type of their own.
        column = column.cast(pa.timestamp("us", tz=kind.tz), safe=False)
    elif pa.types.is_time64(kind):
        column = column.cast(pa.time64("us"), safe=False)
    elif pa.types.is_duration(kind):
        column = column.cast(pa.duration("us"), safe=False)
    values = column.to_pylist()
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return list(values)
    return [as_json(value) for value in values]


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
