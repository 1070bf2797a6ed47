"""JSON Lines: an object a line, or a text alone, which stands for the task's main field."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from contract.errors import ErrorCode
from contract.jsons import loads_exactly
from models.sheets.layout import MAX_CELL, MAX_COLUMNS, FileError, Layout, Place, Record, Sample
from models.sheets.lines import rows_by_line

_RECORDS = 1_000
#: Lists and objects in one another: what is read shall be written again, and writers give up at a thousand.
_DEEPEST = 500
_HINTED = 20


def fits(sample: Sample, *, hint: str | None) -> bool:
    """Whether this is JSONL and not CSV: by its first line, or by any of the first where it is said to be."""
    lines = [line for line in sample.text[: 1 << 18].splitlines() if line.strip()][:_HINTED]
    if not lines:
        # What there is stands behind ever so many blank lines.
        return False
    first = lines[0].lstrip()
    if first.strip() == "{":
        message = "This is one JSON object over many lines. Write an array of objects, or an object a line."
        raise FileError(ErrorCode.UNKNOWN_FORMAT, message, line=1)
    if first.startswith("{"):
        # `{id},{text}` is a CSV header of a kind; but a broken object is a broken JSONL line.
        return hint != "csv" or isinstance(_loads(first), dict)
    if hint != "jsonl":
        return False
    # A line that is a list is no row, and no header of a CSV either.
    return first.startswith(('"', "[")) or any(isinstance(_loads(line), dict | str) for line in lines)


def _loads(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def sniff(sample: Sample, *, main_field: str) -> Layout:
    layout = sample.layout("jsonl", [], bare=main_field)
    return with_columns(layout, records(sample.path, layout, Place()))


def with_columns(layout: Layout, found: Iterator[Record]) -> Layout:
    """The layout with every column that the first records name; raises FileError where each of them is broken."""
    columns: dict[str, None] = {}
    first: Record | None = None
    for record in islice(found, _RECORDS):
        first = first or record
        columns.update(dict.fromkeys(record.values))
    if first is not None and first.flaw and not columns:
        raise FileError(ErrorCode.UNREADABLE_FILE, f"Line {first.line:,}: {first.flaw}", line=first.line)
    return dataclasses.replace(layout, columns=list(columns)[:MAX_COLUMNS])


def records(path: Path, layout: Layout, place: Place) -> Iterator[Record]:
    """Data rows from `place` on; blank lines are none."""
    bare = layout.bare or "text"
    read = functools.partial(an_object, bare=bare, what="line", loads=loader(layout))
    return rows_by_line(path, layout, place, read, flawed=lambda _: {})


def loader(layout: Layout) -> Callable[[str | bytes], Any]:
    """How the rows of a file are read."""
    return loads_exactly if layout.exact else orjson.loads


def an_object(
    text: str, bare: str, *, what: str, loads: Callable[[str], Any] = orjson.loads
) -> tuple[dict[str, Any], str | None]:
    """What one row of JSON holds, or why it is none."""
    if len(text) > MAX_CELL:
        return {}, f"The {what} has more than {MAX_CELL:,} characters."
    try:
        value = _loaded(text, loads)
    except (ValueError, RecursionError):
        return {}, f"The {what} is not JSON."
    if text.count("[") + text.count("{") > _DEEPEST and _is_deep(value):
        return {}, f"The {what} has more than {_DEEPEST} lists and objects in one another."
    if isinstance(value, str):
        return {bare: value}, None
    if not isinstance(value, dict):
        return {}, f"The {what} must be a JSON object or a text."
    return value, None


def _loaded(text: str, loads: Callable[[str], Any]) -> Any:
    """A row. NaN and Infinity, which Python writes though JSON has no such numbers, are nothing."""
    try:
        return loads(text)
    except ValueError:
        if "NaN" not in text and "Infinity" not in text:
            raise
        return loads(json.dumps(json.loads(text, parse_constant=lambda _: None)))


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_DEEPEST + 1):
        nested = [one for one in level if isinstance(one, list | dict)]
        level = [inner for one in nested for inner in (one.values() if isinstance(one, dict) else one)]
        if not nested:
            return False
    return True
