"""Parquet and Arrow files with columns of every type that pyarrow writes into them."""

from __future__ import annotations

import decimal
import io
import random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.fuzz.texts import words

_UNITS = ("s", "ms", "us", "ns")
_ZONES = (None, "UTC", "Europe/Paris", "+05:30", "No/Where")
_NAMES = ("text", "TEXT", "id", "", " ", "a.b", "é", "text", "0")


def parquet_file(rng: random.Random) -> bytes:
    table, out = _table(rng), io.BytesIO()
    options: dict[str, Any] = {
        "compression": rng.choice(("none", "snappy", "zstd", "gzip", "lz4", "brotli")),
        "row_group_size": rng.choice((1, 7, 1000)),
        "use_dictionary": rng.random() < 0.6,
        "data_page_version": rng.choice(("1.0", "2.0")),
        "write_page_checksum": rng.random() < 0.3,
        "store_schema": rng.random() < 0.7,
        "version": rng.choice(("1.0", "2.4", "2.6")),
    }
    try:
        pq.write_table(table, out, **options)
    except (pa.ArrowException, ValueError, OverflowError, OSError):
        # Not every type can be written.
        out = io.BytesIO()
        pq.write_table(pa.table({"text": [words(rng) for _ in range(9)]}), out)
    return out.getvalue()


def arrow_file(rng: random.Random) -> bytes:
    table, out = _table(rng), io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=rng.choice((None, "lz4", "zstd")), unify_dictionaries=True)
    make = rng.choice((pa.ipc.new_file, pa.ipc.new_stream))
    try:
        with make(out, table.schema, options=options) as writer:
            writer.write_table(table, max_chunksize=rng.choice((1, 7, 1000)))
    except (pa.ArrowException, ValueError, OSError):
        out = io.BytesIO()
        plain = pa.table({"text": [words(rng) for _ in range(9)]})
        with pa.ipc.new_stream(out, plain.schema) as writer:
            writer.write_table(plain)
    return out.getvalue()


def _table(rng: random.Random) -> pa.Table:
    rows = rng.choice((0, 1, 5, 30))
    columns = [(rng.choice(_NAMES), _column(rng, rows)) for _ in range(rng.choice((0, 1, 2, 4)))]
    if rng.random() < 0.8:
        columns.insert(0, ("text", pa.array([words(rng) for _ in range(rows)])))
    return pa.Table.from_arrays([column for _, column in columns], names=[name for name, _ in columns])


def _column(rng: random.Random, rows: int) -> pa.Array:
    kind = _kind(rng, depth=0)
    try:
        made = pa.array([_value(rng, kind) for _ in range(rows)], kind)
        made.validate()
    except (pa.ArrowException, ValueError, OverflowError, TypeError):
        # Not every type holds what its own rules let in.
        made = pa.nulls(rows)
    return made


def _kind(rng: random.Random, *, depth: int) -> pa.DataType:
    unit = rng.choice(_UNITS)
    plain = [
        pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.binary_view(), pa.binary(3), pa.null(),
        pa.bool_(), pa.int8(), pa.uint64(), pa.int64(), pa.float16(), pa.float32(), pa.float64(), pa.date32(),
        pa.date64(), pa.time32(rng.choice(("s", "ms"))), pa.time64(rng.choice(("us", "ns"))), pa.duration(unit),
        pa.timestamp(unit, tz=rng.choice(_ZONES)), pa.decimal128(20, 5), pa.decimal256(50, -3),
        pa.month_day_nano_interval(), pa.dictionary(pa.int8(), pa.string()), pa.uuid(), pa.json_(), pa.bool8(),
        pa.dictionary(pa.int32(), pa.timestamp(unit)), pa.run_end_encoded(pa.int32(), pa.string()),
    ]  # fmt: skip
    if depth < 2 and rng.random() < 0.4:
        inner = _kind(rng, depth=depth + 1)
        return rng.choice([
            pa.list_(inner), pa.large_list(inner), pa.list_(inner, 2), pa.list_view(inner),
            pa.map_(pa.string(), inner), pa.map_(pa.int64(), inner),
            pa.struct([("a", inner), ("b", pa.int64())]),
        ])  # fmt: skip
    return rng.choice(plain)


def _value(rng: random.Random, kind: pa.DataType) -> Any:
    """A value of a type, or nothing; edges more often than not."""
    if rng.random() < 0.15:
        return None
    if isinstance(kind, pa.BaseExtensionType):
        return _value(rng, kind.storage_type)
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return _value(rng, kind.value_type)
    if pa.types.is_map(kind):
        return [(_value(rng, kind.key_type) or 0, _value(rng, kind.item_type)) for _ in range(rng.randrange(3))]
    if pa.types.is_struct(kind):
        return {field.name: _value(rng, field.type) for field in kind}
    if pa.types.is_fixed_size_list(kind):
        return [_value(rng, kind.value_type) for _ in range(kind.list_size)]
    if pa.types.is_nested(kind):
        return [_value(rng, kind.value_type) for _ in range(rng.randrange(3))]
    return _plain(rng, kind)


def _plain(rng: random.Random, kind: pa.DataType) -> Any:
    if pa.types.is_fixed_size_binary(kind):
        return rng.randbytes(kind.byte_width)
    if "binary" in str(kind):
        return rng.choice((words(rng).encode("utf-8", "replace"), rng.randbytes(rng.randrange(5))))
    if "string" in str(kind):
        return words(rng).replace("\ud800", "")
    if pa.types.is_boolean(kind):
        return rng.random() < 0.5
    if pa.types.is_decimal(kind):
        return decimal.Decimal(rng.choice(("0", "-1.5", "12345678901234.5")))
    if pa.types.is_floating(kind):
        return rng.choice((0.0, -0.0, 1.5, float("nan"), float("inf"), 6e4))
    if pa.types.is_interval(kind):
        return pa.MonthDayNano([rng.randrange(-5, 5), rng.randrange(9), rng.randrange(10**9)])
    if pa.types.is_temporal(kind):
        edge = 2**31 - 1 if kind.bit_width == 32 else 2**63 - 1
        return rng.choice((0, 1, -1, 86_399, edge, -edge, 10**9, 253402300800))
    return rng.choice(
        (0, 1, 127, 2 ** (kind.bit_width - 1) - 1 if hasattr(kind, "bit_width") and kind.bit_width else 0)
    )
