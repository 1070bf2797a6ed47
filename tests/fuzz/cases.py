"""A case: one file in one format, whole or damaged, and what its sender says of it."""

from __future__ import annotations

import gzip
import importlib
import random
import sys
from collections.abc import Callable
from typing import NamedTuple

from tests.fuzz import columnar, texts, workbooks
from tests.fuzz.damage import damaged

_zstd = importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")

Make = Callable[[random.Random], bytes]

#: By format: how many of a hundred cases, what makes the file, and the ending of its name.
FORMATS: dict[str, tuple[int, Make, str]] = {
    "csv": (30, texts.csv_file, "csv"),
    "jsonl": (14, texts.jsonl_file, "jsonl"),
    "json": (14, texts.json_file, "json"),
    "txt": (8, texts.text_file, "txt"),
    "parquet": (14, columnar.parquet_file, "parquet"),
    "arrow": (12, columnar.arrow_file, "arrow"),
    "xlsx": (8, workbooks.workbook, "xlsx"),
}
_TURNS = [name for name, (share, _, _) in FORMATS.items() for _ in range(share)]
_SAYINGS = ("csv", "tsv", "jsonl", "ndjson", "json", "txt", "parquet", "arrow", "feather", "xlsx")


class Case(NamedTuple):
    number: int
    #: What it was made as, with the packing behind a plus.
    format: str
    filename: str
    #: `format` of the request.
    said: str | None
    data: bytes


def case(seed: int, number: int) -> Case:
    """The same for the same seed and number."""
    rng = random.Random(f"{seed}/{number}")
    # Formats take turns, so that any number of cases has its share of each.
    format = random.Random(f"{seed}/order").sample(_TURNS, len(_TURNS))[number % len(_TURNS)]
    _, make, ending = FORMATS[format]
    data = make(rng)
    if rng.random() < 0.5:
        data = damaged(rng, data, format)
    packing = rng.choice(["gz", "zst"]) if rng.random() < 0.15 else None
    if packing:
        data = gzip.compress(data, 1, mtime=0) if packing == "gz" else _zstd.compress(data)
        data = damaged(rng, data, "packed") if rng.random() < 0.3 else data
    name = f"a.{ending}" if rng.random() < 0.8 else f"a.{rng.choice(_SAYINGS)}"
    said = rng.choice(_SAYINGS) if rng.random() < 0.1 else None
    if not packing:
        return Case(number, format, name, said, data)
    return Case(number, f"{format}+{packing}", f"{name}.{packing}", said, data)
