"""A program of its own: `columnar.py look|read FILE FORMAT [ROW]`, what pyarrow makes of a Parquet or Arrow file.

Whoever writes such a file decides what reading it costs: a page of twelve bytes can announce a billion values, and
room is made for all of them. This process may take so much and no more, and nobody else dies with it.

    look    a line of JSON: {"columns": [...], "rows": ..., "bytes": ...}, the last two where the file says so
    read    an Arrow stream of batches of few rows, from ROW on

It must not import the house: it starts in a tenth of a second. What goes wrong is said by the exit status.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
from collections.abc import Iterator
from typing import Any

#: Of memory: what any file may take, what it may take more for each of its own bytes, and never more than that.
MEMORY, GROWTH, MOST = 512 << 20, 64, 4 << 30
#: Of the processor, from one batch to the next.
SECONDS = 60
#: Exit statuses.
DAMAGED, TOO_MUCH = 10, 11
FILE_MARK = b"ARROW1\0\0"
#: Rows sent at once: so many, or what comes to about so many bytes. Of Parquet fewer: it is unpacked as it is sent.
_ROWS, _BYTES = 2_000, 16_000_000
_PARQUET_ROWS = 128
#: Bytes of each column that are read ahead.
_BUFFER = 1 << 18
#: A column of so many bytes that was packed so many times smaller may be made to fill the memory.
_HUGE = 4 << 20
_SQUEEZED = 50


def main(what: str, path: str, format: str, row: int) -> int:
    # It would take three times as long to load as all the rest, for what is not asked here.
    sys.modules["numpy"] = None  # type: ignore[assignment]
    size = os.path.getsize(path)  # noqa: PTH202 - pathlib is not otherwise needed here
    # Not of addresses: a file that is mapped takes those, and no memory.
    _limit(resource.RLIMIT_DATA, min(MOST, MEMORY + GROWTH * size))
    _go_on()
    try:
        if what == "look":
            sys.stdout.write(json.dumps(look(path, format)))
        else:
            _send(batches(path, format, row))
    except Exception as error:  # noqa: BLE001 - told by the status
        return status_of(error)
    return 0


def status_of(error: Exception) -> int:
    import pyarrow as pa

    if isinstance(error, MemoryError):
        return TOO_MUCH
    if isinstance(error, pa.ArrowException | ValueError | KeyError | ArithmeticError):
        return DAMAGED
    # pyarrow calls a damaged file so too; a disk that fails has a number.
    return DAMAGED if isinstance(error, OSError) and error.errno is None else 1


def _limit(kind: int, most: int) -> None:
    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _go_on() -> None:
    """Some seconds more."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + SECONDS)


def _send(batches: Iterator[Any]) -> None:
    import pyarrow as pa

    with (
        os.fdopen(1, "wb", buffering=0) as pipe,
        pa.output_stream(pipe, buffer_size=_BUFFER) as out,
        pa.ipc.new_stream(out, next(batches)) as stream,
    ):
        for batch in batches:
            stream.write_batch(batch)
            _go_on()


def look(path: str, format: str) -> dict[str, Any]:
    """`columns`, and `rows` and `bytes` where the file says so."""
    return _look_parquet(path) if format == "parquet" else _look_arrow(path)


def batches(path: str, format: str, row: int) -> Iterator[Any]:
    """The schema, then batches of few rows from a row on, as they are sent."""
    import pyarrow as pa

    read = _parquet(path, row) if format == "parquet" else _arrow(path, row)
    kinds = pa.schema([pa.field(field.name, _sent(field.type)) for field in next(read)])
    yield kinds
    for batch in read:
        columns = [_sendable(column, kind) for column, kind in zip(batch.columns, kinds.types, strict=True)]
        # Without columns only the batch itself knows how many rows it has.
        yield from _in_pieces(pa.record_batch(columns, schema=kinds) if columns else batch)


def _in_pieces(batch: Any) -> Iterator[Any]:
    """A batch as it is, or in slices: what a file says of its sizes need not be so."""
    step = _at_once(batch.nbytes, batch.num_rows)
    for first in range(0, batch.num_rows, step):
        yield batch.slice(first, step)


