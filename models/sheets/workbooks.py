"""Excel workbooks: unrolled once into a file of rows, which is read like any other; and written row by row."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from contract.errors import ErrorCode
from models.sheets import unroll
from models.sheets.archives import ONLY_MEDIA
from models.sheets.csvs import column_names, out_of_step
from models.sheets.formulas import defused
from models.sheets.kinds import as_text
from models.sheets.layout import AS_FOUND, MAX_COLUMNS, Corrections, FileError, Layout, Place, Record, nothing_below
from models.sheets.packed import beside, plain
from models.sheets.table import Column, Joined

#: What Excel holds: rows in a sheet, the header among them, and UTF-16 units in a cell.
MAX_ROWS = 1 << 20
MAX_TEXT = 32_767
#: Whole numbers beyond this lose digits in a cell.
_EXACT = 1 << 53
MARK = b"PK\x03\x04"
_WORDS = {
    unroll.DAMAGED: (ErrorCode.UNREADABLE_FILE, "The workbook is damaged or cut short."),
    unroll.TOO_LARGE: (ErrorCode.TOO_LARGE, "The workbook holds more than this server takes. Save it as CSV."),
    unroll.LOCKED: (ErrorCode.UNREADABLE_FILE, "The workbook has a password. Save it without one."),
    unroll.NO_WORKBOOK: (
        ErrorCode.UNKNOWN_FORMAT,
        f"This is a ZIP archive and no Excel workbook (.xlsx). {ONLY_MEDIA}",
    ),
    unroll.NO_SHEET: (ErrorCode.EMPTY_FILE, "No sheet of the workbook holds anything."),
    unroll.NO_SUCH_SHEET: (ErrorCode.INVALID_VALUE, "The workbook has no such sheet."),
}
#: Sheets that an error names.
_NAMED = 50


def sniff(path: Path, layout: Layout, corrections: Corrections = AS_FOUND) -> Layout:
    """The first row that holds anything names the columns, unless it is said to be a data row."""
    headed, above = corrections.header is not False, corrections.skip_lines or 0
    with _rows(path, layout, corrections.sheet).open("rb") as file:
        head = file.readline()
        layout = dataclasses.replace(layout, **orjson.loads(head), skip_lines=above)
        before = start = len(head)
        for line in file:
            before, start = start, start + len(line)
            place, cells = orjson.loads(line)
            header = _trimmed(cells)
            if header and place > above:
                break
        else:
            raise nothing_below(above, f"sheet '{layout.sheet}'", sheets=layout.sheets)
        size = file.seek(0, 2)
    if len(header) > MAX_COLUMNS:
        raise FileError(ErrorCode.UNREADABLE_FILE, f"The first row has more than {MAX_COLUMNS:,} cells.", line=place)
    if not headed:
        # Every row is as wide as the sheet, and the first may be shorter than others.
        names = column_names([""] * min(len(cells), MAX_COLUMNS))
        return dataclasses.replace(layout, columns=names, start=before, line=place, size=size)
    names = column_names(["" if cell is None else as_cell(cell) for cell in header])
    return dataclasses.replace(layout, columns=names, start=start, line=place + 1, size=size)


def records(path: Path, layout: Layout, place: Place) -> Iterator[Record]:
    """Data rows from `place` on, `line` being the row of the sheet; empty ones are none."""
    width, row = len(layout.columns), place.row
    copy = _as_before(path, layout) if layout.sheet is None else _rows(path, layout, layout.sheet)
    with copy.open("rb") as file:
        end = max(layout.start, place.offset)
        file.seek(end)
        for data in file:
            end += len(data)
            line, cells = orjson.loads(data)
            if any(cell is not None for cell in cells):
                cells = _trimmed(cells)
                flaw = out_of_step(cells, width) if len(cells) > width else None
                cells = cells[:width] + [None] * (width - len(cells))
                yield Record(row, line, cells, flaw, end, line + 1)
                row += 1


def _trimmed(cells: list[Any]) -> list[Any]:
    while cells and cells[-1] is None:
        cells = cells[:-1]
    return cells


def as_cell(value: Any) -> str:
    """A cell as a text, as the sheet shows it."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    return value if isinstance(value, str) else as_text(value)


