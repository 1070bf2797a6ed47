"""The files people really have: what each is taken for, and what is said of it."""

from __future__ import annotations

import gzip
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from contract.pipelines import PipelineSpec
from models.sheets import formats
from models.sheets.preview import Preview, preview

SPEC = PipelineSpec("fake", "text-classification", backend="fake")
CHAT = PipelineSpec("chat", "text-generation", backend="fake")
NOISE = random.Random(7).randbytes(4096)


def tried(folder: Path, data: bytes, name: str = "sheet.csv", **more: Any) -> Preview:
    path = folder / "stored"
    path.write_bytes(data)
    asked = {"spec": SPEC, "mapping": {}, "filename": name, **more}
    return preview(path, **asked)


def texts(found: Preview) -> list[Any]:
    return [row["inputs"].get("text") for row in found.rows]


GOOD = {
    "utf8": (b"text,n\n\xc3\xa9t\xc3\xa9,1\n", "utf-8", ",", ["été"]),
    "utf8 with a mark": (b"\xef\xbb\xbftext,n\nab,1\n", "utf-8", ",", ["ab"]),
    "utf16 from a spreadsheet": ("text\tn\r\nété ☕\t1\r\n".encode("utf-16"), "utf-16-le", "\t", ["été ☕"]),
    "utf16 big endian": (b"\xfe\xff" + "text,n\nété,1\n".encode("utf-16-be"), "utf-16-be", ",", ["été"]),
    "utf16 without a mark": ("text\tn\r\nété ☕\t1\r\n".encode("utf-16-le"), "utf-16-le", "\t", ["été ☕"]),
    "utf16 big endian without a mark": ("text,n\nété,1\n".encode("utf-16-be"), "utf-16-be", ",", ["été"]),
    "windows, in the last line alone": (b"text,n\na,1\nb,1\nc,1\nf\xfcnf,1", "cp1252", ",", ["a", "b", "c", "fünf"]),
    "windows, in the header alone": (b"text,n\xe9\na,1\nb,1\nc,1\n", "cp1252", ",", ["a", "b", "c"]),
    "utf32": (b"\xff\xfe\0\0" + "text,n\né,1\n".encode("utf-32-le"), "utf-32-le", ",", ["é"]),
    "windows, semicolons": ("text;n\r\nréussi, 9 €;1,5\r\n".encode("cp1252"), "cp1252", ";", ["réussi, 9 €"]),
    "pipes": (b"text|n\na, b; c|1\n", "utf-8", "|", ["a, b; c"]),
    "one column with commas in it": (b"text\nwell, yes\nno, no, no\n", "utf-8", None, ["well, yes", "no, no, no"]),
    "a quoted line break": (b'text,n\n"a\nb",1\n', "utf-8", ",", ["a\nb"]),
    "every cell in quotes": (b'"text";"n"\n"a;b";"1"\n', "utf-8", ";", ["a;b"]),
    "excel says its delimiter": (b"sep=;\r\ntext;n\r\na,b;1\r\n", "utf-8", ";", ["a,b"]),
    "carriage returns alone": (b"text,n\ra,1\rb,2\r", "utf-8", ",", ["a", "b"]),
    "no line end at the end": (b"text,n\na,1", "utf-8", ",", ["a"]),
    "blank lines": (b"\n\ntext,n\n\na,1\n\n\nb,2\n\n", "utf-8", ",", ["a", "b"]),
    "empty cells past the header": (b"text,n\na,1,,\nb,2,\n", "utf-8", ",", ["a", "b"]),
    "a synonym in capitals": (b"Id, Review \n1,good\n", "utf-8", ",", ["good"]),
    "the end as DOS marks it": (b"text,n\r\na,1\r\n\x1a", "utf-8", ",", ["a"]),
    "blanks before quotes": (b'text, n\n"a", "1, 2"\nb, 3\n', "utf-8", ",", ["a", "b"]),
    "blanks before quotes, semicolons": (b'n; text\n1; "a; b\nc"\n2; "d"\n', "utf-8", ";", ["a; b\nc", "d"]),
    "blanks before quotes that change no width": (b'n, text\n1, "a"\n2,b\n', "utf-8", ",", ["a", "b"]),
    "a blank before a quote within a text": (b'n,text\n1,"x, ""a"""\n2, b\n', "utf-8", ",", ['x, "a"', " b"]),
    "quotes with backslashes": (
        b'text,n\n"a \\"b, c\\" d",1\n"e\\\\",2\n', "utf-8", ",", ['a "b, c" d', "e\\\\"]
    ),
    "a backslash at the end of a cell": (b'text,n\n"C:\\d\\",1\nb,2\n', "utf-8", ",", ["C:\\d\\", "b"]),
    "tabs, and quotes that are letters": (
        b'n\ttext\n1\t"tis a quote\n2\t5" long\n3\tend\n', "utf-8", "\t", ['"tis a quote', '5" long', "end"]
    ),
    "tabs, and quotes that enclose": (b'n\ttext\n1\t"a\tb"\n2\t"c\nd"\n', "utf-8", "\t", ["a\tb", "c\nd"]),
    "quotes doubled": (b'text,n\n"say ""hi""",1\n', "utf-8", ",", ['say "hi"']),
}  # fmt: skip


