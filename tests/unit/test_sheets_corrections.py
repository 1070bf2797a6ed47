"""What a caller says of how a file is read goes before what is found in it."""

from __future__ import annotations

import dataclasses
import gzip
from pathlib import Path
from typing import Any

import pytest

from contract.pipelines import PipelineSpec
from models.sheets import encodings, formats
from models.sheets.layout import Corrections, Layout, Place
from models.sheets.preview import Preview, preview
from tests.sheets import parquet, workbook, xlsx

SPEC = PipelineSpec("fake", "text-classification", backend="fake")
CZECH = "text;n\npříliš žluťoučký;1\n"
SHEETS = ["lists", "Notes", "Données", "Other"]
BOOK = workbook(
    {
        "lists": [["text"], ["hidden"]],
        "Notes": [],
        "Données": [["text"], ["first"]],
        "Other": [["text"], ["b"], ["c"]],
    },
    hidden=["lists"],
)


def tried(folder: Path, data: bytes, name: str = "a.csv", *, column: Any = None, **said: Any) -> Preview:
    path = folder / "stored"
    path.write_bytes(data)
    mapping = {} if column is None else {"text": column}
    return preview(path, spec=SPEC, mapping=mapping, filename=name, corrections=Corrections(**said))


def texts(found: Preview) -> list[Any]:
    assert found.error is None, found
    return [row["inputs"]["text"] for row in found.rows]


@pytest.mark.parametrize("encoding", ["cp1250", "iso8859-2", "utf-8", "utf-16", "utf-16-be", "utf-32"])
def test_a_file_is_read_in_the_encoding_that_is_said(tmp_path, encoding):
    found = tried(tmp_path, CZECH.encode(encoding), encoding=encoding)
    assert texts(found) == ["příliš žluťoučký"]
    assert (found.encoding or "").startswith(encoding)


def test_an_encoding_that_the_file_is_not_in_is_its_rows_fault(tmp_path):
    found = tried(tmp_path, b"text\ncaf\xe9\nok\n", encoding="utf-8")
    assert (texts(found), [bad["line"] for bad in found.errors]) == (["ok"], [2])


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("windows-1250", "cp1250"), ("Latin-1", "iso8859-1"), ("UTF8", "utf-8"), ("utf-8-sig", "utf-8"),
        ("Shift-JIS", "shift_jis"), ("utf-7", None), ("iso2022_jp", None), ("base64", None), ("no such", None),
        ("x\0", None), ("", None),
    ],
)  # fmt: skip
def test_an_encoding_is_known_by_any_of_its_names(word, name):
    assert encodings.named(word) == name


def test_every_encoding_that_is_offered_is_one(tmp_path):
    assert [encodings.named(name) for name in encodings.NAMED] == list(encodings.NAMED)
    for name in encodings.NAMED:
        assert texts(tried(tmp_path, "text,n\nab,1\ncd,2\n".encode(name), encoding=name)) == ["ab", "cd"]


@pytest.mark.parametrize(("delimiter", "data"), [(":", b"a, b:text\nc: d \n"), (" ", b'k text\n1 "x y"\n')])
def test_cells_are_divided_where_it_is_said(tmp_path, delimiter, data):
    found = tried(tmp_path, data, delimiter=delimiter)
    assert (found.delimiter, len(found.columns), len(texts(found))) == (delimiter, 2, 1)


def test_a_text_with_a_delimiter_is_a_table(tmp_path):
    data = b"the text;n\na, b;1\n"
    assert tried(tmp_path, data, "a.txt", delimiter=";", column="the text").columns == ["the text", "n"]


@pytest.mark.parametrize("data", [b"first,1\nsecond,2\n", b"sep=,\nfirst,1\nsecond,2\n", b"\nfirst,1\nsecond,2\n"])
def test_a_csv_without_names_keeps_its_first_row(tmp_path, data):
    found = tried(tmp_path, data, header=False, column=0)
    assert (texts(found), found.columns) == (["first", "second"], ["column_0", "column_1"])
    assert found.rows[1]["row"] == 1
    assert found.rows[1]["line"] == data[: data.index(b"second")].count(b"\n") + 1


def test_a_file_of_one_column_without_a_name_needs_no_mapping(tmp_path):
    assert texts(tried(tmp_path, b"one, two\nthree\n", header=False)) == ["one, two", "three"]


