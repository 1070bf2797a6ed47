"""What a column of an export holds, found from its values: a Parquet file must say so before its first row."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from contract.jsons import dumps, dumps_anything

_INT64 = range(-(2**63), 2**63)
#: Whole numbers that a float holds, each of them.
_IN_FLOATS = range(-(2**53), 2**53 + 1)


class Kind(StrEnum):
    NONE = "none"
    BOOL = "bool"
    WHOLE = "whole"
    #: Whole numbers in 64 bits, some of which no float holds.
    LONG = "long"
    NUMBER = "number"
    VECTOR = "vector"
    #: Also of everything that is mixed or nested, which is written as JSON, and of longer whole numbers.
    TEXT = "text"


def kind_of(value: Any) -> Kind:
    if value is None:
        return Kind.NONE
    if isinstance(value, str):
        return Kind.TEXT
    if isinstance(value, bool):
        return Kind.BOOL
    if isinstance(value, int):
        return Kind.WHOLE if value in _IN_FLOATS else Kind.LONG if value in _INT64 else Kind.TEXT
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
    return _WIDER.get(frozenset((one, other)), Kind.TEXT)


_WIDER = {frozenset((Kind.WHOLE, Kind.NUMBER)): Kind.NUMBER, frozenset((Kind.WHOLE, Kind.LONG)): Kind.LONG}


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
        # A whole number beyond 64 bits, or more lists in one another than orjson writes.
        return dumps_anything(value, str).decode()
