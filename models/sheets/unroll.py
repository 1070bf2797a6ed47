"""A program of its own: `unroll.py WORKBOOK OUT LIMIT` writes the rows of a workbook's first sheet that holds any.

A workbook can only be read whole, takes five times its size in memory and can be made to take far more: this process
may take so much and no more, and nobody else dies with it. Each line of OUT is `[row of the sheet, [cells]]`.

It must not import the house: it starts in a tenth of a second. What goes wrong is said by the exit status.
"""

from __future__ import annotations

import resource
import sys
import zipfile
from datetime import date, datetime, time, timedelta
from typing import Any

MEMORY = 4 << 30
SECONDS = 300
#: Exit statuses.
DAMAGED, TOO_LARGE, LOCKED, NO_WORKBOOK, NO_SHEET = 10, 11, 12, 13, 14


def main(workbook: str, out: str, limit: int) -> int:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    try:
        return _refusal(workbook, limit) or _unroll(workbook, out)
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


def _unroll(workbook: str, out: str) -> int:
    import orjson
    import python_calamine

    try:
        book = python_calamine.CalamineWorkbook.from_path(workbook)
        # What people see goes before what a program hid.
        visible = python_calamine.SheetVisibleEnum.Visible
        for about in sorted(book.sheets_metadata, key=lambda about: about.visible != visible):
            if about.typ != python_calamine.SheetTypeEnum.WorkSheet:
                continue
            sheet = book.get_sheet_by_name(about.name)
            if sheet.start is None:
                continue
            # Empty rows above the first are given, empty columns before it are not.
            with open(out, "wb") as file:  # noqa: PTH123 - pathlib is not otherwise needed here
                for place, cells in enumerate(sheet.iter_rows(), start=1):
                    file.write(orjson.dumps([place, [_plain(cell) for cell in cells]]) + b"\n")
            return 0
    except python_calamine.PasswordError:
        return LOCKED
    except (python_calamine.CalamineError, OSError, ValueError):
        return DAMAGED
    return NO_SHEET


def _plain(cell: Any) -> Any:
    if isinstance(cell, float):
        return int(cell) if cell.is_integer() and abs(cell) < 1 << 53 else cell
    if isinstance(cell, datetime | date | time):
        return cell.isoformat()
    if isinstance(cell, timedelta):
        return cell.total_seconds()
    return None if cell == "" else cell


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