def test_a_workbook_without_names_keeps_its_first_row(tmp_path):
    data = xlsx([[], ["first", None], ["second", "wide"]])
    found = tried(tmp_path, data, "a.xlsx", header=False, column=0)
    assert (texts(found), found.columns) == (["first", "second"], ["column_0", "column_1"])
    assert [row["line"] for row in found.rows] == [2, 3]


@pytest.mark.parametrize("said", [{"encoding": "utf-8"}, {"delimiter": ","}])
def test_what_is_no_text_has_no_encoding_and_no_delimiter(tmp_path, said):
    for data in (parquet([{"text": "a"}]), xlsx([["text"], ["a"]])):
        found = tried(tmp_path, data, **said)
        assert found.error is not None
        assert next(iter(said)) in found.error["message"]


@pytest.mark.parametrize(
    ("said", "read", "expected"),
    [
        (None, "Données", ["first"]),
        ("Données", "Données", ["first"]),
        ("Other", "Other", ["b", "c"]),
        ("lists", "lists", ["hidden"]),
    ],
)
def test_the_sheet_that_is_said_is_read_and_all_are_told(tmp_path, said, read, expected):
    found = tried(tmp_path, BOOK, "a.xlsx", sheet=said)
    assert (found.sheet, found.sheets, texts(found)) == (read, SHEETS, expected)


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ("other", "is not in the workbook"),
        ("x\0", "is not in the workbook"),
        ("\ud800", "is not in the workbook"),
        ("Notes", "holds nothing"),
    ],
)
def test_a_sheet_without_rows_or_that_is_not_there_is_named_with_those_that_are(tmp_path, said, what):
    found = tried(tmp_path, BOOK, "a.xlsx", sheet=said)
    assert (found.sheet, found.sheets) == (None, SHEETS)
    assert found.error is not None
    assert (found.error["code"], found.error["field"]) == ("invalid_value", "sheet")
    names = "'lists', 'Notes', 'Données', 'Other'"
    assert found.error["message"] == f"sheet: '{said}' {what}. Its sheets: {names}."


def test_sheets_of_one_file_are_read_side_by_side_and_their_copies_go_by_its_name(tmp_path):
    path = tmp_path / "stored"
    path.write_bytes(BOOK)
    layouts = [
        formats.sniff(path, main_field="text", corrections=Corrections(sheet=name))
        for name in ("Other", None, "lists", "Données")
    ]
    readers = [formats.records(path, layout) for layout in layouts]
    assert [next(reader).values for reader in readers] == [["b"], ["first"], ["hidden"], ["first"]]
    assert [record.values for record in readers[0]] == [["c"]]
    copies = [other.name for other in tmp_path.iterdir() if other != path]
    assert (len(copies), {name.partition(".")[0] for name in copies}) == (3, {"stored"})


def test_a_batch_of_before_sheets_had_names_goes_on_at_its_place(tmp_path):
    path = tmp_path / "stored"
    path.write_bytes(xlsx([["text"], ["a"], ["b"], ["c"]]))
    header, first = b'[1,["text"]]\n', b'[2,["a"]]\n'
    before = {**dataclasses.asdict(Layout("xlsx", "", ["text"], start=len(header), line=2))}
    del before["sheet"], before["sheets"]
    place = Place(len(header) + len(first), 3, 1)
    records = list(formats.records(path, Layout.from_dict(before), place))
    assert [(record.row, record.line, record.values) for record in records] == [(1, 3, ["b"]), (2, 4, ["c"])]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", b"text\na\n"),
        ("a.jsonl", b'{"text": "a"}\n'),
        ("a.json", b'[{"text": "a"}]'),
        ("a.txt", b"a\n"),
        ("a.parquet", parquet([{"text": "a"}])),
    ],
)
def test_what_is_no_workbook_has_no_sheet(tmp_path, name, data):
    found = tried(tmp_path, data, name, sheet="Sheet1")
    assert found.error is not None
    assert found.error["field"] == "sheet"
    assert found.error["message"] == f"The file is {name[2:]} and has no sheet."


