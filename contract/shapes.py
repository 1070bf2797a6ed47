"""A JSON Schema in rows: every field by its path, its type in words, and what it means.

`result[].box.xmin` is a field of an object in each entry of an array; a name in capitals stands for any name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from contract.jsons import dumps
from contract.tasks.task import JsonSchema


@dataclasses.dataclass(frozen=True)
class Field:
    path: str
    #: In Markdown.
    kind: str
    words: str
    #: Whether it is there whenever what it stands in is.
    always: bool


def fields_of(schema: JsonSchema, path: str, *, always: bool = True, said: str = "") -> Iterator[Field]:
    """What is at `path` and all that is in it, outermost first; of several shapes, one after the other."""
    if "anyOf" in schema:
        for number, shape in enumerate(schema["anyOf"]):
            yield from fields_of(shape, path, always=always, said="Or: " if number else "Either: ")
        return
    yield Field(path, kind_of(schema), f"{said}{schema.get('description', '')}", always)
    yield from _inside(schema, path)


def _inside(schema: JsonSchema, path: str) -> Iterator[Field]:
    for name, rule in schema.get("properties", {}).items():
        yield from fields_of(rule, f"{path}.{name}", always=name in schema.get("required", ()))
    if isinstance(any_other := schema.get("additionalProperties"), dict):
        yield from fields_of(any_other, f"{path}.NAME")
    if schema.get("items"):
        # The array's own row says what its entries are.
        yield from _inside(schema["items"], f"{path}[]")


def kind_of(rule: JsonSchema) -> str:
    """Its type and bounds, or the values there are."""
    if "const" in rule or "enum" in rule:
        return " or ".join(f"`{_bare(value)}`" for value in rule.get("enum", [rule.get("const")]))
    if "x-media" in rule:
        return f"file ({rule['x-media']})"
    kinds = rule["type"] if isinstance(rule["type"], list) else [rule["type"]]
    words = " or ".join(_array_of(rule) if kind == "array" else kind for kind in kinds)
    bounds = [f"{word} {rule[key]}" for key, word in (("minimum", "from"), ("maximum", "to")) if key in rule]
    return " ".join([words, *bounds])


def _bare(value: object) -> str:
    return value if isinstance(value, str) else dumps(value)


def _array_of(rule: JsonSchema) -> str:
    entry = rule.get("items") or {}
    if "type" not in entry:
        return "array"
    count = f"{rule['maxItems']} " if rule.get("minItems") == rule.get("maxItems", 0) else ""
    kinds = entry["type"] if isinstance(entry["type"], list) else [entry["type"]]
    one = "files" if "x-media" in entry else " or ".join(_several(kind, entry) for kind in kinds)
    return f"array of {count}{one}"


def _several(kind: str, entry: JsonSchema) -> str:
    if kind == "array":
        return _array_of(entry).replace("array", "arrays", 1)
    return kind if kind == "null" else f"{kind}s"
