"""The planner: claimed rows in, microbatches out. Pure: no clock, no device, no database.

Rows of one forward pass are padded to the longest of them, so rows of like length go together: sorted by length,
then cut where that costs least. A pass computes its real tokens, and its padding up to the longest row as far as the
model does not leave that out: no more than the budget. It costs that and an overhead, the tokens that could be
computed in the time any pass takes. The cheapest cut of sorted rows is found exactly, by dynamic programming: the
best plan for the first n rows is the best plan for fewer of them and one more microbatch. A hundred rows take about a
millisecond.

Rows whose caller waits are planned first and never share a microbatch with rows of a file.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Protocol


@dataclasses.dataclass(frozen=True)
class Portion:
    """One row as the planner sees it."""

    #: Which row; the plan names rows by it.
    index: int
    #: Length of its longest sequence and how many sequences it brings, as the backend measured them.
    length: int
    sequences: int
    #: Smaller goes first (contract.statuses.PRIORITY_RANK).
    priority: int


class Sized(Protocol):
    """A row with a length and sequences: a Portion, or what a backend prepared."""

    @property
    def length(self) -> int: ...

    @property
    def sequences(self) -> int: ...


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a microbatch may be."""

    #: Most tokens of a pass, padding among them; a row that is larger alone stands alone.
    budget: int
    #: What any forward pass costs besides its tokens, in tokens.
    overhead: int = 0
    #: Most rows (suspects); None: as many as the budget takes.
    max_rows: int | None = None
    #: Forward passes at a time: there should be a microbatch for each, where its overhead is worth it.
    decks: int = 1
    #: What a token of padding costs beside a real one: little where passes leave it out.
    padding: float = 1.0

    def for_all_decks(self, portions: Sequence[Portion]) -> Limits:
        """Budget of these rows such that every deck has a fair part of them."""
        tokens = sum(p.length * p.sequences for p in portions)
        longest = max(p.length * p.sequences for p in portions)
        # Less than a row above its part: a whole one more would leave a deck empty where rows are as many as decks.
        part = -(-tokens // self.decks) + longest - 1
        fair = max(2 * self.overhead, part)
        return dataclasses.replace(self, budget=min(self.budget, fair)) if self.decks > 1 else self


def plan(portions: Sequence[Portion], limits: Limits) -> list[list[int]]:
    """Microbatches of row indexes: every row in exactly one, people's rows first, short ones before long ones."""
    microbatches: list[list[int]] = []
    for priority in sorted({portion.priority for portion in portions}):
        alike = [portion for portion in portions if portion.priority == priority]
        limits_here = limits.for_all_decks(alike)
        microbatches += _cut(sorted(alike, key=lambda p: (p.length, p.index)), limits_here)
    return microbatches


def padded(portions: Sequence[Sized], padding: float = 1.0) -> int:
    """Tokens that one forward pass over these rows computes; `padding` as Limits has it."""
    whole = max(1, *(p.length for p in portions)) * sum(p.sequences for p in portions)
    real = sum(p.length * p.sequences for p in portions)
    return max(1, math.ceil(real + padding * (whole - real)))


def _cut(portions: list[Portion], limits: Limits) -> list[list[int]]:
    """The cheapest cut of rows that are sorted by length."""
    # A pass over sorted rows costs w * longest * sequences + (1 - w) * real tokens, w being the price of padding.
    width = list(itertools.accumulate((limits.padding * p.sequences for p in portions), initial=0.0))
    own = list(itertools.accumulate(((1 - limits.padding) * p.length * p.sequences for p in portions), initial=0.0))
    cheapest = [0.0] * (len(portions) + 1)
    starts = [0] * (len(portions) + 1)
    for end in range(1, len(portions) + 1):
        longest = max(1, portions[end - 1].length)
        first = 0 if limits.max_rows is None else max(0, end - limits.max_rows)
        back = range(end - 1, first - 1, -1)
        costs = ((start, longest * (width[end] - width[start]) + own[end] - own[start]) for start in back)
        cheapest[end], starts[end] = _last_tray(cheapest, costs, end, limits)
    return _walk(portions, starts)


def _last_tray(
    cheapest: list[float], costs: Iterable[tuple[int, float]], end: int, limits: Limits
) -> tuple[float, int]:
    """What everything up to here costs, and where its last microbatch begins: of these, longer and longer ones."""
    best, found = float("inf"), end - 1
    for start, cost in costs:
        if cost > limits.budget and start < end - 1:
            break
        if (total := cheapest[start] + cost + limits.overhead) < best:
            best, found = total, start
    return best, found


def _walk(portions: list[Portion], starts: list[int]) -> list[list[int]]:
    trays: list[list[int]] = []
    end = len(portions)
    while end:
        trays.append([portion.index for portion in portions[starts[end] : end]])
        end = starts[end]
    return trays[::-1]


def halves(rows: Sequence[int]) -> tuple[list[int], list[int]]:
    """The two halves of a microbatch that failed as a whole."""
    middle = len(rows) // 2
    return list(rows[:middle]), list(rows[middle:])