def _sent(kind: Any) -> Any:
    """As what a column of a kind is sent: a slice of some would bring all of the column along."""
    import pyarrow as pa

    if isinstance(kind, pa.UuidType):
        # Sixteen bytes would be no text that anybody knows their row by.
        return pa.string()
    if isinstance(kind, pa.BaseExtensionType):
        return _sent(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return pa.dictionary(pa.int32(), _sent(kind.value_type))
    wanted = _without_views(kind)
    if wanted != kind:
        with contextlib.suppress(pa.ArrowNotImplementedError):
            pa.nulls(0, kind).cast(wanted)
            return wanted
    return kind


def _sendable(column: Any, kind: Any) -> Any:
    import pyarrow as pa

    if isinstance(column.type, pa.UuidType):
        return pa.array([None if one is None else str(one) for one in column.to_pylist()], kind)
    if isinstance(column, pa.ExtensionArray):
        return _sendable(column.storage, kind)
    if pa.types.is_dictionary(kind):
        return _compact(column, kind)
    return column if column.type == kind else column.cast(kind)


def _compact(column: Any, kind: Any) -> Any:
    """A column with a dictionary of what it uses."""
    import pyarrow as pa
    import pyarrow.compute as pc

    used = column.indices.unique().drop_null()
    places = pc.index_in(column.indices, used)
    return pa.DictionaryArray.from_arrays(places, _sendable(column.dictionary.take(used), kind.value_type))


def _without_views(kind: Any) -> Any:
    import pyarrow as pa

    def inner(field: Any) -> Any:
        return field.with_type(_without_views(field.type))

    if kind == pa.string_view():
        return pa.large_string()
    if kind == pa.binary_view():
        return pa.large_binary()
    if pa.types.is_list(kind):
        return pa.list_(inner(kind.value_field))
    if pa.types.is_large_list(kind):
        return pa.large_list(inner(kind.value_field))
    if pa.types.is_struct(kind):
        return pa.struct([inner(field) for field in kind])
    return kind


def _at_once(size: int, rows: int) -> int:
    return max(1, min(_ROWS, _BYTES * rows // max(1, size)))


# Parquet: row groups before the one asked for are not touched.


def _look_parquet(path: str) -> dict[str, Any]:
    with _opened(path) as file:
        about = file.metadata
        size = sum(about.row_group(place).total_byte_size for place in range(about.num_row_groups))
        return {"columns": file.schema_arrow.names, "rows": about.num_rows, "bytes": size}


def _opened(path: str) -> Any:
    import pyarrow.parquet as pq

    # Read ahead by the buffer: without one, a whole column of a row group is held.
    return pq.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False)


def _parquet(path: str, row: int) -> Iterator[Any]:
    """The schema, then batches from a row on."""
    with _opened(path) as file:
        yield file.schema_arrow
        before = 0
        for group in range(file.metadata.num_row_groups):
            about = file.metadata.row_group(group)
            after = before + about.num_rows
            if after > row:
                for batch in _of_group(file, group, skip=row - before):
                    yield batch
                    row += batch.num_rows
                if row != after:
                    # Whoever reads on from a row counts by what the file says of its groups.
                    raise ValueError(row)
            before = after


def _of_group(file: Any, group: int, *, skip: int) -> Iterator[Any]:
    for batch in file.iter_batches(_step(file.metadata.row_group(group)), row_groups=[group], use_threads=False):
        if skip < batch.num_rows:
            yield batch.slice(skip)
        skip = max(0, skip - batch.num_rows)


def _step(group: Any) -> int:
    """Rows to read at once: one, where a dictionary may hold a huge text that every row of a tiny file repeats."""
    for place in range(group.num_columns):
        column = group.column(place)
        size = column.total_uncompressed_size
        if size > _HUGE and column.has_dictionary_page and size > _SQUEEZED * column.total_compressed_size:
            return 1
    return min(_PARQUET_ROWS, _at_once(group.total_byte_size, group.num_rows))


# Arrow, as a file or a stream: batches before the one asked for are passed over by one of their columns.


def _look_arrow(path: str) -> dict[str, Any]:
    with _reader(path) as reader:
        return {"columns": reader.schema.names, "rows": None, "bytes": None}


def _arrow(path: str, row: int) -> Iterator[Any]:
    """The schema, then batches from a row on."""
    passed, place = _passed(path, row)
    with _reader(path) as reader:
        yield reader.schema
        for batch in _each(reader, place):
            # Nobody vouches for the offsets in a file, and a wrong one would be read as memory.
            batch.validate(full=True)
            step = _at_once(batch.nbytes, batch.num_rows)
            for first in range(row - passed, batch.num_rows, step):
                yield batch.slice(first, step)
            passed = row


def _passed(path: str, row: int) -> tuple[int, int]:
    """`(rows before, number)` of the batch that holds a row; of the batches before it one column is unpacked."""
    import pyarrow as pa

    passed = place = 0
    if row:
        with _reader(path, pa.ipc.IpcReadOptions(included_fields=[0])) as reader:
            for place, batch in enumerate(_each(reader, 0)):
                if passed + batch.num_rows > row:
                    return passed, place
                passed += batch.num_rows
            place += 1
    return passed, place


@contextlib.contextmanager
def _reader(path: str, options: Any = None) -> Iterator[Any]:
    import pyarrow as pa

    with pa.memory_map(path) as source:
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
