"""What one record of a file sends to its pipeline, or everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from contract.errors import ErrorCode
from contract.pipelines import PipelineSpec
from contract.schemas import Problem, checker, from_text, in_one_form
from contract.tasks.task import JsonSchema
from models.media import sources
from models.sheets.layout import ARCHIVES, FILE_NAME, TYPED, Layout, Named, Record, columns_of, names_files
from models.sheets.mapping import Mapping
from models.sheets.workbooks import as_cell

if TYPE_CHECKING:
    from models.files import NewFile

MAX_ID = 255
_SHOWN = 3
#: Of an archive's file, while its row is checked.
_STAND_IN = {"file_id": "member"}
_KEPT = 1_000


class Row(NamedTuple):
    """A record as it would be sent. With problems it is not sent, and inputs may be anything."""

    record: Record
    inputs: dict[str, Any]
    parameters: dict[str, Any]
    external_id: str | None
    problems: list[Problem]
    #: Files that were put away for it, and those it names that were there before (models/porter.py).
    made: tuple[NewFile, ...] = ()
    known: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        return " ".join(problem.message for problem in self.problems[:_SHOWN])


class Rows:
    """Reads records as rows of one pipeline. Everything that is the same for all of them is prepared once."""

    def __init__(
        self, spec: PipelineSpec, layout: Layout, mapping: Mapping, parameters: dict[str, Any] | None = None
    ) -> None:
        self._mapping = mapping
        self._parameters = parameters or {}
        self._media = spec.catalogue.media
        self._task = spec.catalogue
        self._inputs_checker = checker(spec.catalogue.inputs)
        self._parameters_checker = checker(spec.parameters_schema())
        inputs, rules = spec.catalogue.inputs["properties"], spec.catalogue.parameters["properties"]
        required = spec.catalogue.inputs["required"]
        self._fields = [
            (name, _getter(layout, column), self._reader(layout, name, inputs[name]), name in required)
            for name, column in mapping.inputs.items()
            if not self._is_member(layout, name, column)
        ]
        self._members = {
            name: column for name, column in mapping.inputs.items() if self._is_member(layout, name, column)
        }
        self._own = [
            (name, _getter(layout, column), _reader(layout, rules[name]))
            for name, column in mapping.parameters.items()
        ]
        self._id = _getter(layout, mapping.id_column) if mapping.id_column is not None else None

    def row(self, record: Record) -> Row:
        if record.flaw is not None:
            return Row(record, {}, self._parameters, self._shown_id(record), [_flaw(record.flaw)])
        inputs, named = self._inputs(record), self._named(record)
        if not (problems := [*self._of_files(inputs), *_absent(named)]):
            stand_ins = {name: self._as_field(name, [_STAND_IN for _ in files]) for name, files in named.items()}
            inputs, problems = in_one_form(self._task, self._inputs_checker, {**inputs, **stand_ins})
            # After the check: nobody's request may hold such a thing.
            inputs |= {name: self._as_field(name, _shown(files)) for name, files in named.items()}
        parameters = self._parameters
        if self._own:
            parameters = {**parameters, **self._own_parameters(record)}
            problems = problems + self._parameters_checker.problems(parameters, at="parameters")
        external_id, wrong_id = self._external_id(record)
        if wrong_id is not None:
            problems = [*problems, wrong_id]
        return Row(record, inputs, parameters, external_id, [self._located(problem) for problem in problems])

    def _reader(self, layout: Layout, name: str, schema: JsonSchema) -> Callable[[Any], Any] | None:
        if name not in self._media:
            return _reader(layout, schema)
        return sources.reader(schema)

    def _is_member(self, layout: Layout, name: str, column: str) -> bool:
        """Whether a field is what a row of an archive names: the file that it is about, or others."""
        return layout.format in ARCHIVES and name in self._media and names_files(column)

    def _named(self, record: Record) -> dict[str, list[Named]]:
        """The files of each field. A list of the file that the row is about has the row's others too."""
        elsewhere = {column for column in self._members.values() if column != FILE_NAME}
        found: dict[str, list[Named]] = {}
        for name, column in self._members.items():
            if column == FILE_NAME:
                own = [file for file in record.named if file.column not in elsewhere]
            else:
                own = [file for file in record.named if file.column == column]
            if own:
                found[name] = own if name in self._task.media_lists else own[:1]
        return found

    def _as_field(self, name: str, files: list[Any]) -> Any:
        return files if name in self._task.media_lists else files[0]

    def _of_files(self, inputs: dict[str, Any]) -> list[Problem]:
        """What is wrong with fields of files that a schema, which knows no columns, would say in other words."""
        wrong = [name for name in self._media if _holds_text(inputs.get(name))]
        return [Problem(f"inputs.{n}", ErrorCode.INVALID_VALUE, f"inputs.{n} {sources.WORDS}") for n in wrong]

    def _inputs(self, record: Record) -> dict[str, Any]:
        inputs: dict[str, Any] = {}
        for name, get, read, required in self._fields:
            value = get(record.values)
            # An empty cell is "not given"; of a field that must be there it is the empty text that is wrong.
            if value is None or (value == "" and not required):
                continue
            inputs[name] = value if read is None or value == "" else read(value)
        return inputs

    def _own_parameters(self, record: Record) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, get, read in self._own:
            value = get(record.values)
            if value is not None and value != "":
                found[name] = value if read is None else read(value)
        return found

    def _external_id(self, record: Record) -> tuple[str | None, Problem | None]:
        if self._id is None:
            return None, None
        value = self._id(record.values)
        if value is None or value == "":
            return None, Problem("id_column", ErrorCode.MISSING_FIELD, "The row has no id.")
        if isinstance(value, float) and value.is_integer():
            # A column of whole numbers some of which are missing, as pandas keeps it.
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            return None, Problem("id_column", ErrorCode.INVALID_VALUE, "The id must be a text or a whole number.")
        if len(value) > MAX_ID or "\0" in value:
            message = f"The id must have at most {MAX_ID} characters, none of them NUL."
            return value[:MAX_ID].replace("\0", ""), Problem("id_column", ErrorCode.INVALID_VALUE, message)
        return value, None

    def _shown_id(self, record: Record) -> str | None:
        """The id of a row that is not taken, where it can be read; only to show."""
        try:
            return self._external_id(record)[0]
        except IndexError:
            return None

    def _located(self, problem: Problem) -> Problem:
        """Names the column a field came from, where the caller knows it by another name."""
        column, name = self._mapping.column_of(problem.field), problem.field.partition(".")[2]
        if column is None or column == name or not name:
            return problem
        return Problem(problem.field, problem.code, f"{problem.message.removesuffix('.')} (column '{column[:60]}').")


