"""Files of the formats that only programs write."""

from __future__ import annotations

import io
from collections.abc import Collection
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import xlsxwriter


def parquet(rows: list[dict[str, Any]], **more: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out, **more)
    return out.getvalue()


def arrow(rows: list[dict[str, Any]], make: Any = pa.ipc.new_file, compression: str | None = None) -> bytes:
    out, table = io.BytesIO(), pa.Table.from_pylist(rows)
    with make(out, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table, max_chunksize=70)
    return out.getvalue()


def xlsx(rows: list[list[Any]]) -> bytes:
    return workbook({"Sheet1": rows})


def workbook(sheets: dict[str, list[list[Any]]], *, hidden: Collection[str] = ()) -> bytes:
    out = io.BytesIO()
    book = xlsxwriter.Workbook(out, {"strings_to_formulas": False})
    for name, rows in sheets.items():
        sheet = book.add_worksheet(name)
        for place, cells in enumerate(rows):
            sheet.write_row(place, 0, cells)
        if name in hidden:
            sheet.hide()
    seen = next((sheet for sheet in book.worksheets() if sheet.name not in hidden), None)
    if seen is not None:
        # The first cannot be hidden while it is the one that opens.
        seen.activate()
        seen.set_first_sheet()
    book.close()
    return out.getvalue()
