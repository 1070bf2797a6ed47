"""Parquet and workbooks to take home: typed, whole, and safe to open."""

from __future__ import annotations

import io
import json

import pyarrow.parquet as pq
import pytest
import python_calamine

from contract.tasks import CATALOGUE
from models.sheets import parquets, workbooks
from models.sheets.export import written
from models.sheets.kinds import Kind, as_kind, both, kind_of, kind_of_all
from models.sheets.table import Joined, Table

TASK = CATALOGUE["text-classification"]
BODY = '[{"label":"good","score":0.5},{"label":"bad","score":0.25}]'


def row(number=0, inputs=None, *, status="succeeded", body=BODY, vector=None, error=None):
    return Joined(number, f"r{number}", inputs or {}, status, body, vector, error)


def file_of(format, rows, folder, *, inputs=("text",), task=TASK, texts=False, columns=None):
    table = Table(task, list(inputs), format=format, texts=texts)
    return io.BytesIO(b"".join(written(format, table.choose(columns), rows, folder=folder)))


def sheets(data):
    book = python_calamine.CalamineWorkbook.from_filelike(data)
    return [book.get_sheet_by_name(name).to_python() for name in book.sheet_names]


def test_parquet_holds_typed_flat_columns_in_the_order_of_the_rows(tmp_path):
    failed = row(2, {"text": "c", "n": 3}, status="failed", body=None, error={"code": "x", "message": "y"})
    found = pq.read_table(file_of(
        "parquet", [row(0, {"text": "=a", "n": 1}), row(1, {"text": None, "n": 2}), failed], tmp_path,
        inputs=("text", "n"),
    ))  # fmt: skip
    assert found.to_pydict() == {
        "text": ["=a", None, "c"], "n": [1, 2, 3], "label": ["good", "good", None], "score": [0.5, 0.5, None],
        "status": ["succeeded", "succeeded", "failed"], "error": [None, None, "x: y"],
    }  # fmt: skip
    assert [str(field.type) for field in found.schema] == ["string", "int64", "string", "double", "string", "string"]
    assert list(tmp_path.iterdir()) == []


def test_a_vector_in_parquet_is_a_list_of_numbers(tmp_path):
    rows = [row(body=None, vector=[0.5, -1.0]), row(1, status="failed", body=None)]
    found = pq.read_table(file_of("parquet", rows, tmp_path, task=CATALOGUE["feature-extraction"]))
    assert found.column("embedding").to_pylist() == [[0.5, -1.0], None]


def test_a_column_that_changes_its_kind_late_is_written_wider(tmp_path, monkeypatch):
    monkeypatch.setattr(parquets, "_GROUP_ROWS", 2)
    values = [1, 2, 3, 0.5, None, 7]
    found = pq.read_table(file_of("parquet", [row(n, {"text": v}) for n, v in enumerate(values)], tmp_path))
    assert found.column("text").to_pylist() == [1.0, 2.0, 3.0, 0.5, None, 7.0]
    values = [None, None, None, {"a": [1]}, "b", True]
    found = pq.read_table(file_of("parquet", [row(n, {"text": v}) for n, v in enumerate(values)], tmp_path))
    assert found.column("text").to_pylist() == [None, None, None, '{"a":[1]}', "b", "true"]


def test_no_rows_are_a_parquet_file_with_its_columns(tmp_path):
    found = pq.read_table(file_of("parquet", [], tmp_path))
    assert (found.num_rows, found.column_names) == (0, ["text", "label", "score", "status", "error"])


def test_a_workbook_holds_what_a_csv_holds_with_formulas_defused(tmp_path):
    rows = [row(0, {"text": "=1+1"}), row(1, {"text": "-5"}), row(2, {"text": 7}), row(3, {"text": "a\0\x07b"})]
    (found,) = sheets(file_of("xlsx", rows, tmp_path))
    assert found[0] == ["text", "label", "score", "status", "error"]
    assert [cells[0] for cells in found[1:4]] == ["'=1+1", "-5", 7.0]
    assert found[1][1:4] == ["good", 0.5, "succeeded"]
    assert list(tmp_path.iterdir()) == []


def test_no_cell_of_a_workbook_is_a_formula_or_a_link(tmp_path):
    import zipfile

    texts = ["=1+1", "{=1}", "http://example.org", "@SUM(A1)", "\t=1", "\r=1", "+1+1", "-1+1"]
    data = file_of("xlsx", [row(n, {"text": text}) for n, text in enumerate(texts)], tmp_path)
    sheet = zipfile.ZipFile(data).read("xl/worksheets/sheet1.xml")
    assert b"<f>" not in sheet
    assert b"hyperlink" not in sheet
    shared = [text for text in texts if "\r" not in text]
    data.seek(0)
    (found,) = sheets(data)
    kept = [cells[0] for cells in found[1:]]
    assert [text for text in kept if text.lstrip("'") in shared] == [
        text if text[0] in "{h" else f"'{text}" for text in shared
    ]


def test_a_workbook_goes_on_in_a_further_sheet_where_one_is_full(tmp_path, monkeypatch):
    monkeypatch.setattr(workbooks, "MAX_ROWS", 3)
    first, second, third = sheets(file_of("xlsx", [row(n, {"text": f"t{n}"}) for n in range(5)], tmp_path))
    assert [len(first), len(second), len(third)] == [3, 3, 2]
    assert {cells[0] for cells in (first[0], second[0], third[0])} == {"text"}
    assert [cells[0] for cells in first[1:] + second[1:] + third[1:]] == [f"t{n}" for n in range(5)]


def test_a_text_that_no_cell_holds_is_cut_and_says_so(tmp_path):
    long, astral = "x" * 40_000, "😀" * 20_000
    (found,) = sheets(file_of("xlsx", [row(0, {"text": long}), row(1, {"text": astral})], tmp_path))
    assert [len(found[1][0]), found[1][0][-1]] == [32_767, "…"]
    assert len(found[2][0].encode("utf-16-le")) // 2 <= 32_767


@pytest.mark.parametrize("format", ["csv", "jsonl", "json", "parquet", "xlsx"])
def test_odd_values_break_no_format(format, tmp_path):
    values = [1 << 70, float("nan"), float("inf"), [[]], {}, "", True, "\U0001f600", -(1 << 60), 1 << 63]
    data = file_of(format, [row(n, {"text": value}) for n, value in enumerate(values)], tmp_path)
    assert data.getbuffer().nbytes > 100


def test_kinds_only_widen():
    assert [kind_of(v) for v in (None, True, 1, 1.5, "a", [0.5], [], [1], {}, 1 << 70)] == [
        Kind.NONE, Kind.BOOL, Kind.WHOLE, Kind.NUMBER, Kind.TEXT, Kind.VECTOR, Kind.TEXT, Kind.TEXT, Kind.TEXT,
        Kind.TEXT,
    ]  # fmt: skip
    assert both(Kind.NUMBER, Kind.WHOLE) is both(Kind.WHOLE, Kind.NUMBER) is Kind.NUMBER
    assert both(Kind.BOOL, Kind.WHOLE) is Kind.TEXT
    assert kind_of_all([None, 1, None, 2]) is Kind.WHOLE
    assert as_kind(Kind.TEXT, [1, "a"]) == json.dumps([1, "a"], separators=(",", ":"))
