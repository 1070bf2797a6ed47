# ruff: noqa: E501 - a table
"""Sixty files that people, programs and enemies send: what each is taken for, and what is answered.

`FILES[what] = (name, bytes, format, answer)`: the answer is the code of the error that refuses the file, or how many of
its rows are good and how many bad.
"""

from __future__ import annotations

import base64
import contextlib
import decimal
import gzip
import importlib
import io
import json
import random
import sys
import zipfile
import zlib
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.sheets import arrow, parquet, xlsx

_zstd = importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
_NOISE = random.Random(7).randbytes(4096)
_ROWS = [{"text": f"row {n}", "n": n} for n in range(50)]
_PARQUET, _ARROW, _XLSX = parquet(_ROWS), arrow(_ROWS), xlsx([["text", "n"], ["a", 1], ["b", 2]])
_CSV = b"text,n\na,1\nb,2\n"

#: Case 29363 of the fuzzing: of one of its pages pyarrow makes two gigabytes before it finds that it is damaged.
GREEDY = zlib.decompress(base64.b85decode(
    'c-oCqF>ljA6uw?86IGE=hqLaGhb%EHEons~gxuk|NlHX1sYM`VOIz2eNYgZN3H$>FBvwWS79<4!fQ5yHKL8seKLA$VyQ>`s7`U^a'
    '{l53T@4b7{wIN&;OkBbJ{ll-Hi>~14+QN2g>{{V!wIs<bEiqc0-h~2M#E>R&fBW*|ot4YtDer=fxQqMw>-R4&&xu=KKU+d-tK|*d'
    'LQ9aa)Qfc{?a4tuI_U|UiBg42D~X;a6}IgnYn@B}=`AYS+djFLv<AnML~x2+iU!e1G)(>#)=DWMr^_6!T;+Sr6(v=%nKH0I-03@g'
    'ujv0V66NA)7%KXXt!(A#Bh1pf*q*ML)|zv)?2fbJjeMM0PKqg-p*qrPY)&!P(9jur9~b<;=9m*IW<5D?xWm07elRXe5Qg_2-ZGPw'
    'uL{>`J&OYX*afrh08Al>p$QPfW~{LQ33usd6QHGm*%wTx-b(+BRL~)5ooh&YGrnF8GKX6aZXB8t4dNfQ(M-_|A9o1d%JfXCPSU08'
    '^)rO`iC?>q<|ajVn-@)HRNcxn^LyQJu#Xs?uSLNi&h+;Fr{6T6&P#j*J2WTMxlMD^6|<y9Qzzx>!>p<5qi(;N`oUa$V}r@^s5d@4'
    'kCNqs(P+6h9-mIjPonYU_;gratF2U5R+W!8!8~jY?`0cr^KXgs&O-'
))  # fmt: skip

Answer = str | tuple[int, int]


def _zip(**entries: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name.replace("__", "/").replace("_xml", ".xml"), data)
    return out.getvalue()


