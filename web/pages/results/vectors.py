"""Vectors as small pictures: a grid of cells, warm above zero and cool below, darker the larger."""

from __future__ import annotations

import dataclasses
import math

MOST_CELLS = 1024
MOST_ROWS = 48
CELL = 10


@dataclasses.dataclass(frozen=True)
class Cell:
    x: int
    y: int
    sign: str
    strength: float


@dataclasses.dataclass(frozen=True)
class Grid:
    width: int
    height: int
    cells: list[Cell]
    #: How many numbers one cell is the mean of.
    each: int
    #: Rows that were left out.
    left_out: int = 0


def picture(numbers: list[float]) -> Grid:
    """One vector, read like a page: from left to right, then down."""
    each = max(1, math.ceil(len(numbers) / MOST_CELLS))
    means = _means(numbers, each)
    columns = _columns(len(means))
    return _grid([means[i : i + columns] for i in range(0, len(means), columns)], each)


def _columns(count: int) -> int:
    """About three times as wide as high, and with a full last line where the count allows it."""
    best = max(1, round(math.sqrt(count * 3)))
    even = [columns for columns in range(best // 2 + 1, best * 2) if count % columns == 0]
    return min(even, key=lambda columns: abs(columns - best), default=best)


def rows_picture(rows: list[list[float]]) -> Grid:
    """One row a token."""
    each = max(1, math.ceil(max((len(row) for row in rows), default=1) / 96))
    shown = [_means(row, each) for row in rows[:MOST_ROWS]]
    grid = _grid(shown, each)
    return dataclasses.replace(grid, left_out=max(0, len(rows) - MOST_ROWS))


def facts(numbers: list[float]) -> dict[str, float]:
    return {
        "norm": math.sqrt(sum(x * x for x in numbers)),
        "least": min(numbers, default=0.0),
        "largest": max(numbers, default=0.0),
    }


def _means(numbers: list[float], each: int) -> list[float]:
    pieces = [numbers[i : i + each] for i in range(0, len(numbers), each)]
    return [sum(piece) / len(piece) for piece in pieces]


def _grid(rows: list[list[float]], each: int) -> Grid:
    largest = max((abs(x) for row in rows for x in row), default=0.0) or 1.0
    cells = [
        Cell(column * CELL, line * CELL, "plus" if x >= 0 else "minus", round(abs(x) / largest, 2))
        for line, row in enumerate(rows)
        for column, x in enumerate(row)
    ]
    return Grid(max((len(row) for row in rows), default=1) * CELL, len(rows) * CELL, cells, each)