def _absent(named: dict[str, list[Named]]) -> list[Problem]:
    """What the archive does not hold of what a row names."""
    return [
        Problem(f"inputs.{name}.{place}", ErrorCode.INVALID_VALUE, file.flaw)
        for name, files in named.items()
        for place, file in enumerate(files)
        if file.flaw is not None
    ]


def _shown(files: list[Named]) -> list[dict[str, Any]]:
    return [file.member.shown() for file in files if file.member is not None]


def _holds_text(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and any(isinstance(one, str) for one in value))


def _flaw(message: str) -> Problem:
    return Problem("file", ErrorCode.INVALID_ROW, message)


def _getter(layout: Layout, column: str) -> Callable[[Any], Any]:
    if layout.format in ("jsonl", "json"):
        return lambda values: values.get(column)
    place = layout.columns.index(column)
    return lambda values: values[place]


def _reader(layout: Layout, schema: JsonSchema) -> Callable[[Any], Any] | None:
    """How a cell becomes what the schema asks for; None where it is that already."""
    if layout.format in TYPED:
        return None
    if layout.format == "xlsx" or layout.format in ARCHIVES:
        return lambda cell: _from_cell(schema, cell)
    return None if schema.get("type") == "string" else lambda text: from_text(schema, text)


def _from_cell(schema: JsonSchema, cell: Any) -> Any:
    """Nobody who types a year into a sheet means a number."""
    if schema.get("type") == "string":
        return as_cell(cell)
    return from_text(schema, cell) if isinstance(cell, str) else cell


def shown(record: Record, columns: list[str]) -> dict[str, Any]:
    """A record for people to look at, cut where it is very long."""
    return {name: _cut(value) for name, value in columns_of(record, columns).items()}


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return value[: _KEPT - 1] + "…" if len(value) > _KEPT else value
    return short_files(value)


def short_files(value: Any) -> Any:
    """A value for people to look at: base64 in it by its beginning."""
    if isinstance(value, list):
        return [short_files(one) for one in value] if any(isinstance(one, dict) for one in value) else value
    if not isinstance(value, dict):
        return value
    return {name: _beginning(one) if name in ("data", "bytes") else one for name, one in value.items()}


def _beginning(value: Any) -> Any:
    return value[:40] + "…" if isinstance(value, str) and len(value) > 40 else value
