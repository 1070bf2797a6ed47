"""A program of its own: `listing ARCHIVE OUT BYTES FILES` writes a row for every file of an archive, ordered by name.

Whoever packs an archive decides what reading its table of contents costs: this process may take so much and no more.
A metadata.csv or metadata.jsonl is joined to the files beside it and in the folders below it, by `file_name`. A row
of it may name further files, in `file_names` and in columns that end so. OUT:

    {"columns": [...], "rows": ...}          once
    [[cell, ...], [place, ...], flaw]        a row; no place where there is no file, or none that can be read
    [..., [[column, name, place, flaw]]]     a row of several files: all of them, the first one too

What is wrong with the archive as a whole is one line of JSON on stdout, and the exit status REFUSED.
"""

from __future__ import annotations

import dataclasses
import resource
import sys
from pathlib import Path

import orjson

from contract.errors import ErrorCode
from contract.jsons import dumps_anything
from models.sheets import contents, formats
from models.sheets.archives import REFUSED, WORKBOOK, IsWorkbook
from models.sheets.contents import Entry, most_unpacked
from models.sheets.joining import Joining
from models.sheets.layout import FILE_NAME, MAX_COLUMNS, FileError, Layout, names_files
from models.sheets.packed import refuse_beyond

MEMORY = 4 << 30
SECONDS = 300
METADATA = ("metadata.csv", "metadata.jsonl")


def main(archive: Path, out: Path, limit: int, most: int) -> int:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    try:
        return _write(archive, out, limit, most)
    except IsWorkbook:
        return WORKBOOK
    except FileError as error:
        print(orjson.dumps({"code": error.code.value, "message": error.message}).decode())  # noqa: T201 - its answer
        return REFUSED
    except MemoryError:
        return REFUSED


def _write(archive: Path, out: Path, limit: int, most: int) -> int:
    joining = Joining()
    notes: list[Entry] = []
    for entry in contents.entries(archive, limit=limit, most=most):
        if entry.name.rpartition("/")[2].lower() in METADATA and entry.flaw is None:
            notes.append(entry)
        else:
            joining.add(entry)
    _refuse_tables(joining, notes)
    for note in notes:
        _join(joining, archive, note, out, most_unpacked(archive, limit))
    with out.open("wb") as file:
        file.write(orjson.dumps({"columns": joining.columns, "rows": joining.count()}) + b"\n")
        for row in joining.rows():
            file.write(dumps_anything(row) + b"\n")
    return 0


def _refuse_tables(joining: Joining, notes: list[Entry]) -> None:
    """An archive of nothing, or of one table, holds no files that a job could be about."""
    if not joining.files and not notes:
        raise FileError(ErrorCode.EMPTY_FILE, "The archive holds no files.")
    only = joining.only() if joining.files == 1 and not notes else None
    is_table = only is not None and only.rpartition(".")[2].lower() in formats.HINTS
    if is_table or not joining.files:
        message = "This archive holds a table and nothing else. Upload the table itself, as it is or as .gz or .zst."
        raise FileError(ErrorCode.UNKNOWN_FORMAT, message)


def _join(joining: Joining, archive: Path, note: Entry, out: Path, bound: int) -> None:
    """Read one file of metadata, from a copy that is gone when it was read."""
    copy = out.with_name(f"{out.name}.metadata")
    try:
        with copy.open("wb") as file:
            for piece in note.member(archive).pieces(field="file"):
                file.write(piece)
        layout = dataclasses.replace(_layout(copy, note), exact=True)
        folder = note.name.rpartition("/")[0]
        for record in formats.records(copy, layout):
            joining.note(record, layout, whence=note.name, folder=folder)
            # Each row is given its own copy of what it names.
            refuse_beyond(bound, joining.linked_bytes)
    finally:
        copy.unlink(missing_ok=True)
    if len(joining.columns) > MAX_COLUMNS:
        raise FileError(ErrorCode.UNREADABLE_FILE, f"{note.name} has more than {MAX_COLUMNS:,} columns.")


def _layout(copy: Path, note: Entry) -> Layout:
    try:
        layout = formats.sniff(copy, main_field=FILE_NAME, filename=note.name)
    except FileError as error:
        raise FileError(error.code, f"{note.name}: {error.message}") from error
    if layout.format not in ("csv", "txt", "jsonl", "json"):
        raise FileError(ErrorCode.UNKNOWN_FORMAT, f"{note.name} is neither CSV nor JSON.")
    if not any(map(names_files, layout.columns)):
        message = f"{note.name} has no column '{FILE_NAME}', which says which file a row is about."
        raise FileError(ErrorCode.UNKNOWN_COLUMN, message)
    return layout


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
