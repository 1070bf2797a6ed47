"""A program of its own: `unroll.py WORKBOOK OUT LIMIT [SHEET]` writes the rows of one sheet of a workbook.

SHEET is its name as JSON, in ASCII; without one it is the first sheet that is seen and holds anything.

A workbook can only be read whole, takes five times its size in memory and can be made to take far more: this process
may take so much and no more, and nobody else dies with it. The first line of OUT is `{"sheet", "sheets"}`, which is
read and which there are; each further one is `[row of the sheet, [cells]]`.

It must not import the house: it starts in a tenth of a second. What goes wrong is said by the exit status; stdout has
the names of the sheets once they are known.
"""

from __future__ import annotations

import json
import resource
import sys
import zipfile
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from typing import Any

MEMORY = 4 << 30
SECONDS = 300
#: So much of a sheet's name tells it from others, and so many names are listed; spreadsheets allow 31 characters.
MAX_NAME, MAX_SHEETS = 255, 1_000
#: Exit statuses.
DAMAGED, TOO_LARGE, LOCKED, NO_WORKBOOK, NO_SHEET, NO_SUCH_SHEET = 10, 11, 12, 13, 14, 15


def main(workbook: str, out: str, limit: int, wanted: str | None) -> int:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    try:
        return _refusal(workbook, limit) or _unroll(workbook, out, wanted)
    except MemoryError:
        return TOO_LARGE


def _refusal(workbook: str, limit: int) -> int:
    """What the archive's own table of contents tells."""
    try:
        with zipfile.ZipFile(workbook) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return DAMAGED
    if not any(entry.filename.lower() == "xl/workbook.xml" for entry in entries):
        return NO_WORKBOOK
    return TOO_LARGE if sum(entry.file_size for entry in entries) > min(limit, MEMORY) else 0


def _unroll(workbook: str, out: str, wanted: str | None) -> int:
    import orjson
    import python_calamine

    try:
        book = python_calamine.CalamineWorkbook.from_path(workbook)
        abouts = [about for about in book.sheets_metadata if about.typ == python_calamine.SheetTypeEnum.WorkSheet]
        names = [_called(about) for about in abouts][:MAX_SHEETS]
        sys.stdout.buffer.write(orjson.dumps(names))
        if wanted is not None and wanted not in map(_called, abouts):
            return NO_SUCH_SHEET
        # What people see goes before what a program hid.
        visible = python_calamine.SheetVisibleEnum.Visible
        for about in sorted(abouts, key=lambda about: about.visible != visible):
            if wanted not in (None, _called(about)):
                continue
            sheet = book.get_sheet_by_name(about.name)
            if sheet.start is not None:
                _write(out, {"sheet": _called(about), "sheets": names}, sheet.iter_rows())
                return 0
    except python_calamine.PasswordError:
        return LOCKED
    except (python_calamine.CalamineError, OSError, ValueError):
        return DAMAGED
    return NO_SHEET


def _called(about: Any) -> str:
    return str(about.name)[:MAX_NAME]


def _write(out: str, about: dict[str, Any], rows: Iterable[list[Any]]) -> None:
    import orjson

    # Empty rows above the first are given, empty columns before it are not.
    with open(out, "wb") as file:  # noqa: PTH123 - pathlib is not otherwise needed here
        file.write(orjson.dumps(about) + b"\n")
        for place, cells in enumerate(rows, start=1):
            file.write(orjson.dumps([place, [_plain(cell) for cell in cells]]) + b"\n")


def _plain(cell: Any) -> Any:
    if isinstance(cell, float):
        return int(cell) if cell.is_integer() and abs(cell) < 1 << 53 else cell
    if isinstance(cell, datetime | date | time):
        return cell.isoformat()
    if isinstance(cell, timedelta):
        return cell.total_seconds()
    return None if cell == "" else cell


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4]) if sys.argv[4:] else None))
