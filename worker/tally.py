"""What one child counts while it bakes, by pipeline: written into its row for metrics and pages."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass
class Count:
    #: Rows that were computed, and equal ones that were answered with them.
    rows: int = 0
    spared: int = 0
    #: Rows that were given an answer of an earlier job or batch.
    cached: int = 0
    microbatches: int = 0
    #: Tokens of the rows, and what was computed for them with padding.
    real_tokens: int = 0
    padded_tokens: int = 0
    #: Seconds in forward passes.
    seconds: float = 0.0
    out_of_memory: int = 0
    #: Padded tokens of a microbatch at most, now.
    budget: int = 0


class Tally:
    def __init__(self) -> None:
        self._counts: dict[str, Count] = {}

    def of(self, pipeline: str) -> Count:
        return self._counts.setdefault(pipeline, Count())

    def rows(self) -> dict[str, int]:
        return {name: count.rows for name, count in self._counts.items()}

    def as_dict(self) -> dict[str, dict[str, Any]]:
        # Rounded here and not where they are summed: a thousand passes of 20 µs are 20 ms.
        return {
            name: {**dataclasses.asdict(count), "seconds": round(count.seconds, 4)}
            for name, count in self._counts.items()
        }
