"""Files of an archive beside what its metadata says of them: ordered by name, in flat memory."""

from __future__ import annotations

import sqlite3
import unicodedata
from collections.abc import Iterator
from typing import Any

import orjson

from models.sheets.contents import Entry, clean
from models.sheets.layout import FILE_NAME, Layout, Record, columns_of

_TWICE = "The archive holds a second file of this name."
_UNNOTED = "The metadata has no row for this file."
_TABLES = """
CREATE TABLE files (key TEXT PRIMARY KEY, name TEXT, place TEXT, flaw TEXT) WITHOUT ROWID;
CREATE TABLE notes (key TEXT PRIMARY KEY, name TEXT, whence TEXT, cells TEXT) WITHOUT ROWID;
CREATE TABLE others (n INTEGER PRIMARY KEY, key TEXT, name TEXT, cells TEXT, flaw TEXT);
BEGIN;
"""
_ROWS = """
SELECT key, 0, files.name, place, flaw, cells, NULL FROM files LEFT JOIN notes USING (key)
UNION ALL
SELECT key, 0, name, NULL, NULL, cells, whence FROM notes WHERE key NOT IN (SELECT key FROM files)
UNION ALL
SELECT key, n, name, NULL, flaw, cells, NULL FROM others
ORDER BY 1, 2
"""


class Joining:
    def __init__(self) -> None:
        # A private database, which spills to a temporary file.
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.executescript(_TABLES)
        self._columns: dict[str, None] = {FILE_NAME: None}
        self.files = 0
        self._is_noted = False

    @property
    def columns(self) -> list[str]:
        return list(self._columns)

    def add(self, entry: Entry) -> None:
        self.files += 1
        place = None if entry.flaw else orjson.dumps(entry.place).decode()
        row = (_key(entry.name), entry.name, place, entry.flaw)
        if not self._insert("INSERT OR IGNORE INTO files VALUES (?, ?, ?, ?)", *row):
            self._other(entry.name, None, _TWICE)

    def only(self) -> str:
        name: str = self._database.execute("SELECT name FROM files").fetchone()[0]
        return name

    def note(self, record: Record, layout: Layout, *, whence: str, folder: str) -> None:
        """One row of metadata, whose names are relative to the folder that it lies in."""
        self._is_noted = True
        at = f"{whence}, line {record.line}"
        cells = columns_of(record, layout.columns)
        named = cells.pop(FILE_NAME, None)
        if record.flaw is not None or not isinstance(named, str) or not named.strip():
            self._other(whence, None, f"{at}: {record.flaw or 'The row has no file_name.'}")
            return
        self._columns.update(dict.fromkeys(cells))
        name, packed = clean(f"{folder}/{named}"), _dumped(cells)
        if not self._insert("INSERT OR IGNORE INTO notes VALUES (?, ?, ?, ?)", _key(name), name, at, packed):
            self._other(name, packed, f"{at}: The metadata names this file a second time.")

    def count(self) -> int:
        found: int = self._database.execute(f"SELECT count(*) FROM ({_ROWS})").fetchone()[0]
        return found

    def rows(self) -> Iterator[list[Any]]:
        """Cells in the order of the columns, the file's place, and what is wrong."""
        others = self.columns[1:]
        for _, _, name, place, found, cells, whence in self._database.execute(_ROWS):
            known = orjson.loads(cells) if cells else {}
            flaw = found
            if whence is not None:
                flaw = f"{whence}: The archive does not hold this file."
            elif found is None and self._is_noted and cells is None:
                flaw = _UNNOTED
            values = [name, *(known.get(column) for column in others)]
            yield [values, orjson.loads(place) if place and flaw is None else None, flaw]

    def _insert(self, statement: str, *values: Any) -> bool:
        """False where there is one with this key."""
        return self._database.execute(statement, values).rowcount == 1

    def _other(self, name: str, cells: str | None, flaw: str) -> None:
        row = (_key(name), name, cells, flaw)
        self._database.execute("INSERT INTO others (key, name, cells, flaw) VALUES (?, ?, ?, ?)", row)


def _key(name: str) -> str:
    """What two spellings of one name share: macOS writes an accent apart from its letter."""
    return unicodedata.normalize("NFC", name)


def _dumped(cells: dict[str, Any]) -> str:
    try:
        return orjson.dumps(cells).decode()
    except TypeError:
        # More lists in one another than a writer takes.
        return "{}"
