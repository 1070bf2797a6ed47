"""Masks of things without a name, drawn over their image."""

from __future__ import annotations

import dataclasses
from typing import Any

#: Masks that are laid over the image; more only hide it, and each is a file to load.
MOST_LAYERS = 24


@dataclasses.dataclass(frozen=True)
class Thing:
    score: float
    tint: int
    #: The stored gray image: white is what belongs to it.
    file: dict[str, Any]
    width: int
    height: int
    x: int
    y: int


def things(_inputs: Any, result: list[dict[str, Any]]) -> dict[str, Any]:
    found = [_thing(entry, place % 6) for place, entry in enumerate(result)]
    return {"things": found, "over": found[:MOST_LAYERS]}


def _thing(entry: dict[str, Any], tint: int) -> Thing:
    box = entry["box"]
    width, height = max(0, box["xmax"] - box["xmin"]), max(0, box["ymax"] - box["ymin"])
    return Thing(entry["score"], tint, entry["mask"]["file"], width, height, box["xmin"], box["ymin"])
