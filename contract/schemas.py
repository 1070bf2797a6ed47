"""Checks values against the catalogue's JSON Schemas, and says what is wrong in words, by field.

`Problem.field` is a dotted path as the caller wrote it: `inputs.text`, `parameters.top_k`,
`inputs.messages.0.role`.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
from collections.abc import Mapping
from typing import Any

import jsonschema_rs

from contract.errors import ErrorCode, RequestError
from contract.jsons import canonical, loads
from contract.tasks.task import JsonSchema, Task


@dataclasses.dataclass(frozen=True)
class Problem:
    field: str
    code: ErrorCode
    message: str


_TYPE_WORDS = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


class Checker:
    """One compiled schema; reusable from any thread."""

    def __init__(self, schema: JsonSchema) -> None:
        self.schema = schema
        self._validator = jsonschema_rs.Draft202012Validator(schema)

    def problems(self, value: Any, *, at: str) -> list[Problem]:
        """Everything wrong with `value`, which the caller knows as `at`; empty when it is right."""
        if self._validator.is_valid(value):
            return []
        return [self._problem(error, at) for error in self._validator.iter_errors(value)]

    def _problem(self, error: Any, at: str) -> Problem:
        path = [str(part) for part in error.instance_path]
        keyword = str(error.schema_path[-1]) if error.schema_path else ""
        rule = _follow(self.schema, error.schema_path)
        if keyword == "oneOf" and keyword in [str(p) for p in error.schema_path]:
            choices = " or ".join(option["required"][0] for option in rule)
            return Problem(_dotted(at, *path), ErrorCode.MISSING_FIELD, f"Give either {choices}.")
        if keyword == "additionalProperties":
            return self._unknown_field(error, at, path)
        if keyword == "required":
            name = error.kind.property
            field = _dotted(at, *path, name)
            return Problem(field, ErrorCode.MISSING_FIELD, f"{field} is missing.")
        field = _dotted(at, *path)
        parent = _follow(self.schema, error.schema_path[:-1])
        return Problem(field, ErrorCode.INVALID_VALUE, f"{field} must {_rule_words(keyword, rule, parent)}.")

    def _unknown_field(self, error: Any, at: str, path: list[str]) -> Problem:
        name = str(error.kind.unexpected[0])
        known = _follow(self.schema, error.schema_path[:-1]).get("properties", {})
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"Known: {', '.join(known) or 'none'}."
        field = _dotted(at, *path, name)
        return Problem(field, ErrorCode.UNKNOWN_FIELD, f"{field} is not a field. {hint}")


def in_one_form(task: Task, checks: Checker, inputs: Any) -> tuple[Any, list[Problem]]:
    """A job's inputs in the form in which they are kept, or as they were with all that is wrong by `checks`."""
    problems = checks.problems(inputs, at="inputs")
    if problems or task.read is None:
        return inputs, problems
    inputs = task.read(inputs)
    return inputs, checks.problems(inputs, at="inputs")


def first_error(problems: list[Problem]) -> RequestError:
    """The first problem as an error, with all of them (the first hundred) in its details."""
    first = problems[0]
    listed = [{"field": p.field, "code": p.code.value, "message": p.message} for p in problems[:100]]
    return RequestError(first.code, first.message, field=first.field, details={"problems": listed})


def whole_numbers(schema: JsonSchema, value: dict[str, Any]) -> dict[str, Any]:
    """`value` with 5.0 as 5 where the schema wants a whole number: JSON Schema takes both, a list index does not."""
    rules = schema.get("properties", {})
    return {name: _whole(rules.get(name, {}), one) for name, one in value.items()}


def _whole(rule: JsonSchema, value: Any) -> Any:
    kinds = rule.get("type", ())
    wants_whole = "integer" in kinds and "number" not in kinds
    return int(value) if wants_whole and isinstance(value, float) and value.is_integer() else value


def _dotted(*parts: str) -> str:
    return ".".join(part for part in parts if part)


def _follow(schema: Any, path: list[Any]) -> Any:
    for part in path:
        schema = schema[part]
    return schema


def _rule_words(keyword: str, rule: Any, parent: Mapping[str, Any]) -> str:
    """The end of the sentence '<field> must …' for one broken keyword."""
    if "x-words" in parent:
        return str(parent["x-words"])
    if keyword == "type":
        if words := parent.get("x-type-words"):
            return str(words)
        kinds = [rule] if isinstance(rule, str) else rule
        return "be " + " or ".join(_TYPE_WORDS[kind] for kind in kinds)
    if keyword == "enum":
        return "be one of " + ", ".join(str(word) for word in rule if word is not None)
    if keyword == "pattern":
        return str(parent.get("x-pattern-words", f"match {rule}"))
    words = {
        "minimum": f"be at least {rule}",
        "maximum": f"be at most {rule}",
        "minLength": "not be empty" if rule == 1 else f"have at least {rule} characters",
        "maxLength": f"have at most {rule:,} characters" if isinstance(rule, int) else "",
        "minItems": "not be empty" if rule == 1 else f"have at least {rule} entries",
        "maxItems": f"have at most {rule} entries",
        "minProperties": "not be empty" if rule == 1 else f"have at least {rule} entries",
        "maxProperties": f"have at most {rule} entries",
    }
    return words.get(keyword) or "have another form"


@functools.cache
def _checker(schema_text: str) -> Checker:
    return Checker(loads(schema_text))


def checker(schema: JsonSchema) -> Checker:
    """The compiled form of `schema`; equal schemas share one."""
    return _checker(canonical(schema))


#: Where a text may be sent too, only these words are something else.
_WORDS_OF_TRUTH = {"true": True, "false": False}


def from_text(schema: JsonSchema, text: str) -> Any:
    """Read what a form field or a spreadsheet cell holds as the type its schema asks for.

    Lists are one entry a line where there are line breaks, else separated by commas, or a JSON list. A text that
    does not fit stays a text, so that the check names it.
    """
    kinds = schema.get("type", "string")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if "string" in kinds:
        return _WORDS_OF_TRUTH.get(text, text) if "boolean" in kinds else text
    stripped = text.strip()
    if "null" in kinds and stripped in ("", "null"):
        return None
    if "array" in kinds:
        return _list_from_text(stripped, schema.get("items", {}))
    if "object" in kinds:
        return _object_from_text(text)
    if "boolean" in kinds:
        return {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}.get(
            stripped.lower(), text
        )
    return _number_from_text(stripped, whole_only="number" not in kinds) if kinds else text


def _number_from_text(text: str, *, whole_only: bool) -> Any:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        value = float(text)
    except ValueError:
        return text
    if value != value or value in (float("inf"), float("-inf")):
        return text
    if not whole_only:
        return value
    # 7.0 is 7: so programs write a column of whole numbers some of which are missing.
    return int(value) if value.is_integer() else text


def _object_from_text(text: str) -> Any:
    try:
        return loads(text)
    except ValueError:
        return text


def _list_from_text(text: str, entry: JsonSchema) -> Any:
    if text.startswith("["):
        try:
            return loads(text)
        except ValueError:
            return text
    parts = text.splitlines() if "\n" in text else text.split(",")
    return [from_text(entry, part.strip()) for part in parts if part.strip()]