REPORT = 'Sales; "May\nmade by, hand\n\ntext;n\nfirst;1\nsecond;2;3\n\nthird;3\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1250"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_lines_above_a_table_are_passed_over_and_still_counted(tmp_path, encoding, newline):
    data = REPORT.replace("\n", newline).encode(encoding)
    found = tried(tmp_path, data, skip_lines=3)
    assert (found.skip_lines, found.delimiter, found.columns) == (3, ";", ["text", "n"])
    assert (texts(found), [row["line"] for row in found.rows]) == (["first", "third"], [5, 8])
    assert [(bad["row"], bad["line"]) for bad in found.errors] == [(1, 6)]
    assert texts(tried(tmp_path, gzip.compress(data), "a.csv.gz", skip_lines=2)) == ["first", "third"]


@pytest.mark.parametrize(
    ("name", "data", "more"),
    [
        ("a.csv", b"\x81\xff\0\xe9 caf\xe9\ntext\na\n", {"encoding": "utf-8"}),
        ("a.csv", b"[all of it]\nn,text\n1,a\n", {}),
        ("a.csv", b'{"made": "May"}\nn,text\n1,a\n', {}),
        ("a.csv", b"Made in May\nsep=:\nn:text\n1:a\n", {}),
        ("a.csv", b"Made in May\n1,a\n", {"header": False, "column": 1}),
        ("a.csv", b"Made; in; May\nn|text\n1|a\n", {"delimiter": "|"}),
        ("a.tsv", b"Made, in, May, here\nn\ttext\n1\ta\n", {}),
        ("a.txt", b"Made in May, here.\nn\ttext\n1\ta\n", {}),
    ],
)
def test_whatever_stands_above_a_table_is_no_part_of_it(tmp_path, name, data, more):
    found = tried(tmp_path, data, name, **{"skip_lines": 1, **more})
    assert (texts(found), found.invalid) == (["a"], 0)


@pytest.mark.parametrize(
    ("rows", "skip_lines", "header", "line"),
    [
        ([["Made in May"], ["text"], ["a"]], 1, None, 3),
        ([["Made", "in", "May"], [None, 1], [], ["text"], ["a"]], 2, True, 5),
        ([[], ["Made in May"], [], ["a"]], 2, False, 4),
    ],
)
def test_rows_above_the_table_of_a_sheet_are_passed_over_and_still_counted(tmp_path, rows, skip_lines, header, line):
    found = tried(tmp_path, xlsx(rows), "a.xlsx", skip_lines=skip_lines, header=header)
    assert (texts(found), found.rows[0]["line"], found.skip_lines) == (["a"], line, skip_lines)


@pytest.mark.parametrize(
    ("name", "data", "lines", "what"),
    [
        ("a.csv", b"text\na\n", 2, "below its first 2 lines the file holds nothing."),
        ("a.csv", b"text\na\n\n \n", 2, "below its first 2 lines the file holds nothing."),
        ("a.csv", b"text\na", 1_000, "below its first 1,000 lines the file holds nothing."),
        ("a.csv", b"x" * 3_000_000 + b"\ntext\na\n", 1, "the first 1 lines are more than the "),
        ("a.xlsx", BOOK, 2, "below its first 2 lines the sheet 'Données' holds nothing."),
    ],
)
def test_a_file_without_a_table_below_those_lines_is_refused(tmp_path, name, data, lines, what):
    found = tried(tmp_path, data, name, skip_lines=lines)
    assert found.error is not None
    assert (found.error["code"], found.error["field"]) == ("invalid_value", "skip_lines")
    assert found.error["message"].startswith(f"skip_lines: {what}")
    assert found.sheets == (SHEETS if name == "a.xlsx" else [])


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.jsonl", b'{"text": "a"}\n{"text": "b"}\n'),
        ("a.json", b'[\n[\n{"text": "a"}]]'),
        ("a.txt", b"This is a sentence.\nAnd this is one.\n"),
        ("a.parquet", parquet([{"text": "a"}])),
    ],
)
def test_only_tables_have_lines_above_them(tmp_path, name, data):
    found = tried(tmp_path, data, name, skip_lines=1)
    assert found.error is not None
    assert found.error["message"] == f"The file is {name[2:]} and has no skip_lines."
    assert "skip_lines" not in (tried(tmp_path, data, name, skip_lines=0).error or {"message": ""})["message"]
