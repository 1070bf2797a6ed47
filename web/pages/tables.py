"""A table as a person writes it into a form: lines of a spreadsheet, the names of the columns first."""

from __future__ import annotations

import csv
import dataclasses
import io
from typing import Any

from contract.jsons import loads
from contract.tasks import JsonSchema

_DELIMITERS = ("\t", ";", ",")


@dataclasses.dataclass(frozen=True)
class WrittenTable:
    """A table as a page writes it down."""

    names: list[str]
    rows: list[tuple[str, ...]]

    @classmethod
    def of(cls, table: dict[str, list[str]]) -> WrittenTable:
        return cls(list(table), list(zip(*table.values(), strict=False)))


def from_text(_rule: JsonSchema, text: str) -> Any:
    """Columns by name; the text itself where it is no table, so that the check says so."""
    if text.lstrip().startswith("{"):
        try:
            return loads(text)
        except ValueError:
            return text
    try:
        names, *rows = filter(None, csv.reader(io.StringIO(text.strip("\n")), delimiter=_delimiter(text)))
    except csv.Error:
        # A cell of more than 128 kB, or a carriage return where no line ends.
        return text
    if len(set(names)) < len(names) or any(len(row) > len(names) for row in rows):
        return text
    whole = [row + [""] * (len(names) - len(row)) for row in rows]
    return {name.strip(): [row[column].strip() for row in whole] for column, name in enumerate(names)}


def _delimiter(text: str) -> str:
    """What parts the names in the first line: what pastes of spreadsheets have, before what texts have too."""
    head = text.strip("\n").partition("\n")[0]
    return next((sign for sign in _DELIMITERS if sign in head), ",")


def as_text(table: dict[str, Any]) -> str:
    """What `from_text` turns into `table` again."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=False))
    return out.getvalue()
