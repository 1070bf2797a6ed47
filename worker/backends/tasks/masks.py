"""The parts of an image: a label, a score and a mask of the image's size for each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from contract.errors import InputError
from worker.backends import refusals
from worker.backends.backend import Binary, Inputs, Parameters, Prepared, WithFiles
from worker.backends.tasks.images import ImageTask, as_png
from worker.backends.tasks.task import Answer, refuse_all

_KINDS = ("panoptic", "instance", "semantic")
#: Numbers that scores of all classes may take at the size of the image. A photograph of 12 megapixels and 150
#: classes would take 7 GB; beyond this a smaller map of labels is made and enlarged.
_MOST_SCORES = 100_000_000


class ImageSegmentation(ImageTask):
    auto_class = "AutoModelForUniversalSegmentation"
    or_classes = (
        "AutoModelForInstanceSegmentation",
        "AutoModelForSemanticSegmentation",
        "AutoModelForImageSegmentation",
    )

    def prepare(self, rows: Sequence[Inputs], parameters: Parameters) -> list[Prepared | InputError]:
        kind = parameters.get("subtask")
        if kind is not None and kind not in self._kinds():
            can = ", ".join(self._kinds()) or "none"
            return refuse_all(rows, refusals.rejected(f"This model cannot do {kind}. It can do: {can}.", "subtask"))
        return super().prepare(rows, parameters)

    def _kinds(self) -> list[str]:
        return [kind for kind in _KINDS if hasattr(self.pictures.processor, f"post_process_{kind}_segmentation")]

    def answers(self, output: Any, rows: Sequence[Any], parameters: Parameters) -> list[Answer]:
        scores = output.logits if hasattr(output, "logits") else output.class_queries_logits
        kind = parameters.get("subtask") or self._kinds()[0]
        sizes = [self._affordable(row.size, output) for row in rows]
        process = getattr(self.pictures.processor, f"post_process_{kind}_segmentation")
        options = {} if kind == "semantic" else {name: parameters[name] for name in _THRESHOLDS}
        found = process(output, target_sizes=sizes, **options)
        parts = self._labels if kind == "semantic" else self._segments
        return [
            WithFiles(parts(one, row.size)) if logits.isfinite().all() else refusals.not_finite("image")
            for one, row, logits in zip(found, rows, scores, strict=True)
        ]

    def _affordable(self, size: tuple[int, int], output: Any) -> tuple[int, int]:
        masks = [getattr(output, name, None) for name in ("masks_queries_logits", "pred_masks", "logits")]
        channels = max(found.shape[1] for found in masks if found is not None)
        shrink = min(1.0, math.sqrt(_MOST_SCORES / (size[0] * size[1] * channels)))
        return max(1, int(size[0] * shrink)), max(1, int(size[1] * shrink))

    def _labels(self, found: torch.Tensor, size: tuple[int, int]) -> list[dict[str, Any]]:
        found = found.cpu()
        return [
            {"score": None, "label": self.config.id2label[label], "mask": _mask(found, label, size)}
            for label in torch.unique(found).tolist()
        ]

    def _segments(self, found: dict[str, Any], size: tuple[int, int]) -> list[dict[str, Any]]:
        parts = found["segmentation"].cpu()
        return [
            {
                "score": float(segment["score"]),
                "label": self.config.id2label[segment["label_id"]],
                "mask": _mask(parts, segment["id"], size),
            }
            for segment in found["segments_info"]
        ]


_THRESHOLDS = ("threshold", "mask_threshold", "overlap_mask_area_threshold")


def _mask(parts: torch.Tensor, part: int, size: tuple[int, int]) -> Binary:
    """Made when it is written: a hundred masks of a large image must not be held at once."""

    def pixels() -> Any:
        return ((parts == part).to(torch.uint8) * 255).numpy()

    return as_png(pixels, "mask.png", size=None if tuple(parts.shape) == size else size)
