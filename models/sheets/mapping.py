"""Which column feeds which input field, parameter or id: as asked for, else by name, else by a synonym."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping as Dict
from typing import Any

from contract.errors import ErrorCode, RequestError
from contract.pipelines import PipelineSpec
from models.sheets.layout import ARCHIVES, FILE_NAME, FILE_NAMES, FileError, Layout, names_files

PARAMETER = "parameters."
_SEVERAL = (
    "An archive brings one file a row, and inputs.{field} takes several. Put a metadata.jsonl beside the files that "
    'names those of each row, {{"file_names": ["a.png", "b.png"]}}, or a metadata.csv with the columns file_name and '
    "other_file_name."
)
Column = str | int


@dataclasses.dataclass(frozen=True)
class Mapping:
    """Columns by name, all of which the file has."""

    inputs: dict[str, str]
    parameters: dict[str, str]
    id_column: str | None

    def as_dict(self) -> dict[str, str]:
        """As a request says it."""
        return {**self.inputs, **{PARAMETER + name: column for name, column in self.parameters.items()}}

    def column_of(self, field: str) -> str | None:
        """The column that a field of a row (`inputs.text`, `parameters.top_k`, a part of one) came from."""
        if field == "id_column":
            return self.id_column
        where, _, path = field.partition(".")
        name, _, part = path.partition(".")
        column = {"inputs": self.inputs, "parameters": self.parameters}.get(where, {}).get(name)
        # A row of an archive may name the files of one field in several columns.
        return None if part and column == FILE_NAME else column


def check_request(spec: PipelineSpec, mapping: Any) -> dict[str, Column]:
    """The part of a mapping that needs no file: every field is known, every column a name or a place."""
    if mapping is None:
        return {}
    if not isinstance(mapping, dict):
        raise RequestError(
            ErrorCode.INVALID_VALUE, "inputs must be an object of input fields and their columns.", field="inputs"
        )
    for field, column in mapping.items():
        _check_field(spec, field)
        if isinstance(column, bool) or not isinstance(column, str | int) or (isinstance(column, int) and column < 0):
            raise RequestError(
                ErrorCode.INVALID_VALUE,
                f"inputs.{field} must be the name of a column, or its number from 0.",
                field=f"inputs.{field}",
            )
    return mapping


def _check_field(spec: PipelineSpec, field: str) -> None:
    inputs = spec.catalogue.inputs["properties"]
    known = [*inputs, *(PARAMETER + name for name in spec.catalogue.parameters["properties"])]
    if field not in known:
        close = difflib.get_close_matches(field, known, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"Known: {', '.join(inputs)}, and {PARAMETER}NAME."
        raise RequestError(
            ErrorCode.UNKNOWN_FIELD,
            f"inputs.{field} is not a field of this pipeline. {hint}",
            field=f"inputs.{field}",
        )


def resolve(
    spec: PipelineSpec, layout: Layout, mapping: Dict[str, Column], id_column: Column | None = None
) -> Mapping:
    """Find every column in the file; raises FileError(unknown_column) that names those it has."""
    inputs = {
        field: _find(layout, column, f"inputs.{field}")
        for field, column in mapping.items()
        if not field.startswith(PARAMETER)
    }
    parameters = {
        field.removeprefix(PARAMETER): _find(layout, column, f"inputs.{field}")
        for field, column in mapping.items()
        if field.startswith(PARAMETER)
    }
    own_id = None if id_column is None else _find(layout, id_column, "id_column")
    given = _given(spec, layout, inputs)
    taken = {*inputs.values(), *given.values(), *parameters.values(), *([own_id] if own_id else [])}
    guessed = _guess(spec, layout, asked=inputs, given=given, taken=taken)
    return Mapping({**inputs, **given, **guessed}, parameters, own_id)


def _given(spec: PipelineSpec, layout: Layout, asked: dict[str, str]) -> dict[str, str]:
    """Of an archive: which fields its files are for, unless the request says where they come from."""
    media = list(spec.catalogue.media)
    if layout.format not in ARCHIVES or not media or asked.keys() & set(media):
        return {}
    main = spec.catalogue.main_field
    field = main if main in media else media[0]
    least = spec.catalogue.inputs["properties"][field].get("minItems", 1)
    if least > 1 and not any(map(names_files, layout.columns[1:])):
        # One file a row is all that an archive says by itself.
        raise FileError(ErrorCode.UNKNOWN_FORMAT, _SEVERAL.format(field=field))
    others = {other: [f"{other}_{FILE_NAME}", f"{other}_{FILE_NAMES}"] for other in media if other != field}
    found = {other: column for other, names in others.items() for column in names if column in layout.columns}
    return {field: FILE_NAME, **found}


def _find(layout: Layout, column: Column, field: str) -> str:
    columns = layout.columns
    if isinstance(column, int):
        if column < len(columns):
            return columns[column]
        raise _unknown(layout, f"{field}: the file has no column {column}.", field)
    if column in columns:
        return column
    alike = [name for name in columns if _plain(name) == _plain(column)]
    if len(alike) == 1:
        return alike[0]
    close = difflib.get_close_matches(column, columns, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    raise _unknown(layout, f"{field}: the file has no column '{_short(column)}'.{hint}", field)


def _plain(name: str) -> str:
    return name.strip().casefold()


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"


def _unknown(layout: Layout, message: str, field: str) -> FileError:
    shown = ", ".join(_short(name) for name in layout.columns[:30]) or "none"
    more = ", …" if len(layout.columns) > 30 else ""
    return FileError(ErrorCode.UNKNOWN_COLUMN, f"{message} Its columns: {shown}{more}.", line=1, field=field)


def _guess(
    spec: PipelineSpec, layout: Layout, *, asked: dict[str, str], given: dict[str, str], taken: set[str]
) -> dict[str, str]:
    """Columns for fields nobody mapped. With a mapping only what a row cannot do without is looked for."""
    task = spec.catalogue
    either = [rule["required"] for rule in task.inputs.get("oneOf", [])]
    if any(set(fields) <= set(asked) for fields in either):
        return {}
    required = task.inputs["required"]
    fields = [name for name in (required if asked else task.inputs["properties"]) if name not in asked | given]
    free = {_plain(name): name for name in reversed(layout.columns) if name not in taken}
    found = {field: free[_plain(field)] for field in fields if _plain(field) in free}
    # Of fields that exclude each other a synonym gives one: the first, and none where a column has a field's name.
    alternatives = {name for group in either for name in group}
    for field in fields:
        if field in found or (field in alternatives and alternatives & found.keys()):
            continue
        words = (_plain(word) for word in task.synonyms.get(field, ()))
        column = next((free[word] for word in words if word in free and free[word] not in found.values()), None)
        if column is not None:
            found[field] = column
    if not asked and not given and not found and len(free) == 1:
        # A file of one column (beside the ids and parameters that were named) needs no mapping.
        found[task.main_field] = next(iter(free.values()))
    missing = [name for name in required if name not in asked | given | found]
    if alternatives and not alternatives & found.keys():
        missing.append(task.main_field)
    if missing:
        message = f"No column is named '{missing[0]}'. Say which one holds it: inputs = {{\"{missing[0]}\": COLUMN}}."
        raise _unknown(layout, message, f"inputs.{missing[0]}")
    return found
