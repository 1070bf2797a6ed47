"""Results of `benchmarks/results`, and how a report writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.harness import RESULTS, ROOT

DOCS = ROOT / "docs"
Record = dict[str, Any]


def records(section: str) -> dict[str, Record]:
    """Results by what follows the section in the file's name."""
    found = {}
    for path in sorted(RESULTS.glob(f"engine-{section}*.json")):
        found[path.stem.removeprefix(f"engine-{section}").lstrip("-")] = json.loads(path.read_text())
    return found


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(map(str, row))} |"
    yield ""


def ratio(figures: dict[str, float]) -> str:
    """A median with the least and the greatest."""
    return f"{figures['p50']:.2f} ({figures['min']:.2f}–{figures['max']:.2f})"


def speed(figures: dict[str, float]) -> str:
    """The same of numbers that are larger."""
    return f"{figures['p50']:.1f} ({figures['min']:.1f}–{figures['max']:.1f})"
