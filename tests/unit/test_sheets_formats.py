"""Every format that can be read gives the same rows, from any of them on, packed or not."""

from __future__ import annotations

import gzip
import importlib
import io
import json
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xlsxwriter

from contract.pipelines import PipelineSpec
from models.sheets import formats, packed
from models.sheets.layout import FileError, Place, Record
from models.sheets.preview import Preview, preview
from tests.sheets import arrow, parquet, xlsx

zstd = importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
SPEC = PipelineSpec("fake", "text-classification", backend="fake")
ROWS = [{"ref": f"r{n}", "text": f"row {n} été"} for n in range(300)]


def table(rows: list[dict[str, Any]]) -> list[list[Any]]:
    return [list(rows[0]), *[list(row.values()) for row in rows]]


FILES = {
    "csv": ("a.csv", "".join(",".join(cells) + "\n" for cells in table(ROWS)).encode()),
    "jsonl": ("a.jsonl", "".join(json.dumps(row) + "\n" for row in ROWS).encode()),
    "json": ("a.json", json.dumps(ROWS, indent=2, ensure_ascii=False).encode()),
    "parquet": ("a.parquet", parquet(ROWS, row_group_size=90)),
    "arrow": ("a.arrow", arrow(ROWS)),
    "arrow, packed inside": ("a.feather", arrow(ROWS, compression="zstd")),
    "arrow stream": ("a.arrows", arrow(ROWS, pa.ipc.new_stream)),
    "xlsx": ("a.xlsx", xlsx(table(ROWS))),
    "txt": ("a.txt", "".join(f"{row['text']}\n" for row in ROWS).encode()),
}


def stored(folder: Path, data: bytes) -> Path:
    path = folder / "stored"
    for old in folder.glob("stored*"):
        old.unlink()
    path.write_bytes(data)
    return path


def tried(folder: Path, data: bytes, name: str = "file", **more: Any) -> Preview:
    return preview(stored(folder, data), **{"spec": SPEC, "mapping": {}, "filename": name, **more})


def texts(found: Preview) -> list[Any]:
    return [row["inputs"].get("text") for row in found.rows]


@pytest.mark.parametrize("packing", ["plain", "gzip", "zstd"])
@pytest.mark.parametrize("what", FILES)
def test_every_format_gives_the_same_rows_and_goes_on_after_any(what, packing, tmp_path):
    name, data = FILES[what]
    data = {"plain": data, "gzip": gzip.compress(data), "zstd": zstd.compress(data)}[packing]
    path = stored(tmp_path, data)
    layout = formats.sniff(path, main_field="text", filename=name + {"gzip": ".gz", "zstd": ".zst"}.get(packing, ""))
    assert (layout.format, layout.packing) == (what.split()[0].strip(","), None if packing == "plain" else packing)
    found = list(formats.records(path, layout))
    assert [record.row for record in found] == list(range(300))
    assert [_text(record, layout.columns) for record in found] == [row["text"] for row in ROWS]
    settled = formats.settled(path, layout)
    for place in (0, 1, 68, 69, 70, 89, 90, 150, 298, 299):
        assert list(_after(path, settled, found[place])) == found[place + 1 :]


def _text(record: Record, columns: list[str]) -> Any:
    return record.values["text"] if isinstance(record.values, dict) else record.values[columns.index("text")]


def _after(path: Path, layout: Any, record: Record) -> Iterator[Record]:
    return formats.records(path, layout, Place(record.end, record.next_line, record.row + 1))


def test_lines_are_where_rows_stand(tmp_path):
    def lines(data: bytes, name: str) -> list[int]:
        path = stored(tmp_path, data)
        return [
            record.line for record in formats.records(path, formats.sniff(path, main_field="text", filename=name))
        ]

    assert lines(b'\n[\n {"text":\n "a"},\n "b", "c"\n]\n', "a.json") == [3, 5, 5]
    assert lines(xlsx([[], [None, "text"], [None, "a"], [], [None, "b"]]), "a.xlsx") == [3, 5]
    assert lines(b"a\n\nb\n", "a.txt") == [1, 3]
    assert lines(parquet([{"text": "a"}, {"text": "b"}]), "a.parquet") == [1, 2]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('[{"text": "a"},\n {"text": "b"', 2, "breaks off"),
        ('[{"text": "a"},\n {"text" "b"}, {"text": "' + "c" * 100 + '"}]', 2, "not JSON"),
        ('[{"text": "a"}\n {"text": "b"}]', 2, "comma"),
        ('[{"text": "a"}]\n{"text": "b"}', 2, "behind the end"),
        ('[{"text": "a"},\n' + "[" * 3000 + "]" * 3000 + "]", 2, "brackets"),
    ],
)
def test_a_broken_array_names_the_line(text, line, words, tmp_path):
    found = tried(tmp_path, text.encode(), "a.json")
    assert found.error is not None
    assert (found.error["code"], found.error["line"]) == ("unreadable_file", line)
    assert words in found.error["message"]


