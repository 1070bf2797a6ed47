"""Points of two images as lines between them."""

from __future__ import annotations

import dataclasses
from typing import Any

#: Lines that are drawn; more only hide the images.
MOST_LINES = 200
#: Pairs that are written out below.
MOST_LISTED = 50


@dataclasses.dataclass(frozen=True)
class Line:
    """From a point of the first image to one of the second, each in the pixels of its image."""

    x0: int
    y0: int
    x1: int
    y1: int
    score: float
    tint: int


def matches(_inputs: Any, result: list[dict[str, Any]]) -> dict[str, Any]:
    lines = [_line(match, place % 6) for place, match in enumerate(result[:MOST_LINES])]
    return {"lines": lines, "listed": lines[:MOST_LISTED], "count": len(result)}


def _line(match: dict[str, Any], tint: int) -> Line:
    start, end = match["keypoint_image_0"], match["keypoint_image_1"]
    return Line(start["x"], start["y"], end["x"], end["y"], match["score"], tint)
