"""Files of an archive beside what its metadata says of them: ordered by name, in flat memory."""

from __future__ import annotations

import sqlite3
import unicodedata
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from contract.jsons import dumps_anything, loads_exactly
from models.sheets.contents import Entry, clean
from models.sheets.layout import FILE_NAME, FILE_NAMES, Layout, Record, columns_of, names_files

_TWICE = "The archive holds a second file of this name."
_UNNOTED = "The metadata has no row for this file."
#: Files of one row; no pipeline takes as many.
_MOST = 100
_ABSENT = "The archive does not hold this file."
_TABLES = """
CREATE TABLE files (key TEXT PRIMARY KEY, name TEXT, place TEXT, flaw TEXT) WITHOUT ROWID;
CREATE TABLE notes (key TEXT PRIMARY KEY, name TEXT, whence TEXT, cells TEXT, links TEXT) WITHOUT ROWID;
CREATE TABLE others (n INTEGER PRIMARY KEY, key TEXT, name TEXT, whence TEXT, cells TEXT, flaw TEXT, links TEXT);
CREATE TABLE linked (key TEXT PRIMARY KEY) WITHOUT ROWID;
BEGIN;
"""
_ROWS = """
SELECT key, 0, files.name, place, flaw, cells, NULL, links FROM files LEFT JOIN notes USING (key)
WHERE cells IS NOT NULL OR key NOT IN (SELECT key FROM linked)
UNION ALL
SELECT key, 0, name, NULL, NULL, cells, whence, links FROM notes WHERE key NOT IN (SELECT key FROM files)
UNION ALL
SELECT key, n, name, NULL, flaw, cells, whence, links FROM others
ORDER BY 1, 2
"""


class _Found(NamedTuple):
    """A file as a row names it: `[column, name, place, flaw]` of a line of the list."""

    column: str
    name: str
    place: list[Any] | None
    flaw: str | None


class Joining:
    def __init__(self) -> None:
        # A private database, which spills to a temporary file.
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.executescript(_TABLES)
        self._columns: dict[str, None] = {FILE_NAME: None}
        self.files = 0
        #: Bytes of the files of rows that name several: one file may be named by any number of rows.
        self.linked_bytes = 0
        self._is_noted = False
        #: Columns in which some row names a file that is here.
        self._linking: set[str] = set()

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
        links = _links(cells, folder)
        cells.pop(FILE_NAME, None)
        if (flaw := record.flaw or _flaw(links, layout)) is not None:
            self._other(whence, None, f"{at}: {flaw}")
            return
        self._columns.update(dict.fromkeys(cells))
        name, packed, linked = links[0][1], _dumped(cells), orjson.dumps(links).decode()
        if self._link(links):
            self._other(name, packed, None, whence=at, links=linked)
            return
        is_plain = [column for column, _ in links] == [FILE_NAME]
        row = (_key(name), name, at, packed, None if is_plain else linked)
        if not self._insert("INSERT OR IGNORE INTO notes VALUES (?, ?, ?, ?, ?)", *row):
            self._other(name, packed, f"{at}: The metadata names this file a second time.")

    def count(self) -> int:
        found: int = self._database.execute(f"SELECT count(*) FROM ({_ROWS})").fetchone()[0]
        return found

    def rows(self) -> Iterator[list[Any]]:
        """Cells in the order of the columns, the file's place, what is wrong; all files where there are several."""
        others = self.columns[1:]
        for _, _, name, at, found, cells, whence, links in self._database.execute(_ROWS):
            files = self._all_of(orjson.loads(links)) if links else []
            own = files[0] if files else self._own(name, at, found, cells, whence)
            flaw = f"{whence}: {own.flaw}" if own.flaw and whence else own.flaw
            known = loads_exactly(cells) if cells else {}
            values = [own.name, *(known.get(column) for column in others)]
            yield [values, own.place if flaw is None else None, flaw, *([list(map(list, files))] if files else [])]

    def _own(self, name: str, at: str | None, found: str | None, cells: str | None, whence: str | None) -> _Found:
        flaw = found
        if whence is not None:
            flaw = _ABSENT
        elif found is None and self._is_noted and cells is None:
            flaw = _UNNOTED
        return _Found(FILE_NAME, name, orjson.loads(at) if at else None, flaw)

    def _link(self, links: list[tuple[str, str]]) -> bool:
        """Whether this is a row of several files: they need no rows of their own, and may be files of other rows too.

        A column may be called so and hold other names, such as those that the files had before.
        """
        here = [found for found in (self._found(*link) for link in links[1:]) if found.flaw != _ABSENT]
        if not here:
            return False
        self._linking.update(found.column for found in here)
        for found in (self._found(*links[0]), *here):
            self._insert("INSERT OR IGNORE INTO linked VALUES (?)", _key(found.name))
            self.linked_bytes += found.place[1] if found.place else 0
        return True

    def _all_of(self, links: list[tuple[str, str]]) -> list[_Found]:
        first, *others = links
        return [self._found(*first), *(self._found(*link) for link in others if link[0] in self._linking)]

    def _found(self, column: str, name: str) -> _Found:
        statement = "SELECT name, place, flaw FROM files WHERE key = ?"
        found = self._database.execute(statement, (_key(name),)).fetchone()
        if found is None:
            return _Found(column, name, None, _ABSENT)
        return _Found(column, found[0], orjson.loads(found[1]) if found[1] else None, found[2])

    def _insert(self, statement: str, *values: Any) -> bool:
        """False where there is one with this key."""
        return self._database.execute(statement, values).rowcount == 1

    def _other(
        self, name: str, cells: str | None, flaw: str | None, *, whence: str | None = None, links: str | None = None
    ) -> None:
        row = (_key(name), name, whence, cells, flaw, links)
        statement = "INSERT INTO others (key, name, whence, cells, flaw, links) VALUES (?, ?, ?, ?, ?, ?)"
        self._database.execute(statement, row)


def _flaw(links: list[tuple[str, str]], layout: Layout) -> str | None:
    if not links or (FILE_NAME in layout.columns and links[0][0] != FILE_NAME):
        return "The row has no file_name."
    return f"The row names more than {_MOST} files." if len(links) > _MOST else None


def _links(cells: dict[str, Any], folder: str) -> list[tuple[str, str]]:
    """`(column, name)` of the files that a row names: the one it is about, then the others in their order."""
    columns = sorted(filter(names_files, cells), key=lambda column: (column != FILE_NAME, column != FILE_NAMES))
    return [(column, clean(f"{folder}/{name}")) for column in columns for name in _names(column, cells[column])]


def _names(column: str, cell: Any) -> list[str]:
    listed = _listed(cell) if column.endswith(FILE_NAMES) else [cell]
    return [name for name in listed if isinstance(name, str) and name.strip()]


def _listed(cell: Any) -> list[Any]:
    """A list of JSON, or one in a cell of text: as JSON too, or with commas between."""
    if not isinstance(cell, str):
        return cell if isinstance(cell, list) else []
    if cell.lstrip().startswith("["):
        try:
            found = orjson.loads(cell)
        except ValueError:
            return [cell]
        return found if isinstance(found, list) else []
    return [name.strip() for name in cell.split(",")]


def _key(name: str) -> str:
    """What two spellings of one name share: macOS writes an accent apart from its letter."""
    return unicodedata.normalize("NFC", name)


def _dumped(cells: dict[str, Any]) -> str:
    try:
        return dumps_anything(cells).decode()
    except RecursionError:
        # More lists in one another than a writer takes.
        return "{}"