def test_elements_of_an_array_that_are_no_rows_are_bad_rows(tmp_path):
    found = tried(tmp_path, b'[{"text": "a"}, 5, [1], "b", {"text": NaN}, {"text": "\\ud800"}, {"other": 1},]', "a")
    assert (found.format, texts(found), found.total) == ("json", ["a", "b"], 7)
    assert [(bad["row"], bad["code"]) for bad in found.errors] == [
        (1, "invalid_row"), (2, "invalid_row"), (4, "missing_field"), (5, "invalid_row"), (6, "missing_field"),
    ]  # fmt: skip


def test_an_array_longer_than_what_is_read_at_once_is_read_in_flat_memory(tmp_path):
    rows = [{"text": "é" * 1000, "n": n} for n in range(2000)]
    path = stored(tmp_path, json.dumps(rows, ensure_ascii=False).encode())
    layout = formats.sniff(path, main_field="text")
    assert [record.values["n"] for record in formats.records(path, layout)] == list(range(2000))


def test_a_table_that_is_called_txt_is_a_table_and_prose_is_text(tmp_path):
    assert tried(tmp_path, b"id\ttext\n1\ta\n2\tb\n", "a.txt").format == "csv"
    assert tried(tmp_path, b"id,text\n1,a\n2,b\n", "a.txt").format == "csv"
    prose = b"Well, yes. It was good\nNo, never. I hated it\n"
    assert texts(tried(tmp_path, prose, "a.txt")) == prose.decode().splitlines()
    assert tried(tmp_path, prose, "a.csv").format == "csv"
    assert texts(tried(tmp_path, b"id,text\n1,a\n", "a.csv", format="txt")) == ["id,text", "1,a"]


def test_what_is_said_of_a_file_is_no_reason_to_read_it_wrongly(tmp_path):
    found = tried(tmp_path, b"text\na\n", "a.csv", format="parquet")
    assert found.error is not None
    assert found.error["code"] == "unknown_format"
    assert tried(tmp_path, FILES["parquet"][1], "a.csv", format="csv").format == "parquet"


def test_cells_of_a_sheet_are_texts_where_a_text_is_wanted_and_typed_otherwise(tmp_path):
    data = xlsx([["text", "k", "when"], [2024, 2, True], [1.5, "3", None], ["a", "many", None], ["b", 1, None, "x"]])
    found = tried(tmp_path, data, "a.xlsx", mapping={"text": "text", "parameters.top_k": "k"})
    assert (found.encoding, [row["inputs"]["text"] for row in found.rows]) == (None, ["2024", "1.5"])
    assert [row["parameters"] for row in found.rows] == [{"top_k": 2}, {"top_k": 3}]
    assert [(bad["row"], bad["line"], bad["code"]) for bad in found.errors] == [
        (2, 4, "invalid_value"), (3, 5, "invalid_row"),
    ]  # fmt: skip


