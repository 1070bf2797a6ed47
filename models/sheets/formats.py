"""Every format that can be read: what tells it apart, and its reader. A further one is added here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from models.sheets import csvs, jsonl
from models.sheets.encodings import take_sample
from models.sheets.layout import Layout, Place, Record

Records = Callable[[Path, Layout, Place], Iterator[Record]]

#: By `Layout.format`.
READERS: dict[str, Records] = {"csv": csvs.records, "jsonl": jsonl.records}

#: What `format` may say in a request, and what a file's ending says. Both are hints: the content decides.
HINTS = {"csv": "csv", "tsv": "tsv", "tab": "tsv", "jsonl": "jsonl", "ndjson": "jsonl", "json": "json"}
REQUESTABLE = ("csv", "tsv", "jsonl", "ndjson")


def sniff(path: Path, *, main_field: str, filename: str = "", said: str | None = None) -> Layout:
    """How a file is laid out, by its content; raises FileError when it cannot be read at all."""
    sample = take_sample(path)
    hint = HINTS.get(said or Path(filename).suffix.lstrip(".").lower())
    if jsonl.fits(sample, hint=hint):
        return jsonl.sniff(sample, main_field=main_field)
    # A name alone does not make a file of commas one of tabs.
    return csvs.sniff(sample, hint=hint if said else None)


def records(path: Path, layout: Layout, place: Place | None = None) -> Iterator[Record]:
    """The data rows of a file from `place` on, each with the place behind it."""
    return READERS[layout.format](path, layout, place or Place())