def _workbook_with(sheet: bytes, shared: bytes = b"") -> bytes:
    """The workbook above with its sheet put in another's place."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(_XLSX)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            swapped = {"xl/worksheets/sheet1.xml": sheet, "xl/sharedStrings.xml": shared}.get(entry.filename)
            new.writestr(entry, swapped or old.read(entry))
    return out.getvalue()


def _table(**columns: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


def _flipped(data: bytes, *places: int) -> bytes:
    changed = bytearray(data)
    for place in places:
        changed[place] ^= 0xFF
    return bytes(changed)


def _lying() -> bytes:
    """Parquet whose first row group has three rows and says that it has five."""
    out = io.BytesIO()
    pq.write_table(pa.table({"text": list("abcde")}), out, row_group_size=3)
    whole = out.getvalue()
    for place in range(len(whole) - 1, 0, -1):
        if whole[place] == 6:
            changed = whole[:place] + b"\x0a" + whole[place + 1 :]
            with contextlib.suppress(pa.ArrowException, OSError):
                if pq.read_metadata(io.BytesIO(changed)).row_group(0).num_rows == 5:
                    return changed
    raise AssertionError("no byte of the file says how many rows a group has")


def _decimals(scale: int) -> bytes:
    one = pa.array([decimal.Decimal(1)], pa.decimal128(20, 5))
    out, table = (
        io.BytesIO(),
        pa.table({"text": ["a"], "n": one.from_buffers(pa.decimal128(20, scale), 1, one.buffers())}),
    )
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


_SHEET = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>%s</sheetData></worksheet>'
_CELL = b'<row r="%d"><c r="%s" t="inlineStr"><is><t>%s</t></is></c></row>'
_LAUGHS = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
_FOREIGN = b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'

FILES: dict[str, tuple[str, bytes, str | None, Answer]] = {
    # Encodings
    "utf-8 with a mark": ("a.csv", b"\xef\xbb\xbf" + _CSV, "csv", (2, 0)),
    "utf-16 with a mark": ("a.csv", "text,n\né,1\n".encode("utf-16"), "csv", (1, 0)),
    "utf-16 json": ("a.json", '[{"text": "é"}, "ü"]'.encode("utf-16"), "json", (2, 0)),
    "windows-1252": ("a.csv", "text;n\r\n9 € – “été”;1\r\n".encode("cp1252"), "csv", (1, 0)),
    "one latin-1 line in utf-8": ("a.csv", "text\né\nà\nü\n".encode() + b"caf\xe9\n", "csv", (3, 1)),
    "latin-1 in a json array": ("a.json", '["é", "à"]'.encode("latin-1"), "json", (2, 0)),
    "bytes that are no utf-8 in a json array": ("a.json", '[\n"é",\n"à",\n"ü",\n"'.encode() + b'\xff"\n]', None, "unreadable_file"),
    "a mark in the middle": ("a.csv", b"text\na\n\xef\xbb\xbfb\n", "csv", (2, 0)),
    "half a utf-16 unit": ("a.csv", "text\nab\n".encode("utf-16") + b"\x41", "csv", (1, 1)),
    "NUL in a cell": ("a.csv", b"text\na\0b\nc\n", "csv", (1, 1)),
    "NUL alone": ("a.csv", b"\0" * 5000, None, "empty_file"),
    "NUL in plain text": ("a.txt", b"a\nb\0\nc\n", "txt", (2, 1)),
    # Dialects
    "semicolons": ("a.csv", b"text;n\n1,5;2\n", "csv", (1, 0)),
    "tabs called txt": ("a.txt", b"text\tn\na\t1\nb\t2\n", "csv", (2, 0)),
    "pipes": ("a.csv", b"text|n\na|1\n", "csv", (1, 0)),
    "excel's own first line": ("a.csv", b"sep=;\r\ntext;n\r\na;1\r\n", "csv", (1, 0)),
    "carriage returns alone": ("a.csv", b"text,n\ra,1\rb,2\r", "csv", (2, 0)),
    "a line break in quotes": ("a.csv", b'text,n\n"a\r\nb",1\n', "csv", (1, 0)),
    "quotes that never close": ("a.csv", b'text,n\na,1\n"b,2\n', "csv", (1, 1)),
    "a quote in the header that never closes": ("a.csv", b'"text,n\na,1\n', None, "unreadable_file"),
    "quotes with backslashes": ("a.csv", b'text,n\n"say \\"no, thanks\\"",1\nb,2\n', "csv", (2, 0)),
    "quotes that are letters": ("a.tsv", b'text\tn\n"tis late\t1\nb "c"\t2\nd\t3\n', "csv", (3, 0)),
    # Rows
    "ragged rows": ("a.csv", b"text,n\na\nb,1,2\nc,3\n", "csv", (1, 2)),
    "duplicate headers": ("a.csv", b"text,text,text\na,b,c\n", "csv", (1, 0)),
    "no names in the header": ("a.csv", b",,\na,b,c\n", None, "unknown_column"),
    "a header of 3,000 columns": ("a.csv", b",".join(b"c%d" % n for n in range(3000)) + b"\n", None, "unreadable_file"),
    "a cell of 10 MB": ("a.csv", b"text\n" + b"x" * 10_000_001 + b"\nok\n", "csv", (1, 1)),
    "a 10 MB text in jsonl": ("a.jsonl", b'{"text": "' + b"x" * 10_000_000 + b'"}\n"ok"\n', "jsonl", (1, 1)),
    "a 10 MB text in a json array": ("a.json", b'["' + b"x" * 10_000_000 + b'", "ok"]', "json", (1, 1)),
    "a 10 MB text in parquet": ("a.parquet", parquet([{"text": "x" * 10_000_000}, {"text": "ok"}]), "parquet", (1, 1)),
    "empty": ("a.csv", b"", None, "empty_file"),
    "blanks alone": ("a.txt", b" \n\t\n\r\n", None, "empty_file"),
    "a line separator alone": ("a.jsonl", "\u2028\u3000".encode(), None, "empty_file"),
    "blank lines without end before the first": ("a.csv", b"\n" * 300_000 + _CSV, "csv", (2, 0)),
    "a header alone": ("a.csv", b"text,n\n", None, "no_rows"),
    # JSON
    "an empty array": ("a.json", b"[]", None, "no_rows"),
    "an array cut short": ("a.json", b'[{"text": "a"}, {"text": "b', None, "unreadable_file"),
    "an array of everything": ("a.json", b'[{"text": "a"}, 1, null, [2], true, "b"]', "json", (2, 4)),
    "a comma too many": ("a.json", b'["a", "b",]', "json", (2, 0)),
    "two arrays": ("a.json", b'["a"]["b"]', None, "unreadable_file"),
    "an array of brackets": ("a.json", b'["a",' + b"[" * 100_000, None, "unreadable_file"),
    "an object of many lines": ("a.json", b'{\n "text": "a"\n}\n', None, "unknown_format"),
    "a number of 5,000 digits": ("a.json", b'["a", {"text": "a", "n": ' + b"9" * 5000 + b"}]", "json", (1, 1)),
    "broken jsonl": ("a.jsonl", b'{"text": "a"}\n{nope\n[]\n', "jsonl", (1, 2)),
    "json lines in brackets": ("a.jsonl", b"[" * 5000 + b"\n", None, "unreadable_file"),
    "an array of no rows": ("a.json", b"[\n 1,\n 2\n]\n", None, "unreadable_file"),
    "lines that are lists": ("a.jsonl", b'[1, "a"]\n[2, "b"]\n', None, "unreadable_file"),
    "NaN as Python writes it": ("a.jsonl", b'{"text": "a", "n": NaN}\n{"text": NaN}\n{"text": "b", "n": -Infinity}\n', "jsonl", (2, 1)),
    "NaN in an array": ("a.json", b'[{"text": "NaN", "n": NaN}, {"text": "b", n: NaN}]', None, "unreadable_file"),
    # Archives
    "gzip": ("a.csv.gz", gzip.compress(_CSV), "csv", (2, 0)),
    "zstd called csv": ("a.csv", _zstd.compress(_CSV), "csv", (2, 0)),
    "gzip cut short": ("a.csv.gz", gzip.compress(_CSV * 900)[:-20], None, "unreadable_file"),
    "gzip with a wrong sum": ("a.csv.gz", _flipped(gzip.compress(_CSV), -5), None, "unreadable_file"),
    "zstd cut short": ("a.zst", _zstd.compress(_NOISE)[:-20], None, "unreadable_file"),
    "gzip of nothing": ("a.csv.gz", gzip.compress(b""), None, "empty_file"),
    "gzip of gzip": ("a.csv.gz", gzip.compress(gzip.compress(_CSV)), None, "unknown_format"),
    "a gzip bomb": ("a.csv.gz", gzip.compress(b"text\n" + b"a" * 40_000_000), None, "too_large"),
    "a zstd bomb": ("a.csv.zst", _zstd.compress(b"text\n" + b"\n" * 40_000_000), None, "too_large"),
    # What only programs write
    "parquet called csv": ("a.csv", _PARQUET, "parquet", (50, 0)),
    "csv called parquet": ("a.parquet", _CSV, "csv", (2, 0)),
    "parquet cut short": ("a.parquet", _PARQUET[:-9], None, "unreadable_file"),
    "parquet with a broken page": ("a.parquet", _flipped(_PARQUET, 40, 60, 90, 200), None, "unreadable_file"),
    "parquet that asks for two gigabytes": ("a.parquet", GREEDY, None, "unreadable_file"),
    "nested parquet": ("a.parquet", parquet([{"text": "a", "m": {"k": [{"z": None}, {"z": 2}]}}]), "parquet", (1, 0)),
    "lists for texts in parquet": ("a.parquet", parquet([{"text": ["a"]}, {"text": None}]), "parquet", (0, 2)),
    "numbers for texts in parquet": ("a.parquet", parquet([{"text": 1}]), "parquet", (0, 1)),
    "two columns of one name in parquet": ("a.parquet", _table(text=pa.array(["a"]), TEXT=pa.array(["b"])), "parquet", (1, 0)),
    "parquet without columns": ("a.parquet", _table(), None, "unknown_column"),
    "parquet that counts its rows wrongly": ("a.parquet", _lying(), None, "unreadable_file"),
    "decimals of 6,144 places": ("a.arrow", _decimals(6144), None, "unreadable_file"),
    "arrow cut short": ("a.arrow", _ARROW[:-40], None, "unreadable_file"),
    "arrow that begins as one": ("a.arrow", b"ARROW1\0\0" + _NOISE, None, "unreadable_file"),
    "a workbook": ("a.xlsx", _XLSX, "xlsx", (2, 0)),
    "a workbook that is no archive": ("a.xlsx", b"PK\x03\x04" + _NOISE, None, "unreadable_file"),
    "a workbook cut short": ("a.xlsx", _XLSX[:-100], None, "unreadable_file"),
    "a document called xlsx": ("a.xlsx", _zip(word__document_xml=b"<x/>"), None, "unknown_format"),
    "a workbook of nothing": ("a.xlsx", xlsx([]), None, "empty_file"),
    "a workbook with a header alone": ("a.xlsx", xlsx([["text"]]), None, "no_rows"),
    "a sheet that is no xml": ("a.xlsx", _workbook_with(_NOISE), None, "unreadable_file"),
    "a sheet of one cell at the far end": ("a.xlsx", _workbook_with(_SHEET % (_CELL % (1, b"A1", b"text") + _CELL % (1048576, b"XFD1048576", b"x"))), None, "too_large"),
    "a sheet with entities in entities": ("a.xlsx", _workbook_with(_LAUGHS + _SHEET % (_CELL % (1, b"A1", b"&b;"))), None, None),
    "a sheet that names a file": ("a.xlsx", _workbook_with(_FOREIGN + _SHEET % (_CELL % (1, b"A1", b"&a;"))), None, None),
    "an old workbook": ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + _NOISE, None, "unknown_format"),
    "noise": ("a.csv", _NOISE, None, "unreadable_file"),
    "a web page": ("a.csv", b"<!DOCTYPE html>\n<html></html>\n", None, "unknown_format"),
    "a PDF": ("a.csv", b"%PDF-1.7\n" + _NOISE, None, "unknown_format"),
    "rows of objects in csv": ("a.csv", json.dumps(_ROWS).encode(), "json", (50, 0)),
}  # fmt: skip