def test_columns_of_every_arrow_type_are_json(tmp_path):
    rows = [{
        "text": "a", "when": datetime(2026, 1, 2, 3, 4, 5, 6, UTC), "price": Decimal("1.50"), "raw": b"\xff\x00",
        "plain": b"abc", "nan": float("nan"), "list": [{"d": date(2026, 1, 2)}], "pairs": {"a": [1, None]},
    }]  # fmt: skip
    arrow_table = pa.Table.from_pylist(rows)
    arrow_table = arrow_table.append_column("kind", pa.array(["x"]).dictionary_encode())
    arrow_table = arrow_table.append_column("ns", pa.array([1], pa.timestamp("ns")))
    out = io.BytesIO()
    pq.write_table(arrow_table, out)
    path = stored(tmp_path, out.getvalue())
    layout = formats.sniff(path, main_field="text")
    (record,) = formats.records(path, layout)
    assert dict(zip(layout.columns, record.values, strict=True)) == {
        "text": "a", "when": "2026-01-02T03:04:05.000006+00:00", "price": "1.50", "raw": "/wA=", "plain": "abc",
        "nan": None, "list": [{"d": "2026-01-02"}], "pairs": {"a": [1, None]}, "kind": "x",
        "ns": "1970-01-01T00:00:00",
    }  # fmt: skip


def test_an_archive_is_unpacked_within_a_limit_and_its_copy_is_there_whole_or_not(tmp_path):
    for data in (gzip.compress(b"text\n" + b"a\n" * 5000), zstd.compress(b"text\n" + b"a\n" * 5000)):
        found = tried(tmp_path, data, limit=4000)
        assert found.error is not None
        assert found.error["code"] == "too_large"
        path = stored(tmp_path, data)
        with pytest.raises(FileError, match="most this server takes"):
            packed.plain(path, formats.Layout("csv", "utf-8", [], packing=packed.packing_of(path), limit=4000))
        assert [one.name for one in tmp_path.iterdir()] == ["stored"]


def test_a_bomb_is_refused_by_how_much_it_grows(tmp_path, monkeypatch):
    monkeypatch.setattr(packed, "HARMLESS", 1 << 20)
    found = tried(tmp_path, gzip.compress(b"text\n" + b"a\n" * 2_000_000))
    assert found.error is not None
    assert found.error["code"] == "too_large"


def test_a_huge_text_that_every_row_of_a_tiny_parquet_file_repeats_is_read_row_by_row(tmp_path):
    data = parquet([{"text": "x" * 5_000_000}] * 50, compression="zstd")
    assert len(data) < 1 << 20
    found = tried(tmp_path, data, limit=20_000_000)
    assert found.error is not None
    assert found.error["code"] == "too_large"


def test_a_text_in_parquet_that_is_not_utf8_is_that_rows_fault(tmp_path):
    bad = pa.array([b"ok", b"caf\xe9", None], pa.binary()).cast(pa.string(), safe=False)
    out = io.BytesIO()
    pq.write_table(pa.table({"text": bad}), out)
    found = tried(tmp_path, out.getvalue())
    assert [(bad["row"], bad["code"]) for bad in found.errors] == [(1, "invalid_row"), (2, "missing_field")]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_what_could_not_be_written_again_is_a_bad_row(tmp_path, name):
    deep = [json.dumps({"text": "b", "k": json.loads("[" * levels + "]" * levels)}) for levels in (499, 500)]
    rows = [json.dumps({"text": "a"}), *deep, json.dumps({"text": "[" * 600})]
    path = tmp_path / name
    path.write_text("[" + ",\n".join(rows) + "]" if name == "a.json" else "\n".join(rows))
    found = list(formats.records(path, formats.sniff(path, main_field="text", filename=name)))
    assert [record.flaw is None for record in found] == [True, True, False, True]
    assert "500 lists and objects" in (found[2].flaw or "")


def test_what_people_see_of_a_workbook_goes_before_what_is_hidden(tmp_path):
    out = io.BytesIO()
    book = xlsxwriter.Workbook(out)
    for name, text in (("lists", "hidden"), ("Sheet1", "seen")):
        sheet = book.add_worksheet(name)
        sheet.write_column(0, 0, ["text", text])
    book.worksheets()[1].activate()
    book.worksheets()[1].set_first_sheet()
    book.worksheets()[0].hide()
    book.close()
    assert texts(tried(tmp_path, out.getvalue(), "a.xlsx")) == ["seen"]


def test_a_quote_that_is_a_letter_late_in_a_file_of_tabs_swallows_no_rows(tmp_path):
    rows = [f"{n}\trow {n}" for n in range(20_000)]
    rows[15_000] = '15000\t"tis row 15000'
    found = tried(tmp_path, "\n".join(["n\ttext", *rows]).encode(), "a.tsv")
    assert (found.total, found.invalid) == (20_000, 0)
