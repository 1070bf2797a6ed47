"""The columns of an export: those of the file, and those that a task's results have, each with how a row fills it."""

from __future__ import annotations

import csv
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from contract.errors import ErrorCode, RequestError
from contract.tasks.task import Task
from models.sheets.kinds import Kind

#: Formats whose rows are flat: a label and a score, each in a column of its own.
FLAT = frozenset({"csv", "parquet", "xlsx", "datasets"})
_WITH_VECTORS = frozenset({"parquet", "datasets"})


class Joined(NamedTuple):
    """A row of the file and what became of it."""

    row: int
    external_id: str | None
    #: Input columns; empty when no input column is asked for.
    inputs: dict[str, Any]
    #: A job's status, or "invalid" for a row that was never one.
    status: str
    #: The result as it is stored: JSON text, or the numbers of a vector.
    body: str | None
    vector: list[float] | None
    error: dict[str, str] | None

    @property
    def result(self) -> Any:
        if self.vector is not None:
            return self.vector
        return None if self.body is None else orjson.loads(self.body)


class Column(NamedTuple):
    name: str
    get: Callable[[Joined], Any]
    #: What it holds, where that is known before the first row.
    kind: Kind = Kind.NONE


class Table:
    """The columns of an export by name; a result column that an input column's name is taken by gets a prefix."""

    def __init__(self, task: Task | None, inputs: list[str], *, format: str, texts: bool = False) -> None:
        """`task`: None where nobody knows it any more; a result is then JSON in one column.

        `texts`: every input column holds texts, as in a CSV.
        """
        flat, self._vectors = format in FLAT, format in _WITH_VECTORS
        self._task = task
        self._last: tuple[Joined | None, dict[str, Any]] = (None, {})
        self.inputs = [Column(name, _input(name), Kind.TEXT if texts else Kind.NONE) for name in inputs]
        taken = set(inputs)
        self._names = task.result_columns if task else ()
        own = [Column(_free(name, taken), self._flat(name)) for name in self._names]
        places = [
            Column(_free("row", taken), lambda joined: joined.row, Kind.WHOLE),
            Column(_free("id", taken), lambda joined: joined.external_id, Kind.TEXT),
        ]
        result = Column(_free("result", taken), _text_result if flat else _nested)
        ends = [
            Column(_free("status", taken), lambda joined: joined.status, Kind.TEXT),
            Column(_free("error", taken), _text_error if flat else _error, Kind.TEXT),
        ]
        self.results = [*(own or [result]), *ends] if flat else [*places, result, *ends]
        self._known = {column.name: column for column in [*self.inputs, *own, result, *ends, *places]}
        #: Goes before the others where it is asked for; `row` may be among those.
        self.number = Column(_free("row_number", taken), lambda joined: joined.row, Kind.WHOLE)

    def choose(self, wanted: str | None) -> list[Column]:
        """All, `inputs`, `results`, or a comma list of names (in quotes where a name holds a comma)."""
        if wanted is None:
            return [*self.inputs, *self.results]
        if wanted in ("inputs", "results"):
            return self.inputs if wanted == "inputs" else self.results
        # Once each: of two columns of one name neither JSON nor Parquet knows which is meant.
        return list(dict.fromkeys(self._named(name.strip()) for name in _listed(wanted)))

    def _named(self, name: str) -> Column:
        if name not in self._known:
            known = ", ".join([*list(self._known)[:50], "inputs", "results"])
            message = f"columns: there is no column '{name[:60]}'. Known: {known}."
            raise RequestError(ErrorCode.UNKNOWN_COLUMN, message, field="columns")
        return self._known[name]

    def needs_file(self, chosen: list[Column]) -> bool:
        """Whether the uploaded file must be read again for these."""
        return any(column in self.inputs for column in chosen)

    def _flat(self, name: str) -> Callable[[Joined], Any]:
        return lambda joined: self._columns_of(joined).get(name)

    def _columns_of(self, joined: Joined) -> dict[str, Any]:
        """The result as flat columns, made once a row: the columns of an export ask one after the other."""
        if self._last[0] is not joined:
            self._last = (joined, self._made(joined))
        return self._last[1]

    def _made(self, joined: Joined) -> dict[str, Any]:
        if self._vectors and joined.vector is not None and len(self._names) == 1:
            return {self._names[0]: joined.vector}
        result = joined.result
        return {} if result is None or self._task is None else self._task.columns(result)


def _listed(wanted: str) -> list[str]:
    try:
        return next(csv.reader([wanted]), [])
    except csv.Error as error:
        message = "columns: names with commas between them, in double quotes where a name holds a comma or a line."
        raise RequestError(ErrorCode.INVALID_VALUE, message, field="columns") from error


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name = f"result_{name}"
    taken.add(name)
    return name


def _input(name: str) -> Callable[[Joined], Any]:
    return lambda joined: joined.inputs.get(name)


def _nested(joined: Joined) -> Any:
    """The stored JSON goes out as it is."""
    return joined.vector if joined.body is None else orjson.Fragment(joined.body)


def _text_result(joined: Joined) -> str | None:
    return joined.body if joined.vector is None else orjson.dumps(joined.vector).decode()


def _error(joined: Joined) -> dict[str, str] | None:
    return joined.error


def _text_error(joined: Joined) -> str | None:
    return None if joined.error is None else f"{joined.error['code']}: {joined.error['message']}"
