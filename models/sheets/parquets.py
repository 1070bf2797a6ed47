"""Parquet: written row group by row group. It is read as Arrow is (models.sheets.arrows)."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from models.sheets.kinds import Kind, as_kind, kind_of_all
from models.sheets.table import Column, Joined

#: A row group is written at so many rows or characters of text, whichever comes first.
_GROUP_ROWS = 20_000
_GROUP_CHARACTERS = 32_000_000
#: A further file is begun when one has so many bytes.
_SHARD_BYTES = 400 << 20
MARK = b"PAR1"


def write(out: BinaryIO, columns: list[Column], rows: Iterable[Joined], _folder: Path) -> None:
    """Rows as Parquet. Where a later row holds what its column was not made for, all is written again, wider."""
    kinds = [column.kind for column in columns]
    while not _write(out, columns, kinds, rows):
        out.seek(0)
        out.truncate()
        for group in _groups(columns, rows):
            kinds = [kind_of_all(values, kind) for values, kind in zip(group, kinds, strict=True)]


def _write(out: BinaryIO, columns: list[Column], kinds: list[Kind], rows: Iterable[Joined]) -> bool:
    """False when a row did not fit; `kinds` are those of the first group, where they were not known before."""
    import pyarrow.parquet as pq

    groups = _groups(columns, rows)
    first = next(groups)
    kinds[:] = [kind_of_all(values, kind) for values, kind in zip(first, kinds, strict=True)]
    schema = _schema(columns, kinds)
    with pq.ParquetWriter(out, schema, compression="zstd") as writer:
        writer.write_batch(_batch(schema, kinds, first))
        for group in groups:
            if any(kind_of_all(values, kind) is not kind for values, kind in zip(group, kinds, strict=True)):
                return False
            writer.write_batch(_batch(schema, kinds, group))
    return True


class Shard(NamedTuple):
    """One of the files that rows were divided into."""

    file: BinaryIO
    rows: int


def write_shards(
    columns: list[Column], rows: Iterable[Joined], folder: Path, stack: contextlib.ExitStack
) -> tuple[list[Shard], list[Kind]]:
    """Rows as Parquet files of some hundred megabytes and one schema, closed with `stack`; the kinds of columns."""
    kinds = [column.kind for column in columns]
    while True:
        with contextlib.ExitStack() as attempt:
            shards = _shards(columns, kinds, rows, folder, attempt)
            if shards is not None:
                stack.push(attempt.pop_all())
                return shards, kinds
        for group in _groups(columns, rows):
            kinds = [kind_of_all(values, kind) for values, kind in zip(group, kinds, strict=True)]


def _shards(
    columns: list[Column], kinds: list[Kind], rows: Iterable[Joined], folder: Path, stack: contextlib.ExitStack
) -> list[Shard] | None:
    """None when a row did not fit; `kinds` as in `_write`."""
    groups = _groups(columns, rows)
    first = next(groups)
    kinds[:] = [kind_of_all(values, kind) for values, kind in zip(first, kinds, strict=True)]
    schema = _schema(columns, kinds)
    shards: list[Shard] = []
    left: list[list[Any]] | None = first
    while left is not None:
        file = stack.enter_context(tempfile.TemporaryFile(dir=folder))  # noqa: SIM115 - the stack is one
        written = _fill(file, schema, kinds, left, groups)
        if written is None:
            return None
        count, left = written
        shards.append(Shard(file, count))
    return shards


def _fill(
    file: BinaryIO, schema: Any, kinds: list[Kind], group: list[list[Any]], groups: Iterator[list[list[Any]]]
) -> tuple[int, list[list[Any]] | None] | None:
    """Write groups until the file is full: how many rows, and the group that comes next. None: a row did not fit."""
    import pyarrow.parquet as pq

    count = 0
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for current in itertools.chain([group], groups):
            if count and file.tell() >= _SHARD_BYTES:
                return count, current
            if any(kind_of_all(values, kind) is not kind for values, kind in zip(current, kinds, strict=True)):
                return None
            rows = len(current[0]) if current else 0
            if rows:
                # A row group without rows is one that the datasets library cannot read.
                writer.write_batch(_batch(schema, kinds, current))
            count += rows
    return count, None


def _schema(columns: list[Column], kinds: list[Kind]) -> Any:
    import pyarrow as pa

    return pa.schema([pa.field(c.name, _type(kind)) for c, kind in zip(columns, kinds, strict=True)])


def _type(kind: Kind) -> Any:
    import pyarrow as pa

    return {
        Kind.BOOL: pa.bool_(),
        Kind.WHOLE: pa.int64(),
        Kind.LONG: pa.int64(),
        Kind.NUMBER: pa.float64(),
        Kind.VECTOR: pa.list_(pa.float32()),
    }.get(kind, pa.string())


def _batch(schema: Any, kinds: list[Kind], group: list[list[Any]]) -> Any:
    import pyarrow as pa

    arrays = [
        pa.array([as_kind(kind, value) for value in values], type=field.type)
        for field, kind, values in zip(schema, kinds, group, strict=True)
    ]
    return pa.record_batch(arrays, schema=schema)


def _groups(columns: list[Column], rows: Iterable[Joined]) -> Iterator[list[list[Any]]]:
    """Values by column, a bounded group of rows at a time; at least one group, which may be empty."""
    group: list[list[Any]] = [[] for _ in columns]
    count = size = 0
    for joined in rows:
        for values, column in zip(group, columns, strict=True):
            value = column.get(joined)
            values.append(value)
            size += len(value) if isinstance(value, str | list) else 8
        count += 1
        if count >= _GROUP_ROWS or size >= _GROUP_CHARACTERS:
            yield group
            group, count, size = [[] for _ in columns], 0, 0
    yield group
