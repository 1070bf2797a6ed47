"""JSON as Fournil speaks it: UTF-8, no NaN and no Infinity.

orjson writes NaN as null, which would turn a broken score into a missing one in silence; what a model gave is
therefore looked through with `finite` before it is recorded.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import orjson

from contract.vectors import Vector

#: From here on orjson may have rounded a whole number.
_BEYOND = 2.0**63


def dumps(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()


def canonical(value: Any) -> str:
    """The same text for equal values: keys sorted. What digests and lanes are made from."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS).decode()


def loads(text: str | bytes) -> Any:
    return orjson.loads(text)


def loads_exactly(text: str | bytes) -> Any:
    """`loads`, with whole numbers beyond 64 bits as they are written: orjson makes floats of those."""
    value = orjson.loads(text)
    try:
        return json.loads(text) if _may_be_rounded(value) else value
    except RecursionError:
        return value


def _may_be_rounded(value: Any) -> bool:
    if isinstance(value, float):
        return abs(value) >= _BEYOND
    if isinstance(value, dict):
        return any(map(_may_be_rounded, value.values()))
    return isinstance(value, list) and any(map(_may_be_rounded, value))


def dumps_anything(value: Any, default: Callable[[Any], Any] | None = None) -> bytes:
    """JSON of what orjson does not write either: whole numbers of any length, a thousand lists in one another."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=default).encode()


def finite(value: Any) -> bool:
    """Whether no float anywhere in `value` is NaN or infinite."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(finite(v) for v in value.values())
    if isinstance(value, list | tuple):
        if isinstance(value, Vector):
            return True
        # Long lists of numbers: 20 µs for 384 in place of 35.
        if set(map(type, value)) == {float}:
            return all(map(math.isfinite, value))
        return all(finite(v) for v in value)
    return True
