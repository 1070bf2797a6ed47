"""Workbooks: of any cells, and with damage inside their archive, where a sum over the archive does not find it."""

from __future__ import annotations

import io
import random
import zipfile
from datetime import UTC, datetime
from typing import Any

import xlsxwriter

from tests.fuzz.damage import damaged
from tests.fuzz.texts import words

_WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).replace(tzinfo=None)


def workbook(rng: random.Random) -> bytes:
    data = _written(rng)
    return _with_damage_inside(rng, data) if rng.random() < 0.5 else data


def _written(rng: random.Random) -> bytes:
    out = io.BytesIO()
    book = xlsxwriter.Workbook(out, {"strings_to_formulas": False, "nan_inf_to_errors": True})
    book.set_properties({"created": _WHEN})
    day = book.add_format({"num_format": rng.choice(("yyyy-mm-dd", "hh:mm", "[h]:mm:ss", "0.00"))})
    for _ in range(rng.choice((1, 1, 1, 2))):
        sheet = book.add_worksheet()
        below = 0
        if rng.random() < 0.7:
            below = 1 + rng.choice((0, 0, 0, 3))
            sheet.write_string(below - 1, 0, "text")
        for row in range(below, below + rng.choice((0, 1, 4, 20))):
            for column in range(rng.choice((1, 2, 4))):
                _write(rng, sheet, row + rng.choice((0, 0, 0, 2)), column, day)
    book.close()
    return out.getvalue()


def _write(rng: random.Random, sheet: Any, row: int, column: int, day: Any) -> None:
    match rng.randrange(8):
        case 0:
            sheet.write_number(row, column, rng.choice((0, 1, -1.5, 1e308, 2.0**53, 1e-300, float("nan"))))
        case 1:
            sheet.write_boolean(row, column, rng.random() < 0.5)
        case 2:
            sheet.write_datetime(row, column, _WHEN, day)
        case 3:
            # Dates that no calendar has.
            sheet.write_number(row, column, rng.choice((-1, 0, 60, 1e7, 3e6, -1e15)), day)
        case 4:
            sheet.write_formula(row, column, "=1/0", value=rng.choice(("#DIV/0!", "", 3, "#N/A", words(rng))))
        case _:
            sheet.write_string(row, column, words(rng)[:30_000].replace("\ud800", ""))


def _with_damage_inside(rng: random.Random, data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        names = [entry.filename for entry in old.infolist()]
        sheets = [
            name for name in names if "sheet" in name or "Strings" in name or "workbook" in name or "styles" in name
        ]
        chosen = rng.choice(sheets)
        for name in names:
            content = old.read(name)
            new.writestr(zipfile.ZipInfo(name), damaged(rng, content, "xlsx") if name == chosen else content)
    return out.getvalue()