@pytest.mark.parametrize("what", GOOD)
def test_a_good_file_is_read(what, tmp_path):
    data, encoding, delimiter, expected = GOOD[what]
    found = tried(tmp_path, data)
    assert (found.encoding, found.delimiter) == (encoding, delimiter)
    assert found.error is None
    assert found.errors == []
    assert texts(found) == expected


UNUSABLE = {
    "nothing": (b"", "a.csv", "empty_file"),
    "only blanks": (b" \r\n\n\t\n", "a.csv", "empty_file"),
    "only a mark": (b"\xef\xbb\xbf", "a.csv", "empty_file"),
    "a header alone": (b"text\n", "a.csv", "no_rows"),
    "noise": (NOISE, "a.csv", "unreadable_file"),
    "noise called jsonl": (NOISE, "a.jsonl", "unreadable_file"),
    "gzip in gzip": (gzip.compress(gzip.compress(b"text\na\n")), "a.csv.gz", "unknown_format"),
    "a workbook that is none": (b"PK\x03\x04" + NOISE, "a.csv", "unreadable_file"),
    "a web page": (b"<!DOCTYPE html>\n<html>\n</html>\n", "a.csv", "unknown_format"),
    "json lines that are none": (b'{"text": "a", "n": nan}\n{"text": }\n', "a.jsonl", "unreadable_file"),
    "no column of that name": (b"a,b\n1,2\n", "a.csv", "unknown_column"),
    "a quote that opens in the header": (b'"text,n\na,1\nb,2\n', "a.csv", "unreadable_file"),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_an_unusable_file_says_why(what, tmp_path):
    data, name, code = UNUSABLE[what]
    found = tried(tmp_path, data, name)
    assert found.error is not None
    assert (found.error["code"], found.valid) == (code, False)


BAD_ROWS = {
    "too few cells": (b"text,n\na,1\nb\nc,3\n", "a.csv", [(1, 3, "invalid_row")]),
    "too many cells": (b"text,n\na,1,9\nb,2\n", "a.csv", [(0, 2, "invalid_row")]),
    "an empty text": (b"text,n\n,1\nb,2\n", "a.csv", [(0, 2, "invalid_value")]),
    "NUL": (b"text,n\na\0b,1\nb,2\n", "a.csv", [(0, 2, "invalid_row")]),
    "one line of another encoding": (
        "text,n\né,1\nà,2\n".encode() + b"caf\xe9,3\nb,4\n", "a.csv", [(2, 4, "invalid_row")],
    ),
    "a quote that is never closed": (b'text,n\na,1\n"b,2\nc,3\n', "a.csv", [(1, 3, "invalid_row")]),
    "broken JSON": (b'{"text": "a"}\n{nope\n"b"\n', "a.jsonl", [(1, 2, "invalid_row")]),
    "JSON of another kind": (b'{"text": "a"}\n5\n[1]\n\n{"text": 5}\n', "a.jsonl", [
        (1, 2, "invalid_row"), (2, 3, "invalid_row"), (3, 5, "invalid_value"),
    ]),
    "JSON in too many brackets": (b'{"text": "a"}\n' + b"[" * 5000 + b"\n", "a.jsonl", [(1, 2, "invalid_row")]),
    "a lone surrogate": (b'{"text": "\\ud800"}\n{"text": "b"}\n', "a.jsonl", [(0, 1, "invalid_row")]),
    "a field that is not there": (b'{"text": "a"}\n{"other": 1}\n', "a.jsonl", [(1, 2, "missing_field")]),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD_ROWS)
def test_a_bad_row_is_named_and_its_neighbors_are_read(what, tmp_path):
    data, name, expected = BAD_ROWS[what]
    found = tried(tmp_path, data, name)
    assert found.error is None
    assert [(bad["row"], bad["line"], bad["code"]) for bad in found.errors] == expected
    assert found.total == len(found.rows) + found.invalid


def test_a_late_quote_that_nothing_announced_is_what_is_wrong(tmp_path):
    found = tried(tmp_path, b"text,n\n" + b"a,1\n" * 30_000 + b'b, "1, 2"\n')
    [error] = found.errors
    assert error["line"] == 30_002
    assert error["message"] == (
        "The row has 3 cells, the header has 2. "
        "In cell 2 there is a blank before the quote, so that it opens no text."
    )


FAR = {
    "a day of the year 29,349": (pa.array([0, 10_000_000], pa.date32()), ["1970-01-01", "29349-01-26"]),
    "a moment of the year 12,000": (
        pa.array([1, 316_516_000_000], pa.timestamp("s")), ["1970-01-01T00:00:01", "11999-12-29T15:06:40"]
    ),
    "a moment beyond all years": (
        pa.array([1, 1 << 60], pa.timestamp("s")), ["1970-01-01T00:00:01", str(1 << 60)]
    ),
    "a time zone that nobody knows": (
        pa.array([1, None], pa.timestamp("s", tz="Nowhere/Land")), ["1970-01-01T00:00:01Z", None]
    ),
    "uuids": (pa.array([b"\0" * 16, None], pa.uuid()), ["00000000-0000-0000-0000-000000000000", None]),
}  # fmt: skip


@pytest.mark.parametrize("what", FAR)
def test_values_that_only_arrow_has_are_texts(what, tmp_path):
    column, expected = FAR[what]
    path = tmp_path / "a.arrow"
    with pa.ipc.new_file(str(path), pa.schema([("text", pa.string()), ("odd", column.type)])) as file:
        file.write(pa.table({"text": ["a", "b"], "odd": column}))
    layout = formats.sniff(path, main_field="text")
    assert [record.values[1] for record in formats.records(path, layout)] == expected


def test_an_id_may_come_once(tmp_path):
    found = tried(tmp_path, b"text,id\na,1\nb,1\nc,\nd,2\n", id_column="id")
    assert [(bad["row"], bad["code"]) for bad in found.errors] == [(1, "duplicate_id"), (2, "missing_field")]
    assert [row["id"] for row in found.rows] == ["1", "2"]


def test_columns_without_a_name_and_twice_the_same_are_told_apart(tmp_path):
    found = tried(tmp_path, b"text,,text\na,b,c\n", mapping={"text": 2})
    assert found.columns == ["text", "column_1", "text_2"]
    assert (found.mapping, texts(found)) == ({"text": "text_2"}, ["c"])


def test_jsonl_keeps_types_and_takes_keys_that_come_later(tmp_path):
    turns = '[{"role": "user", "content": "Hi"}]'
    data = f'{{"n": 1, "messages": {turns}}}\n{{"text": "Once", "late": true}}\n"Bare"\n'.encode()
    found = tried(tmp_path, data, "chat.jsonl", spec=CHAT)
    assert (found.format, found.columns, found.errors) == ("jsonl", ["n", "messages", "text", "late"], [])
    sent = [row["inputs"] for row in found.rows]
    assert sent == [{"messages": [{"role": "user", "content": "Hi"}]}, {"text": "Once"}, {"text": "Bare"}]


def test_parameters_come_from_columns_typed_and_checked(tmp_path):
    asked = {"mapping": {"text": "review", "parameters.top_k": "k"}, "parameters": {"truncation": True}}
    found = tried(tmp_path, b"review,k\na,2.0\nb,\nc,many\nd,0\ne,1.5\n", **asked)
    assert [row["parameters"] for row in found.rows] == [{"truncation": True, "top_k": 2}, {"truncation": True}]
    assert [(bad["row"], bad["field"]) for bad in found.errors] == [(n, "parameters.top_k") for n in (2, 3, 4)]
    assert "(column 'k')" in found.errors[0]["message"]
    assert found.errors[0]["column"] == "k"


def test_a_bad_row_says_which_column_is_wrong_unless_it_is_the_row_as_such(tmp_path):
    found = tried(tmp_path, b"review,ref\n,1\na,2,3\nb,\n", mapping={"text": 0}, id_column="REF")
    assert [(bad["field"], bad["column"]) for bad in found.errors] == [
        ("inputs.text", "review"), ("file", None), ("id_column", "ref"),
    ]  # fmt: skip


def test_at_most_a_thousand_bad_rows_are_listed_and_all_are_counted(tmp_path):
    found = tried(tmp_path, b"text,n\n" + b",1\n" * 1500)
    assert (len(found.errors), found.invalid, found.total) == (1000, 1500, 1500)


def test_a_preview_in_a_hurry_leaves_the_total_open(tmp_path):
    found = tried(tmp_path, b"text\n" + b"a\n" * 5000, seconds=0.0)
    assert found.total is None
    assert len(found.rows) == 10


def test_east_asian_and_cyrillic_exports_are_recognized(tmp_path):
    russian = "текст;n\nПривет мир, как дела у вас сегодня;1\nЭто довольно длинный русский текст;2\n"
    found = tried(tmp_path, russian.encode("cp1251"), mapping={"text": 0})
    assert texts(found)[0] == "Привет мир, как дела у вас сегодня"
    japanese = "text,n\nこれは日本語のテキストです。とても長い文章。,1\n日本の天気はとても良いです,2\n"
    assert texts(tried(tmp_path, japanese.encode("shift_jis")))[1] == "日本の天気はとても良いです"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", ["Привет, мир", "面包非常好吃😀", "سلام دنیا", "plain"])
def test_utf16_without_a_mark_is_recognized_in_any_script(text, encoding, tmp_path):
    found = tried(tmp_path, f"text;n\n{text};1\r\n".encode(encoding))
    assert (found.encoding, found.delimiter, texts(found)) == (encoding, ";", [text])
