"""Whatever stands in a table is read as it was written, from any place in the file on."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.errors import FournilError
from models.sheets import csvs, jsonl
from models.sheets.formats import records, sniff
from models.sheets.layout import Layout, Place, Record

ENCODINGS = ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le"]
# Everything but NUL, which makes a row a bad one, and lone surrogates, which no encoding can write.
CELLS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
TABLES = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), max_size=8)
)


def written(table: list[list[str]], delimiter: str) -> str:
    out = io.StringIO(newline="")
    # A lone carriage return must be quoted too, which the csv module does for its own line end.
    csv.writer(out, delimiter=delimiter, lineterminator="\r\n").writerows(table)
    return out.getvalue()


def stored(folder: str, data: bytes) -> Path:
    path = Path(folder) / "sheet"
    path.write_bytes(data)
    return path


def rest_after(path: Path, layout: Layout, record: Record) -> list[Record]:
    return list(records(path, layout, Place(record.end, record.next_line, record.row + 1)))


@settings(max_examples=150, deadline=None)
@given(TABLES, st.sampled_from(",;\t|"), st.sampled_from(ENCODINGS))
def test_csv_reads_back_equal_and_goes_on_after_every_row(table, delimiter, encoding):
    with tempfile.TemporaryDirectory() as folder:
        path = stored(folder, written(table, delimiter).encode(encoding))
        columns = [f"c{i}" for i in range(len(table[0]) if table else 1)]
        layout = Layout("csv", encoding, columns, delimiter=delimiter)
        found = list(records(path, layout))
        assert [record.values for record in found] == table
        assert not [record.flaw for record in found if record.flaw]
        assert [record.row for record in found] == list(range(len(table)))
        for record in found:
            assert rest_after(path, layout, record) == found[record.row + 1 :]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.dictionaries(CELLS, CELLS | st.integers(-(2**53), 2**53) | st.lists(CELLS, max_size=3))))
def test_jsonl_reads_back_equal_and_goes_on_after_every_row(objects):
    with tempfile.TemporaryDirectory() as folder:
        data = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in objects).encode()
        path = stored(folder, data)
        layout = Layout("jsonl", "utf-8", [], bare="text")
        found = list(records(path, layout))
        assert [record.values for record in found] == objects
        assert [record.line for record in found] == list(range(1, len(objects) + 1))
        for record in found:
            assert rest_after(path, layout, record) == found[record.row + 1 :]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(["a.csv", "a.jsonl", "a.tsv", "a"]))
def test_no_bytes_whatever_crash_the_reader(data, filename):
    with tempfile.TemporaryDirectory() as folder:
        path = stored(folder, data)
        try:
            layout = sniff(path, main_field="text", filename=filename)
        except FournilError:
            return
        found = list(records(path, layout))
        assert [record.row for record in found] == list(range(len(found)))


WORDS = st.text("abcdefghijklmnopqrstuvwxyz éüñ", min_size=1, max_size=20).map(lambda s: s.strip() or "word")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(WORDS, WORDS, WORDS), min_size=1, max_size=30), st.sampled_from(",;\t|"))
def test_the_delimiter_of_an_ordinary_table_is_found(rows, delimiter):
    with tempfile.TemporaryDirectory() as folder:
        path = stored(folder, written([["ref", "review", "note"], *map(list, rows)], delimiter).encode())
        layout = sniff(path, main_field="text")
        assert (layout.delimiter, layout.columns) == (delimiter, ["ref", "review", "note"])
        assert [record.values for record in records(path, layout)] == [list(row) for row in rows]


def test_lines_are_counted_where_rows_start(tmp_path):
    path = stored(str(tmp_path), b'text,n\r\n"a\r\nb",1\r\n\r\nc,2\r\n')
    layout = sniff(path, main_field="text")
    assert [(r.row, r.line, r.values) for r in records(path, layout)] == [(0, 2, ["a\r\nb", "1"]), (1, 5, ["c", "2"])]


def test_a_line_without_end_is_not_held(tmp_path, monkeypatch):
    monkeypatch.setattr("models.sheets.lines.MAX_RECORD", 4_000)
    body = b"text\n" + b"x" * 50_000 + b"\nshort\n"
    for data, encoding in ((body, "utf-8"), (body.decode().encode("utf-16-le"), "utf-16-le")):
        path = stored(str(tmp_path), data)
        start = len("text\n".encode(encoding))
        found = list(records(path, Layout("csv", encoding, ["text"], start=start, line=2)))
        if encoding == "utf-8":
            assert [(r.line, bool(r.flaw), r.values) for r in found] == [(2, True, []), (3, False, ["short"])]
        assert found[-1].values == ["short"]


def test_a_cell_beyond_the_limit_is_that_rows_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(csvs, "MAX_CELL", 100)
    path = stored(str(tmp_path), b"text\n" + b"y" * 200 + b"\nok\n")
    found = list(records(path, Layout("csv", "utf-8", ["text"], start=5, line=2)))
    assert [bool(record.flaw) for record in found] == [True, False]
    monkeypatch.setattr(jsonl, "MAX_CELL", 10)
    path = stored(str(tmp_path), b'{"text": "too long for this"}\n"ok"\n')
    assert [bool(r.flaw) for r in records(path, Layout("jsonl", "utf-8", [], bare="text"))] == [True, False]


@pytest.mark.parametrize("size", [1 << 18, (1 << 18) + 2, (1 << 18) - 2])
def test_utf16_lines_that_straddle_pieces_stay_whole(tmp_path, size):
    first = "x" * (size // 2 - 3)
    text = f"{first}\nਊ\nb\n"  # U+0A0A: both its bytes look like half a newline
    path = stored(str(tmp_path), text.encode("utf-16-le"))
    found = list(records(path, Layout("csv", "utf-16-le", ["text"])))
    assert [record.values for record in found] == [[first], ["ਊ"], ["b"]]
