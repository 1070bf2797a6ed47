"""What a warm pipeline is worth for the bytes it holds: the rule by which room is made. Pure: no clock, no device.

GreedyDual-Size-Frequency (L. Cherkasova, "Improving WWW Proxies Performance with Greedy-Dual-Size-Frequency Caching
Policy", HP Laboratories report HPL-98-69, 1998), with the seconds of a reload as the cost:

    worth = age + visits * seconds / bytes

`visits` is how often it was asked for, an old visit counting less: asks in a row are one visit, since only the first
could have needed a load, and a file of a thousand claims must not look like a thousand people. `age` is the worth of
what was put away last. It only grows, so what nobody asks for any more is overtaken, however dear it once was.

Those of least worth go first. Who was chosen for bytes that turn out not to be needed, because a larger one had to go
as well, stays: that alone saves 6% of the reloads (docs/decisions/0009-worth-per-byte.md).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Protocol

#: After so many visits to others, a visit counts half.
_HALF_LIFE = 50


class Rule(Protocol):
    """How a shelf decides what goes. The benchmark puts others in the place of Worth."""

    def asked(self, name: str, *, size: int, seconds: float) -> None:
        """A pipeline that holds `size` bytes and loads in `seconds` was asked for, and is warm now."""
        ...

    def surplus(self, held: Mapping[str, int], *, over: int) -> list[str]:
        """Which of `held` (bytes by name) to put away, in order, so that at least `over` bytes become free.

        All of them where that is not enough.
        """
        ...


@dataclasses.dataclass
class _Visits:
    count: float = 0.0
    #: Number of the visit, to any pipeline, at which `count` was true.
    at: int = 0


class Worth:
    def __init__(self) -> None:
        self._age = 0.0
        self._number = 0
        self._last: str | None = None
        #: Kept for what was put away too: it is worth as much when it comes back.
        self._visits: dict[str, _Visits] = {}
        self._worth: dict[str, float] = {}

    def asked(self, name: str, *, size: int, seconds: float) -> None:
        visits = self._visits.setdefault(name, _Visits(at=self._number))
        if name != self._last:
            self._number += 1
            visits.count = 1 + visits.count * 0.5 ** ((self._number - visits.at) / _HALF_LIFE)
            visits.at = self._number
            self._last = name
        self._worth[name] = self._age + visits.count * seconds / max(1, size)

    def surplus(self, held: Mapping[str, int], *, over: int) -> list[str]:
        chosen: list[str] = []
        free = 0
        for name in sorted(held, key=self._of):
            if free >= over:
                break
            chosen.append(name)
            free += held[name]
        for name in reversed(chosen.copy()):
            if free - held[name] >= over:
                chosen.remove(name)
                free -= held[name]
        self._age = max([self._age, *map(self._of, chosen)])
        return chosen

    def _of(self, name: str) -> float:
        return self._worth.get(name, 0.0)
