"""Archives of files: listed in the order of names, joined with metadata, read on from any place, and shut in."""

from __future__ import annotations

import dataclasses
import gzip
import importlib
import io
import sys
import tarfile
import unicodedata
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.errors import ErrorCode, RequestError
from contract.pipelines import PipelineSpec
from models.sheets import contents, formats, members
from models.sheets.archives import IsWorkbook
from models.sheets.layout import FileError, Layout, Place, Record
from models.sheets.mapping import resolve
from models.sheets.rows import Rows
from tests.archives import Files, locked, tar_of, tarred, zipped
from tests.sheets import xlsx

_zstd: Any = importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
PHOTOS = {"b.png": b"B" * 5_000, "cats/a.png": b"A" * 10, "a.png": b"a"}
PACKINGS = {
    "zip": zipped,
    "zip, stored": lambda files: zipped(files, zipfile.ZIP_STORED),
    "tar": tarred,
    "tar.gz": lambda files: tarred(files, "gz"),
    "tar.zst": lambda files: _zstd.compress(tarred(files)),
    "zip.gz": lambda files: gzip.compress(zipped(files)),
}


def saved(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "upload"
    path.write_bytes(data)
    return path


def sniffed(path: Path, *, files: int | None = 1_000, limit: int = 1 << 30) -> Layout:
    return formats.sniff(path, main_field="image", filename="photos.zip", files=files, limit=limit)


def read(tmp_path: Path, data: bytes) -> tuple[Layout, list[Record]]:
    path = saved(tmp_path, data)
    layout = sniffed(path)
    return layout, list(formats.records(path, layout))


def bodies(records: list[Record]) -> list[bytes | None]:
    files = [record.named[0].member for record in records]
    return [file and b"".join(file.pieces(field="inputs.image")) for file in files]


def refused(tmp_path: Path, data: bytes, **bounds: Any) -> FileError:
    with pytest.raises(FileError) as caught:
        sniffed(saved(tmp_path, data), **bounds)
    return caught.value


@pytest.mark.parametrize("packing", PACKINGS)
def test_every_file_is_a_row_in_the_order_of_names(tmp_path, packing):
    layout, records = read(tmp_path, PACKINGS[packing](PHOTOS))

    assert layout.format == packing[:3]
    assert (layout.columns, layout.rows) == (["file_name"], 3)
    assert [record.values for record in records] == [[name] for name in sorted(PHOTOS)]
    assert [(record.row, record.line) for record in records] == [(0, 1), (1, 2), (2, 3)]
    assert bodies(records) == [PHOTOS[name] for name in sorted(PHOTOS)]


def test_what_file_managers_leave_is_passed_over(tmp_path):
    litter = ["__MACOSX/._a.png", ".DS_Store", "x/.hidden/a.png", "Thumbs.db", "x/desktop.ini"]
    _, records = read(tmp_path, zipped({**dict.fromkeys(litter, b"x"), "x/": b"", "x/a.png": b"1"}))

    assert [record.values for record in records] == [["x/a.png"]]


def test_names_are_only_texts(tmp_path):
    names = ["../../etc/passwd", "/etc/shadow", "./a.png", "C:\\photos\\b.png", "a\nb.png"]
    _, records = read(tmp_path, tarred(dict.fromkeys(names, b"1")))

    found = sorted(str(record.values[0]) for record in records)
    assert found == sorted(["../../etc/passwd", "etc/shadow", "a.png", "C:/photos/b.png", "a\nb.png"])
    assert bodies(records) == [b"1"] * 5
    assert {path.name for path in tmp_path.iterdir()} == {"upload", "upload.list"}


@pytest.mark.parametrize(
    ("name", "metadata"),
    [
        ("metadata.csv", b"file_name,question,n\nb.png,What?,1\na.png,Where?,2\n"),
        ("metadata.csv", "question;n;file_name\nWhat?;1;b.png\nWhere?;2;a.png\n".encode("utf-16")),
        ("metadata.jsonl", b"\n".join([b'{"file_name": "b.png", "question": "What?", "n": "1"}',
                                       b'{"n": "2", "file_name": "a.png", "question": "Where?"}', b""])),
    ],
)  # fmt: skip
@pytest.mark.parametrize("folder", ["", "train/"])
def test_metadata_is_joined_by_the_name_beside_it(tmp_path, name, metadata, folder):
    files = {f"{folder}b.png": b"B", f"{folder}{name}": metadata, f"{folder}a.png": b"A"}
    layout, records = read(tmp_path, zipped(files))

    assert set(layout.columns) == {"file_name", "question", "n"}
    rows = [dict(zip(layout.columns, record.values, strict=True)) for record in records]
    assert rows == [
        {"file_name": f"{folder}a.png", "question": "Where?", "n": "2"},
        {"file_name": f"{folder}b.png", "question": "What?", "n": "1"},
    ]
    assert bodies(records) == [b"A", b"B"]


def test_whole_numbers_of_metadata_are_joined_as_they_are_however_long(tmp_path):
    long = 123_456_789_012_345_678_901
    note = f'{{"file_name": "a.png", "n": {long}}}'.encode()
    layout, _ = read(tmp_path, zipped({"a.png": b"1", "metadata.jsonl": note}))
    exact = dataclasses.replace(layout, exact=True)
    assert [record.values for record in formats.records(tmp_path / "upload", exact)] == [["a.png", long]]


def test_two_files_of_metadata_speak_of_their_own_folders(tmp_path):
    files = {"x/a.png": b"1", "x/metadata.csv": b"file_name,one\na.png,1\n",
             "y/a.png": b"2", "y/metadata.jsonl": b'{"file_name": "a.png", "two": 2}\n'}  # fmt: skip
    layout, records = read(tmp_path, tarred(files))

    assert layout.columns == ["file_name", "one", "two"]
    assert [record.values for record in records] == [["x/a.png", "1", None], ["y/a.png", None, 2]]


def test_what_one_side_does_not_know_is_a_bad_row_with_its_name(tmp_path):
    metadata = b"file_name,n\na.png,1\ngone.png,2\na.png,3\n,4\n"
    _, records = read(tmp_path, zipped({"a.png": b"1", "extra.png": b"2", "metadata.csv": metadata}))

    flaws = [record.flaw for record in records]
    assert flaws == [
        None,
        "metadata.csv, line 4: The metadata names this file a second time (file 'a.png').",
        "The metadata has no row for this file (file 'extra.png').",
        "metadata.csv, line 3: The archive does not hold this file (file 'gone.png').",
        "metadata.csv, line 5: The row has no file_name (file 'metadata.csv').",
    ]


def test_an_accent_may_be_written_apart_from_its_letter(tmp_path):
    name = unicodedata.normalize("NFD", "crème.png")
    _, records = read(tmp_path, zipped({name: b"1", "metadata.csv": "file_name,n\ncrème.png,1\n".encode()}))

    assert [(record.values, record.flaw) for record in records] == [([name, "1"], None)]


def test_files_that_cannot_be_read_are_bad_rows(tmp_path):
    link, device, folder = tarfile.TarInfo("link.png"), tarfile.TarInfo("null"), tarfile.TarInfo("folder")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    device.type, folder.type = tarfile.CHRTYPE, tarfile.DIRTYPE
    _, odd = read(tmp_path, tar_of(link, device, folder))
    assert [str(record.flaw)[:12] for record in odd] == ["It is a link", "It is no fil"]

    for data, words in (
        (locked({"a.png": b"1"}), "password"),
        (zipped({"a.png": b"1" * 99}, zipfile.ZIP_BZIP2), "stored or deflated"),
        (zipped({"x" * 2_000 + ".png": b"1"}), "1,000 characters"),
    ):
        (tmp_path / "upload.list").unlink()
        _, [record] = read(tmp_path, data)
        assert words in str(record.flaw)


@pytest.mark.parametrize("make", [zipped, tarred])
def test_the_second_file_of_a_name_is_a_bad_row(tmp_path, make):
    out = io.BytesIO(make({"a.png": b"1"}))
    if make is zipped:
        with zipfile.ZipFile(out, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a.png", b"2")
    else:
        with tarfile.open(fileobj=out, mode="a") as tar:
            info = tarfile.TarInfo("./a.png")
            info.size = 1
            tar.addfile(info, io.BytesIO(b"2"))
    _, records = read(tmp_path, out.getvalue())

    assert bodies(records) == [b"1", None]
    assert "second file of this name" in str(records[1].flaw)


def overwritten(data: bytes) -> bytes:
    """A tar whose second header is none."""
    return data[:1_024] + b"x" * 512 + data[1_536:]


def _lying(data: bytes) -> bytes:
    """A ZIP whose entries say that they fill more of it than there is."""
    changed = bytearray(data)
    changed[changed.find(b"PK\x01\x02") + 20 :][:4] = b"\0\0\0\0"
    at = changed.find(b"PK\x01\x02") + 20
    changed[at : at + 4] = (len(data) * 2).to_bytes(4, "little")
    return bytes(changed)


@pytest.mark.parametrize(
    ("what", "data", "bounds", "code"),
    [
        ("no file", zipped({}), {}, ErrorCode.EMPTY_FILE),
        ("no file in a tar", tar_of(tarfile.TarInfo(".DS_Store")), {}, ErrorCode.EMPTY_FILE),
        ("folders alone", zipped({"a/": b"", "__MACOSX/a": b"1"}), {}, ErrorCode.EMPTY_FILE),
        ("a table", zipped({"rows.csv": b"text\na\n"}), {}, ErrorCode.UNKNOWN_FORMAT),
        ("metadata alone", zipped({"metadata.csv": b"file_name\na\n"}), {}, ErrorCode.UNKNOWN_FORMAT),
        ("a ZIP cut short", zipped(PHOTOS)[:-30], {}, ErrorCode.UNREADABLE_FILE),
        ("a tar cut short in a file", tarred(PHOTOS)[:1_200], {}, ErrorCode.UNREADABLE_FILE),
        ("a tar cut short between files", tarred({"a": b"1", "b": b"2"})[:1_024], {}, ErrorCode.UNREADABLE_FILE),
        ("a header that is overwritten", overwritten(tarred({"a": b"1", "b": b"2"})), {}, ErrorCode.UNREADABLE_FILE),
        ("a packed tar cut short", tarred(PHOTOS, "gz")[:-30], {}, ErrorCode.UNREADABLE_FILE),
        ("entries that overlap", _lying(zipped(PHOTOS)), {}, ErrorCode.UNREADABLE_FILE),
        ("too many files", zipped(PHOTOS), {"files": 2}, ErrorCode.TOO_LARGE),
        ("too many bytes", zipped(PHOTOS), {"limit": 5_000}, ErrorCode.TOO_LARGE),
        ("no column that names files", zipped({"a.png": b"", "metadata.csv": b"name,n\na.png,1\n"}), {},
         ErrorCode.UNKNOWN_COLUMN),
        ("metadata that is no text", zipped({"a.png": b"", "metadata.csv": bytes(range(256)) * 9}), {},
         ErrorCode.UNREADABLE_FILE),
        ("a ZIP for texts", zipped(PHOTOS), {"files": None}, ErrorCode.UNKNOWN_FORMAT),
        ("an empty ZIP for texts", zipped({}), {"files": None}, ErrorCode.UNKNOWN_FORMAT),
        ("a tar for texts", tarred(PHOTOS), {"files": None}, ErrorCode.UNKNOWN_FORMAT),
    ],
)  # fmt: skip
def test_an_archive_that_cannot_be_used_is_refused_as_a_whole(tmp_path, what, data, bounds, code):
    error = refused(tmp_path, data, **bounds)

    assert error.code is code, error.message
    if bounds == {"files": None}:
        assert "images, recordings, videos or documents" in error.message
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith((".list", ".part", ".metadata"))] == []


def test_one_that_grows_beyond_measure_is_a_bomb(tmp_path, monkeypatch):
    path = saved(tmp_path, zipped({f"{n}.png": bytes(2_000_000) for n in range(5)}))
    monkeypatch.setattr(contents, "HARMLESS", 1_000_000)
    with pytest.raises(FileError) as caught:
        list(contents.entries(path, limit=1 << 40, most=10))
    assert caught.value.code is ErrorCode.TOO_LARGE


def test_a_workbook_stays_a_workbook(tmp_path):
    assert sniffed(saved(tmp_path, xlsx([["image"], ["x"]]))).format == "xlsx"


def test_damage_inside_a_file_is_told_when_it_is_read(tmp_path):
    data = bytearray(zipped(PHOTOS))
    data[50] ^= 0xFF
    _, records = read(tmp_path, bytes(data))
    with pytest.raises(RequestError) as caught:
        bodies(records)
    assert (caught.value.field, caught.value.code) == ("inputs.image", ErrorCode.INVALID_VALUE)


LETTERS = st.characters(codec="utf-8", exclude_characters="\0/\\.")
NAMES = st.lists(st.text(LETTERS, min_size=1, max_size=9), max_size=8)


@given(names=NAMES, stop=st.integers(0, 8))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_reading_goes_on_at_any_row_with_a_list_made_anew(tmp_path, names, stop):
    """As after a kill that took the list along."""
    for old in tmp_path.iterdir():
        old.unlink()
    files: Files = {f"{name}.png": name.encode() for name in ["first", *names] if name.strip()}
    path = saved(tmp_path, tarred(files))
    layout = sniffed(path)
    whole = list(formats.records(path, layout))
    behind = whole[min(stop, len(whole) - 1)]
    (tmp_path / "upload.list").unlink()

    rest = list(formats.records(path, layout, Place(behind.end, behind.next_line, behind.row + 1)))

    assert rest == whole[behind.row + 1 :]


@given(data=st.data(), make=st.sampled_from([zipped, tarred]))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_broken_about_it_nothing_unforeseen_is_raised(tmp_path, data, make):
    body = bytearray(make({"a.png": b"1" * 700, "b/c.png": b"2", "metadata.csv": b"file_name,n\na.png,1\n"}))
    places = st.tuples(st.integers(0, len(body) - 1), st.integers(0, 255))
    for place, value in data.draw(st.lists(places, max_size=6)):
        body[place] = value
    path = saved(tmp_path, bytes(body[: data.draw(st.integers(0, len(body)))]))
    try:
        for entry in contents.entries(path, limit=1 << 20, most=100):
            list(entry.member(path).pieces(field="x"))
    except (RequestError, IsWorkbook):
        return


@pytest.mark.parametrize("offset", [-5, 1 << 64])
@pytest.mark.parametrize("method", [None, zipfile.ZIP_STORED])
def test_a_file_that_is_said_to_lie_outside_of_its_archive_is_damaged(tmp_path, offset, method):
    member = members.Member(saved(tmp_path, zipped({"a.png": b"1"})), "a.png", offset, 1, 1, method, 0)
    with pytest.raises(RequestError, match="damaged") as refused:
        list(member.pieces(field="image"))
    assert refused.value.field == "image"


def test_the_files_feed_the_field_of_files_and_columns_feed_the_others(tmp_path):
    spec = PipelineSpec("ask", "visual-question-answering", backend="fake")
    metadata = b"file_name,question,top\na.png,What?,2\nb.png,,1\n"
    path = saved(tmp_path, zipped({"a.png": b"1", "b.png": b"2", "metadata.csv": metadata}))
    layout = sniffed(path)
    mapping = resolve(spec, layout, {"parameters.top_k": "top"})
    assert mapping.as_dict() == {"image": "file_name", "question": "question", "parameters.top_k": "top"}

    rows = [Rows(spec, layout, mapping).row(record) for record in formats.records(path, layout)]

    assert rows[0].inputs == {"question": "What?", "image": {"member": {"name": "a.png", "bytes": 1}}}
    assert (rows[0].parameters, rows[0].problems) == ({"top_k": 2}, [])
    assert [problem.field for problem in rows[1].problems] == ["inputs.question"]


SCANS = {"a.png": b"A", "b.png": b"BB", "c.png": b"CCC", "d.png": b"D"}


def pairs(tmp_path: Path, name: str, metadata: bytes, task: str = "keypoint-matching") -> tuple[list[Record], Any]:
    """The records of SCANS with `metadata` beside them, and the rows of `task`."""
    path = saved(tmp_path, zipped({f"x/{file}": body for file, body in {**SCANS, name: metadata}.items()}))
    layout, spec = sniffed(path), PipelineSpec("p", task, backend="fake")
    found = list(formats.records(path, layout))
    rows = Rows(spec, layout, resolve(spec, layout, {}))
    return found, [rows.row(record) for record in found]


@pytest.mark.parametrize(
    ("name", "metadata"),
    [
        ("metadata.csv", b"file_name,n,other_file_name\nb.png,1,a.png\na.png,2,c.png\na.png,3,b.png\n"),
        ("metadata.csv", b'file_names,n\n"b.png, a.png",1\n"[""a.png"", ""c.png""]",2\n"a.png,b.png",3\n'),
        (
            "metadata.jsonl",
            b"\n".join(
                b'{"file_names": ["%s.png", "%s.png"]}' % pair for pair in ((b"b", b"a"), (b"a", b"c"), (b"a", b"b"))
            ),
        ),
    ],
)
def test_a_row_of_metadata_may_name_several_files(tmp_path, name, metadata):
    records, rows = pairs(tmp_path, name, metadata)

    found = [[file["member"]["name"] for file in row.inputs["images"]] for row in rows if not row.problems]
    assert found == [["x/a.png", "x/c.png"], ["x/a.png", "x/b.png"], ["x/b.png", "x/a.png"]]
    assert [record.values[0] for record in records] == ["x/a.png", "x/a.png", "x/b.png", "x/d.png"]
    assert [b"".join(member.pieces(field="inputs.images")) for member in records[0].members] == [b"A", b"CCC"]
    assert [row.message for row in rows[3:]] == ["The metadata has no row for this file (file 'x/d.png')."]


def test_a_pair_that_is_not_whole_is_a_bad_row(tmp_path):
    metadata = b"file_name,other_file_name\na.png,b.png\na.png,gone.png\ngone.png,a.png\nc.png,\n,a.png\n"
    _, rows = pairs(tmp_path, "metadata.csv", metadata)

    wrong = {row.record.values[0]: row.message for row in rows if row.problems}
    assert "inputs.images" in wrong.pop("x/c.png")
    assert wrong == {
        "x/a.png": "The archive does not hold this file (file 'x/gone.png').",
        "x/gone.png": "x/metadata.csv, line 4: The archive does not hold this file (file 'x/gone.png').",
        "x/d.png": "The metadata has no row for this file (file 'x/d.png').",
        "x/metadata.csv": "x/metadata.csv, line 6: The row has no file_name (file 'x/metadata.csv').",
    }


def test_other_names_of_files_are_columns_like_others(tmp_path):
    metadata = b"file_name,original_file_name,text\na.png,IMG_1.png,What?\nb.png,IMG_2.png,Who?\n"
    _, rows = pairs(tmp_path, "metadata.csv", metadata, "image-text-to-text")
    assert [len(row.inputs["images"]) for row in rows if not row.problems] == [1, 1]


def test_further_files_are_nothing_to_a_pipeline_of_one(tmp_path):
    metadata = b"file_name,mask_file_name\na.png,b.png\nc.png,d.png\n"
    _, rows = pairs(tmp_path, "metadata.csv", metadata, "image-classification")

    assert [row.inputs["image"]["member"]["name"] for row in rows] == ["x/a.png", "x/c.png"]
    assert [row.problems for row in rows] == [[], []]


def test_files_of_another_field_are_named_by_its_column(tmp_path):
    metadata = b"file_name,audio_file_name,text\na.png,b.png,What?\n"
    _, rows = pairs(tmp_path, "metadata.csv", metadata, "any-to-any")

    assert [file["member"]["name"] for file in rows[0].inputs["images"]] == ["x/a.png"]
    assert [file["member"]["name"] for file in rows[0].inputs["audio"]] == ["x/b.png"]


def test_the_files_may_be_said_to_be_of_another_kind(tmp_path):
    metadata = b"file_name,other_file_name,text\na.png,b.png,What?\n"
    path = saved(tmp_path, zipped({**SCANS, "metadata.csv": metadata}))
    layout, spec = sniffed(path), PipelineSpec("p", "any-to-any", backend="fake")

    mapping = resolve(spec, layout, {"videos": "file_name", "text": "text"})
    first = Rows(spec, layout, mapping).row(next(iter(formats.records(path, layout))))

    assert (first.problems, first.inputs["text"]) == ([], "What?")
    assert [file["member"]["name"] for file in first.inputs["videos"]] == ["a.png", "b.png"]
    assert "images" not in first.inputs


def test_one_file_named_a_million_times_is_refused_as_a_bomb_is(tmp_path):
    metadata = b"file_name,other_file_name\n" + b"a.png,a.png\n" * 1_000
    data = zipped({"a.png": bytes(800_000), "metadata.csv": metadata})
    error = refused(tmp_path, data)
    assert (error.code, "1,073,741,824 bytes" in error.message) == (ErrorCode.TOO_LARGE, True)
