"""Plain text: a line a row, for the task's main field. Only where the file's name or the request says so."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from models.sheets.layout import Layout, Place, Record, Sample
from models.sheets.lines import rows_by_line

#: One to three words without a full stop: what people call a column, and seldom how they begin a sentence.
_NAME = re.compile(r"\w+(?:[.-]\w+)*(?: \w+(?:[.-]\w+)*){0,2}")
_ROWS = 50


def fits(sample: Sample, *, hint: str | None, said: bool) -> bool:
    """Whether it is text and not a table that is called .txt, as spreadsheets call what they export with tabs."""
    return hint == "txt" and (said or not _is_table(sample))


def _is_table(sample: Sample) -> bool:
    """Names in the first row, and as many cells in every other."""
    lines = [line for line in sample.text[: 1 << 16].splitlines() if line.strip()][:_ROWS]
    lines = lines[:-1] if len(lines) > 2 and not sample.whole else lines
    return len(lines) > 1 and any(_divides(lines, delimiter) for delimiter in "\t;,|")


def _divides(lines: list[str], delimiter: str) -> bool:
    try:
        header, *rows = csv.reader(lines, delimiter=delimiter, strict=True)
    except csv.Error:
        return False
    names = len(header) > 1 and all(_NAME.fullmatch(cell.strip()) for cell in header)
    return names and all(len(row) == len(header) for row in rows)


def sniff(sample: Sample, *, main_field: str) -> Layout:
    return sample.layout("txt", [main_field], bare=main_field)


def records(path: Path, layout: Layout, place: Place) -> Iterator[Record]:
    """Data rows from `place` on; blank lines are none."""
    return rows_by_line(path, layout, place, lambda text: (_row(text), None), flawed=_row)


def _row(text: str) -> list[str]:
    return [text.rstrip("\r\n")]