def _rows(path: Path, layout: Layout, sheet: str | None) -> Path:
    """The file of rows that a sheet was unrolled into; now, unless somebody did before. None: the first with any."""
    first = path.with_name(f"{path.name}.sheet")
    if sheet is None:
        return beside(path, first, lambda part: _unroll(path, layout, part))
    if _holds(first, sheet):
        return first
    digest = hashlib.sha256(sheet.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    copy = path.with_name(f"{path.name}.{digest}.sheet")
    return beside(path, copy, lambda part: _unroll(path, layout, part, sheet))


def _holds(copy: Path, sheet: str) -> bool:
    try:
        with copy.open("rb") as file:
            return bool(orjson.loads(file.readline())["sheet"] == sheet)
    except FileNotFoundError:
        return False


def _as_before(path: Path, layout: Layout) -> Path:
    """The copy of before sheets had names, which places of batches from then count in: the rows alone."""

    def run(part: Path) -> None:
        with _rows(path, layout, None).open("rb") as source, part.open("wb") as out:
            source.readline()
            shutil.copyfileobj(source, out, 1 << 20)

    return beside(path, path.with_name(f"{path.name}.rows"), run)


def _unroll(path: Path, layout: Layout, part: Path, sheet: str | None = None) -> None:
    # -I: whatever stands in this folder or in the environment is not imported.
    command = [sys.executable, "-I", unroll.__file__, str(plain(path, layout)), str(part), str(layout.limit)]
    # In ASCII: a name that a request says may hold what no argument can.
    said = [] if sheet is None else [json.dumps(sheet)]
    done = subprocess.run([*command, *said], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode:
        raise _refusal(done, sheet)


def _refusal(done: subprocess.CompletedProcess[bytes], sheet: str | None) -> FileError:
    # Killed, or out of memory in a way it could not say: it took more than it may.
    code, message = _WORDS.get(done.returncode, _WORDS[unroll.TOO_LARGE])
    # Whoever is killed may be in the middle of a word.
    sheets: list[str] = orjson.loads(done.stdout) if done.returncode in _WORDS and done.stdout else []
    if sheet is None or done.returncode not in (unroll.NO_SUCH_SHEET, unroll.NO_SHEET):
        return FileError(code, message, sheets=sheets)
    what = "holds nothing" if done.returncode == unroll.NO_SHEET else "is not in the workbook"
    more = f" and {len(sheets) - _NAMED:,} more" if len(sheets) > _NAMED else ""
    names = ", ".join(f"'{name[:60]}'" for name in sheets[:_NAMED])
    message = f"sheet: '{sheet[:60]}' {what}. Its sheets: {names}{more}."
    return FileError(ErrorCode.INVALID_VALUE, message, field="sheet", sheets=sheets)


def write(out: BinaryIO, columns: list[Column], rows: Iterable[Joined], folder: Path) -> None:
    """Rows as a workbook of texts, numbers and truth values. A text too long for a cell ends with an ellipsis."""
    import xlsxwriter

    # The other way to keep memory flat, a shared table of texts, would hold every text until the end.
    book = xlsxwriter.Workbook(out, {"constant_memory": True, "tmpdir": str(folder)})
    names = [_fitting(defused(column.name)) for column in columns]
    left = iter(rows)
    full = True
    while full:
        sheet = book.add_worksheet()
        for place, name in enumerate(names):
            sheet.write_string(0, place, name)
        count = 0
        for count, joined in enumerate(islice(left, MAX_ROWS - 1), start=1):
            for place, column in enumerate(columns):
                _write(sheet, count, place, column.get(joined))
        full = count == MAX_ROWS - 1
    book.close()


def _write(sheet: Any, row: int, column: int, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, bool):
        sheet.write_boolean(row, column, value)
    elif isinstance(value, int | float) and -_EXACT < value < _EXACT:
        sheet.write_number(row, column, value)
    else:
        sheet.write_string(row, column, _fitting(defused(value if isinstance(value, str) else as_text(value))))


def _fitting(text: str) -> str:
    if len(text) * 2 <= MAX_TEXT:
        return text
    units = text.encode("utf-16-le", "replace")
    if len(units) <= MAX_TEXT * 2:
        return text
    return units[: (MAX_TEXT - 1) * 2].decode("utf-16-le", "ignore") + "…"
