"""Results as a folder that `datasets.load_dataset` reads, in a .zip: Parquet files, and a card that says so.

The types of the columns must be the same in every file, so all are written, each to a temporary file without a name,
before the first is sent.
"""

from __future__ import annotations

import contextlib
import io
import json
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from models.sheets.kinds import Kind
from models.sheets.parquets import Shard, write_shards
from models.sheets.table import Column, Joined

_PIECE = 1 << 18
_WHOLE = "dtype: int64"
_TYPES = {Kind.BOOL: "dtype: bool", Kind.WHOLE: _WHOLE, Kind.LONG: _WHOLE, Kind.NUMBER: "dtype: float64"}
_CARD = """---
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*
dataset_info:
  features:
{features}
  splits:
  - name: train
    num_bytes: {size}
    num_examples: {rows}
---

# Results

{rows:,} rows, each beside its result, as Fournil made them.

    datasets.load_dataset("path/of/this/folder", split="train")
"""


def write(columns: list[Column], rows: Iterable[Joined], folder: Path) -> Iterator[bytes]:
    """The .zip, piece by piece. `folder` is where temporary files may be made."""
    with contextlib.ExitStack() as stack:
        shards, kinds = write_shards(columns, rows, folder, stack)
        sink = _Sink()
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr("README.md", _card(columns, kinds, shards))
            for place, shard in enumerate(shards):
                name = f"data/train-{place:05d}-of-{len(shards):05d}.parquet"
                with archive.open(name, "w", force_zip64=True) as out:
                    shard.file.seek(0)
                    while piece := shard.file.read(_PIECE):
                        out.write(piece)
                        yield sink.taken()
        yield sink.taken()


def _card(columns: list[Column], kinds: list[Kind], shards: list[Shard]) -> str:
    features = [_feature(column.name, kind) for column, kind in zip(columns, kinds, strict=True)]
    size = sum(shard.file.tell() for shard in shards)
    return _CARD.format(features="\n".join(features), size=size, rows=sum(shard.rows for shard in shards))


def _feature(name: str, kind: Kind) -> str:
    # A text of JSON is one of YAML.
    holds = "list: float32" if kind is Kind.VECTOR else _TYPES.get(kind, "dtype: string")
    return f"  - name: {json.dumps(name)}\n    {holds}"


class _Sink(io.RawIOBase):
    """What a ZipFile writes to that cannot go back in it: bytes until they are taken."""

    def __init__(self) -> None:
        self._held = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._held += data
        return len(data)

    def taken(self) -> bytes:
        found = bytes(self._held)
        self._held.clear()
        return found
