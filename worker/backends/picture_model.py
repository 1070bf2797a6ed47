"""Pictures through a model: decoded and resized one by one, and those of one shape in one forward pass.

Pictures of different shapes are never padded to each other: what a model says of one would depend on its neighbors.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from contract.errors import InputError
from worker.backends import refusals
from worker.backends.backend import Prepared
from worker.backends.media import MediaFile
from worker.backends.weights import Loaded

#: What a processor raises for a picture that it cannot bring into shape.
PROCESSOR_ERRORS = (ValueError, TypeError, LookupError, ArithmeticError)
#: Side of the squares in which a picture's cost is counted, as most models see it.
_PATCH = 16

Tensors = dict[str, torch.Tensor]


@dataclasses.dataclass(frozen=True)
class Pixels:
    """One picture as its model takes it."""

    tensors: Tensors
    #: Height and width of the picture as it was sent.
    size: tuple[int, int]

    @property
    def shape(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        return tuple((name, tuple(tensor.shape)) for name, tensor in sorted(self.tensors.items()))

    @property
    def patches(self) -> int:
        """Of one picture, or of each frame of a video."""
        pixels = self.tensors["pixel_values_videos" if "pixel_values_videos" in self.tensors else "pixel_values"]
        height, width = pixels.shape[-2:]
        return max(1, int(height * width) // _PATCH**2)


class PictureModel:
    def __init__(self, loaded: Loaded) -> None:
        self.model = loaded.model
        self.processor = loaded.processor
        self._takes = set(inspect.signature(loaded.model.forward).parameters)

    def prepare(
        self, picture: MediaFile, process: Callable[[Any], Any], *, most_patches: int
    ) -> Prepared | InputError:
        """Decode and `process` a picture; what it costs is the number of its patches."""
        try:
            image = picture.decoded()
            tensors = {name: value for name, value in process(image).items() if name in self._takes}
        except InputError as refused:
            return refused
        except PROCESSOR_ERRORS:
            return refusals.rejected("The model cannot take a picture of this size and shape. Send a larger one.")
        pixels = Pixels(tensors, (image.height, image.width))
        if pixels.patches > most_patches:
            most = most_patches * _PATCH**2
            return refusals.rejected(f"This model takes pictures of at most {most:,} pixels. Send a smaller one.")
        return Prepared(pixels, pixels.patches)

    def run(self, rows: Sequence[Pixels], more: Callable[[int], dict[str, Any]]) -> Iterator[tuple[list[int], Any]]:
        """Positions in `rows`, and the model's output for them: one pass for each shape.

        `more`: what the model takes besides so many pictures.
        """
        for positions in _alike(rows):
            pictures = self.batch([rows[place].tensors for place in positions])
            yield positions, self.model(**pictures, **more(len(positions)))

    def generate(self, rows: Sequence[Pixels], **options: Any) -> Iterator[tuple[list[int], Any]]:
        """Positions in `rows`, and the tokens the model writes for them."""
        for positions in _alike(rows):
            pictures = self.batch([rows[place].tensors for place in positions])
            yield positions, self.model.generate(**pictures, **options)

    def batch(self, rows: Sequence[Tensors]) -> Tensors:
        return {name: self._placed(torch.cat([row[name] for row in rows])) for name in rows[0]}

    def _placed(self, tensor: torch.Tensor) -> torch.Tensor:
        dtype = self.model.dtype if tensor.is_floating_point() else tensor.dtype
        return tensor.to(self.model.device, dtype)


def _alike(rows: Sequence[Pixels]) -> list[list[int]]:
    groups: dict[Any, list[int]] = {}
    for place, row in enumerate(rows):
        groups.setdefault(row.shape, []).append(place)
    return list(groups.values())
