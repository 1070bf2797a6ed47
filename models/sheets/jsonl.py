"""JSON Lines: an object a line, or a text alone, which stands for the task's main field."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from contract.errors import ErrorCode
from models.sheets.layout import MAX_CELL, MAX_COLUMNS, FileError, Layout, Place, Record, Sample
from models.sheets.lines import Lines

_RECORDS = 1_000
_HINTED = 20


def fits(sample: Sample, *, hint: str | None) -> bool:
    """Whether this is JSONL and not CSV: by its first line, or by any of the first where it is said to be."""
    lines = [line for line in sample.text[: 1 << 18].splitlines() if line.strip()][:_HINTED]
    first = lines[0].lstrip()
    if first.startswith("["):
        _refuse_array(first, hint)
    if first.startswith("{"):
        # `{id},{text}` is a CSV header of a kind; but a broken object is a broken JSONL line.
        return hint != "csv" or isinstance(_loads(first), dict)
    if hint != "jsonl":
        return False
    return first.startswith('"') or any(isinstance(_loads(line), dict | str) for line in lines)


def _refuse_array(first: str, hint: str | None) -> None:
    if hint in ("json", "jsonl") or first.rstrip() == "[" or isinstance(_loads(first.rstrip().rstrip(",")), list):
        raise FileError(
            ErrorCode.UNKNOWN_FORMAT, "This is a JSON array. This version reads JSONL: one object a line.", line=1
        )


def _loads(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def sniff(sample: Sample, *, main_field: str) -> Layout:
    layout = Layout("jsonl", sample.encoding, [], newline=sample.newline, start=sample.start, line=1, bare=main_field)
    columns: dict[str, None] = {}
    for record in islice(records(sample.path, layout, Place()), _RECORDS):
        columns.update(dict.fromkeys(record.values))
    return Layout(**{**layout.as_dict(), "columns": list(columns)[:MAX_COLUMNS]})


def records(path: Path, layout: Layout, place: Place) -> Iterator[Record]:
    """Data rows from `place` on; blank lines are none."""
    row = place.row
    with path.open("rb") as file:
        lines = Lines(file, layout, place)
        line = lines.line
        for text in lines:
            flaw, lines.flaw = lines.flaw, None
            if flaw is None and not text.strip():
                line = lines.line
                continue
            values: dict[str, Any] = {}
            if flaw is None:
                values, flaw = _object(text, layout.bare or "text")
            yield Record(row, line, values, flaw, lines.offset, lines.line)
            row, line = row + 1, lines.line


def _object(text: str, bare: str) -> tuple[dict[str, Any], str | None]:
    if len(text) > MAX_CELL:
        return {}, f"The line has more than {MAX_CELL:,} characters."
    try:
        value = orjson.loads(text)
    except (orjson.JSONDecodeError, RecursionError):
        return {}, "The line is not JSON."
    if isinstance(value, str):
        return {bare: value}, None
    if not isinstance(value, dict):
        return {}, "The line must be a JSON object or a text."
    return value, None
