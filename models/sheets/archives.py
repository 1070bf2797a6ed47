"""Archives of files, one job a file: listed once into a file of rows beside the upload, which is read like any other.

The cursor of a batch is a byte of that list. Whoever reads on after a kill seeks to it, in the list and then in the
archive, and neither is gone through again.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from contract.errors import ErrorCode
from models.sheets.jsonl import loader
from models.sheets.layout import FILE_NAME, FileError, Layout, Named, Place, Record
from models.sheets.members import Member, about
from models.sheets.packed import beside, plain

#: What a ZIP begins with, be it empty or in parts, and what stands where in the first header of a tar.
ZIP_MARKS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_TAR_MARK, _TAR_PLACE = b"ustar", 257
#: How much of a file tells.
HEAD = 512
_PROGRAM = "models.sheets.listing"
_TEMPORARY = ("SQLITE_TMPDIR", "TMPDIR")
#: Its exit statuses.
REFUSED, WORKBOOK = 10, 11
#: A list that is made anew is of an archive whose files were counted when it was taken.
_COUNTED = sys.maxsize
ONLY_MEDIA = "Archives of files are for pipelines that take images, recordings, videos or documents."
DAMAGED = "The archive is damaged or cut short."
_TOO_MUCH = "The archive takes more than this server has to list its files. Divide it."


class IsWorkbook(Exception):
    """The ZIP is an Excel workbook."""


def format_of(head: bytes) -> str | None:
    if head.startswith(ZIP_MARKS):
        return "zip"
    return "tar" if head[_TAR_PLACE : _TAR_PLACE + len(_TAR_MARK)] == _TAR_MARK else None


def sniff(path: Path, layout: Layout, *, most: int) -> Layout:
    """The columns are `file_name` and those of the metadata; raises IsWorkbook for a ZIP that is one."""
    with _list(path, layout, most).open("rb") as file:
        head = orjson.loads(file.readline())
        start, size = file.tell(), file.seek(0, os.SEEK_END)
    return dataclasses.replace(layout, columns=head["columns"], rows=head["rows"], start=start, size=size)


def records(path: Path, layout: Layout, place: Place) -> Iterator[Record]:
    """Files from `place` on, by name; `line` counts them from 1."""
    archive, row, loads = plain(path, layout), place.row, loader(layout)
    with _list(path, layout, _COUNTED).open("rb") as file:
        end = max(layout.start, place.offset)
        file.seek(end)
        for data in file:
            end += len(data)
            values, at, flaw, *several = loads(data)
            files = several[0] if several else [[FILE_NAME, values[0], at, None]]
            named = tuple(_named(archive, *file) for file in files)
            flaw = None if flaw is None else about(values[0], flaw)
            yield Record(row, row + 1, values, flaw, end, row + 2, named)
            row += 1


def _named(archive: Path, column: str, name: str, place: list[Any] | None, flaw: str | None) -> Named:
    member = Member(archive, name, *place) if place else None
    return Named(column, member, None if flaw is None else about(name, flaw))


def _list(path: Path, layout: Layout, most: int) -> Path:
    """The list of an archive's files; made now, unless somebody did before."""

    def run(part: Path) -> None:
        words = [str(plain(path, layout)), str(part), str(layout.limit), str(most)]
        # -P: what lies in the folder it runs in is not imported.
        done = subprocess.run(
            [sys.executable, "-P", "-m", _PROGRAM, *words],
            stdin=subprocess.DEVNULL, capture_output=True, check=False, env=_environment(),
        )  # fmt: skip
        if done.returncode == WORKBOOK:
            raise IsWorkbook
        if done.returncode:
            raise _refusal(done)

    return beside(path, path.with_name(f"{path.name}.list"), run)


def _refusal(done: subprocess.CompletedProcess[bytes]) -> FileError:
    if done.returncode == REFUSED and done.stdout:
        said: dict[str, Any] = orjson.loads(done.stdout)
        return FileError(ErrorCode(said["code"]), said["message"])
    if done.returncode == REFUSED or done.returncode < 0:
        return FileError(ErrorCode.TOO_LARGE, _TOO_MUCH)
    return FileError(ErrorCode.UNREADABLE_FILE, DAMAGED)


def _environment() -> dict[str, str]:
    """Where to import from and to put what spills over; nothing else that this process knows."""
    root = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    return {"PYTHONPATH": paths, **{name: os.environ[name] for name in _TEMPORARY if name in os.environ}}
