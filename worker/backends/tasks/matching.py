"""Points of one image and where they are in another."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch

from contract.errors import InputError
from worker.backends import refusals
from worker.backends.backend import Context, Inputs, Parameters, Prepared
from worker.backends.picture_model import PROCESSOR_ERRORS, PictureModel
from worker.backends.tasks.task import Answer, TaskModel
from worker.backends.weights import Loaded


@dataclasses.dataclass(frozen=True)
class _Pair:
    #: 1 × 2 × channels × height × width: a model takes both in one size.
    pixels: torch.Tensor
    #: Height and width of each as it was sent.
    sizes: list[tuple[int, int]]


class KeypointMatching(TaskModel):
    """One pair a pass: points are padded to the most of any picture, and what a pair gets would depend on others."""

    auto_class = "AutoModelForKeypointMatching"
    processor_class = "AutoImageProcessor"

    def __init__(self, loaded: Loaded) -> None:
        self._pictures = PictureModel(loaded)

    def prepare(self, rows: Sequence[Inputs], parameters: Parameters) -> list[Prepared | InputError]:
        return [self._prepare(row["images"]) for row in rows]

    def _prepare(self, files: Sequence[Any]) -> Prepared | InputError:
        try:
            images = [file.decoded() for file in files]
            pixels = self._pictures.processor(images=images, return_tensors="pt")["pixel_values"]
        except InputError as refused:
            return refused
        except PROCESSOR_ERRORS:
            return refusals.rejected("The model cannot take pictures of these sizes and shapes. Send larger ones.")
        height, width = pixels.shape[-2:]
        pair = _Pair(pixels, [(image.height, image.width) for image in images])
        return Prepared(pair, max(1, height * width // 256), len(images))

    def bake(self, rows: Sequence[Prepared], parameters: Parameters, context: Context) -> list[Answer]:
        return [self._matches(row.payload, parameters["threshold"]) for row in rows]

    def _matches(self, pair: _Pair, threshold: float) -> Answer:
        model = self._pictures.model
        output = model(pixel_values=pair.pixels.to(model.device, model.dtype))
        if not output.matching_scores.isfinite().all():
            return refusals.not_finite("image")
        # Height before width, as the processor wants it; the library's own pipeline gives them the other way around.
        [found] = self._pictures.processor.post_process_keypoint_matching(output, [pair.sizes], threshold=threshold)
        scores = found["matching_scores"].float().cpu()
        order = scores.argsort(descending=True, stable=True).tolist()
        first, second, values = found["keypoints0"].tolist(), found["keypoints1"].tolist(), scores.tolist()
        return [
            {"keypoint_image_0": _point(first[i]), "keypoint_image_1": _point(second[i]), "score": values[i]}
            for i in order
        ]


def _point(place: list[int]) -> dict[str, int]:
    return {"x": place[0], "y": place[1]}
