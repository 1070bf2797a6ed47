"""JSON as Fournil speaks it: UTF-8, no NaN and no Infinity.

orjson writes NaN as null, which would turn a broken score into a missing one in silence; what a model gave is
therefore looked through with `finite` before it is recorded.
"""

from __future__ import annotations

import math
from typing import Any

import orjson

from contract.vectors import Vector


def dumps(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()


def canonical(value: Any) -> str:
    """The same text for equal values: keys sorted. What digests and lanes are made from."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS).decode()


def loads(text: str | bytes) -> Any:
    return orjson.loads(text)


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
