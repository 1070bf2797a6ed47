"""The planner: claimed rows in, microbatches out. Pure: no clock, no device, no database.

Rows of one forward pass are padded to the longest of them, so rows of like length go together: sorted by length,
then cut wherever the padded cost (longest row times sequences) would pass the budget. Rows whose caller waits are
planned first and never share a microbatch with rows of a file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence


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


def plan(portions: Sequence[Portion], *, budget: int, max_rows: int | None = None) -> list[list[int]]:
    """Microbatches of row indexes: every row in exactly one, people's rows first.

    `budget` is the most padded tokens in a microbatch; a row that is larger alone stands alone. `max_rows` caps
    the rows of each (suspects).
    """
    microbatches: list[list[int]] = []
    for priority in sorted({portion.priority for portion in portions}):
        alike = [portion for portion in portions if portion.priority == priority]
        microbatches += _cut(sorted(alike, key=lambda p: (p.length, p.index)), budget, max_rows)
    return microbatches


def _cut(portions: list[Portion], budget: int, max_rows: int | None) -> Iterator[list[int]]:
    tray: list[int] = []
    sequences = 0
    for portion in portions:
        # Sorted by length: the newcomer is the longest, and all are padded to it.
        cost = max(1, portion.length) * (sequences + portion.sequences)
        if tray and (cost > budget or len(tray) == max_rows):
            yield tray
            tray, sequences = [], 0
        tray.append(portion.index)
        sequences += portion.sequences
    if tray:
        yield tray


def halves(rows: Sequence[int]) -> tuple[list[int], list[int]]:
    """The two halves of a microbatch that failed as a whole."""
    middle = len(rows) // 2
    return list(rows[:middle]), list(rows[middle:])
