"""Any JSON as a page tells it: names and what they stand for, indented, and no more of it than a person reads."""

from __future__ import annotations

import dataclasses
from typing import Any

from contract.jsons import dumps

#: A state may be a megabyte of JSON; a page that drew all of it would be the slower for nobody.
MOST_LINES = 200
#: What lies deeper stands in one line, as JSON.
DEEPEST = 5


@dataclasses.dataclass(frozen=True)
class Line:
    #: None: an entry of a list.
    name: str | None
    #: Empty where its own lines stand below.
    text: str
    below: tuple[Line, ...] = ()


@dataclasses.dataclass(frozen=True)
class Outline:
    lines: tuple[Line, ...]
    #: Whether there is more.
    cut: bool

    @classmethod
    def of(cls, value: Any) -> Outline:
        scribe = _Scribe(MOST_LINES)
        lines = scribe.below(value, 1)
        return cls(lines, scribe.cut)


class _Scribe:
    def __init__(self, most: int) -> None:
        self.left = most
        self.cut = False

    def below(self, value: Any, depth: int) -> tuple[Line, ...]:
        entries = value.items() if isinstance(value, dict) else ((None, one) for one in value)
        lines: list[Line] = []
        for name, one in entries:
            if self.left == 0:
                self.cut = True
                break
            self.left -= 1
            lines.append(self._line(name, one, depth))
        return tuple(lines)

    def _line(self, name: str | None, value: Any, depth: int) -> Line:
        if _is_plain(value) or depth == DEEPEST:
            return Line(name, _in_words(value))
        return Line(name, "", self.below(value, depth + 1))


def outlined(value: Any) -> Any:
    """An outline of what would read as JSON; texts, numbers, files and plain lists as they are."""
    return Outline.of(value) if _is_nested(value) else value


def in_one_line(value: Any) -> str:
    """`subject: late bread · days: 2`, for the rows of a table."""
    if not isinstance(value, dict):
        return _in_words(value)
    return " · ".join(f"{name}: {_in_words(one)}" for name, one in value.items())


def _is_nested(value: Any) -> bool:
    if isinstance(value, dict):
        return "file" not in value
    return isinstance(value, list) and any(isinstance(one, list) or _is_nested(one) for one in value)


def _is_plain(value: Any) -> bool:
    """What needs no lines of its own: a word, a number, nothing, a list of numbers."""
    if isinstance(value, list):
        return all(isinstance(one, int | float) for one in value)
    return not (isinstance(value, dict) and value)


def _in_words(value: Any) -> str:
    if value is None or value in ("", [], {}):
        return "–"
    if isinstance(value, str):
        return value
    if isinstance(value, list) and _is_plain(value):
        return ", ".join(map(dumps, value))
    return dumps(value)
