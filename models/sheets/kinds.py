"""What a column of an export holds, found from its values: a Parquet file must say so before its first row."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from contract.jsons import dumps

_INT64 = range(-(2**63), 2**63)


class Kind(StrEnum):
    NONE = "none"
    BOOL = "bool"
    WHOLE = "whole"
    NUMBER = "number"
    VECTOR = "vector"
    #: Also of everything that is mixed or nested, which is written as JSON.
    TEXT = "text"


def kind_of(value: Any) -> Kind:
    if value is None:
        return Kind.NONE
    if isinstance(value, str):
        return Kind.TEXT
    if isinstance(value, bool):
        return Kind.BOOL
    if isinstance(value, int):
        return Kind.WHOLE if value in _INT64 else Kind.TEXT
    if isinstance(value, float):
        return Kind.NUMBER
    # The empty list too: an embedding is never empty, and a list of nothing says nothing of its kind.
    is_vector = isinstance(value, list) and value and all(type(one) is float for one in value)
    return Kind.VECTOR if is_vector else Kind.TEXT


def both(one: Kind, other: Kind) -> Kind:
    """The narrowest kind that holds what either holds."""
    if one is other or other is Kind.NONE:
        return one
    if one is Kind.NONE:
        return other
    return Kind.NUMBER if {one, other} == {Kind.WHOLE, Kind.NUMBER} else Kind.TEXT


def kind_of_all(values: Iterable[Any], known: Kind = Kind.NONE) -> Kind:
    for value in values:
        if known is Kind.TEXT:
            return known
        known = both(known, kind_of(value))
    return known


def as_kind(kind: Kind, value: Any) -> Any:
    """A value as its column's kind."""
    if kind is Kind.TEXT:
        return value if value is None or isinstance(value, str) else as_text(value)
    return float(value) if kind is Kind.NUMBER and value is not None else value


def as_text(value: Any) -> str:
    try:
        return dumps(value)
    except TypeError:
        # A whole number beyond 64 bits, or more lists in one another than a JSON writer takes.
        return str(value)
