"""Everything in an image, whatever it is: a mask for each thing that a grid of points falls on, as SAM gives them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from PIL import Image

from contract.errors import InputError
from worker.backends import refusals
from worker.backends.backend import Context, Inputs, Parameters, Prepared, WithFiles
from worker.backends.picture_model import PROCESSOR_ERRORS, PictureModel
from worker.backends.tasks.images import as_png
from worker.backends.tasks.task import Answer, TaskModel
from worker.backends.weights import Loaded

#: Pixels in which masks are computed. Models see a picture at about 1 megapixel anyway; of a larger one a smaller
#: copy is cut, and the masks are enlarged.
_MOST_PIXELS = 4_000_000
#: Numbers that the masks of one batch of points may take, at three masks a point.
_MOST_NUMBERS = 50_000_000
#: Masks above the thresholds, before equal ones fall out; a picture with more is answered with the best of these.
_MOST_CANDIDATES = 2_000
_GRID = {
    "points_per_crop": "points_per_crop",
    "crops_n_layers": "crop_n_layers",
    "crop_overlap_ratio": "overlap_ratio",
}
_FILTER = ("pred_iou_thresh", "stability_score_thresh", "mask_threshold", "stability_score_offset")


class MaskGeneration(TaskModel):
    auto_class = "AutoModelForMaskGeneration"
    processor_class = "AutoImageProcessor"
    #: One row takes a thousand points through the decoder.
    rehearses = False

    def __init__(self, loaded: Loaded) -> None:
        self._pictures = PictureModel(loaded)

    def prepare(self, rows: Sequence[Inputs], parameters: Parameters) -> list[Prepared | InputError]:
        crops = sum(4**layer for layer in range(parameters["crops_n_layers"] + 1))
        return [self._prepare(row["image"], crops) for row in rows]

    def _prepare(self, file: Any, crops: int) -> Prepared | InputError:
        try:
            image = file.decoded()
        except InputError as refused:
            return refused
        side = self._side()
        return Prepared(image, side * side // 256, crops)

    def _side(self) -> int:
        size = self._pictures.processor.size
        return int(size.get("longest_edge") or size.get("height"))

    def bake(self, rows: Sequence[Prepared], parameters: Parameters, context: Context) -> list[Answer]:
        return [self._answer(row.payload, parameters) for row in rows]

    def _answer(self, image: Image.Image, parameters: Parameters) -> Answer:
        shrink = min(1.0, math.sqrt(_MOST_PIXELS / (image.width * image.height)))
        size = (max(1, int(image.width * shrink)), max(1, int(image.height * shrink)))
        small = image if shrink == 1 else image.resize(size, Image.Resampling.BICUBIC)
        candidates = _Candidates()
        try:
            for masks, scores, boxes in self._filtered(small, parameters):
                if not scores.isfinite().all():
                    return refusals.not_finite("image")
                candidates.add(masks, scores, boxes)
        except PROCESSOR_ERRORS:
            return refusals.rejected("The model cannot take a picture of this size and shape. Send a larger one.")
        kept = candidates.apart(parameters["crops_nms_thresh"])[: parameters["max_masks"]]
        return WithFiles([_thing(*candidates.at(place), image, 1 / shrink) for place in kept])

    def _filtered(self, image: Image.Image, parameters: Parameters) -> Iterator[tuple[list[Any], Any, Any]]:
        """Masks above the thresholds with their scores and boxes, a batch of points at a time."""
        processor = self._pictures.processor
        grid = {theirs: parameters[ours] for ours, theirs in _GRID.items()}
        boxes, points, crops, labels = processor.generate_crop_boxes(image, self._side(), **grid)
        step = min(parameters["points_per_batch"], max(1, _MOST_NUMBERS // (3 * image.width * image.height)))
        for place, crop in enumerate(crops):
            # Crop by crop: the tensors of all would take a quarter of a gigabyte.
            seen = self._seen(crop)
            for start in range(0, points.shape[1], step):
                some = (slice(None), slice(start, start + step), slice(place, place + 1))
                masks, scores = self._masks(seen, points[some], labels[some])
                yield processor.filter_masks(
                    masks, scores, (image.height, image.width), boxes[place], *(parameters[name] for name in _FILTER)
                )

    def _seen(self, crop: Any) -> dict[str, Any]:
        """What the decoder takes of a crop, its embedding instead of its pixels."""
        model = self._pictures.model
        seen = dict(self._pictures.processor(images=[crop], return_tensors="pt"))
        pixels = seen.pop("pixel_values").to(model.device, model.dtype)
        found = model.get_image_embeddings(pixels)
        if isinstance(found, tuple):
            # SAM-HQ gives those of its layers too.
            return {**seen, "image_embeddings": found[0], "intermediate_embeddings": found[1]}
        return {**seen, "image_embeddings": found}

    def _masks(self, seen: dict[str, Any], points: Any, labels: Any) -> tuple[Any, Any]:
        model, more = self._pictures.model, dict(seen)
        sizes = {name: more.pop(name).tolist() for name in ("original_sizes", "reshaped_input_sizes") if name in more}
        device = model.device
        output = model(input_points=points.to(device), input_labels=labels.to(device), **more)
        masks = self._pictures.processor.post_process_masks(output.pred_masks, binarize=False, **sizes)
        return masks[0], output.iou_scores[0]


class _Candidates:
    """Masks run-length encoded, with their scores and boxes."""

    def __init__(self) -> None:
        self._masks: list[dict[str, Any]] = []
        self._scores = torch.zeros(0)
        self._boxes = torch.zeros(0, 4)

    def add(self, masks: list[dict[str, Any]], scores: torch.Tensor, boxes: torch.Tensor) -> None:
        self._masks += masks
        self._scores = torch.cat([self._scores, scores.float().cpu()])
        self._boxes = torch.cat([self._boxes, boxes.float().cpu()])
        if len(self._masks) > _MOST_CANDIDATES:
            best = self._scores.argsort(descending=True, stable=True)[: _MOST_CANDIDATES // 2]
            self._masks = [self._masks[place] for place in best.tolist()]
            self._scores, self._boxes = self._scores[best], self._boxes[best]

    def apart(self, most_overlap: float) -> list[int]:
        """Places best first, without those whose box overlaps a better one's by more: torchvision's nms."""
        kept: list[int] = []
        left = self._scores.argsort(descending=True, stable=True)
        while len(left):
            best, left = int(left[0]), left[1:]
            kept.append(best)
            left = left[_overlap(self._boxes[best], self._boxes[left]) <= most_overlap]
        return kept

    def at(self, place: int) -> tuple[dict[str, Any], float, list[float]]:
        return self._masks[place], float(self._scores[place]), self._boxes[place].tolist()


def _overlap(box: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Intersection over union; 0 for boxes without an area."""
    width = (torch.minimum(box[2], others[:, 2]) - torch.maximum(box[0], others[:, 0])).clamp(min=0)
    height = (torch.minimum(box[3], others[:, 3]) - torch.maximum(box[1], others[:, 1])).clamp(min=0)
    shared = width * height
    area = (box[2] - box[0]) * (box[3] - box[1])
    areas = (others[:, 2] - others[:, 0]) * (others[:, 3] - others[:, 1])
    return torch.nan_to_num(shared / (area + areas - shared))


def _thing(mask: dict[str, Any], score: float, box: list[float], image: Image.Image, grow: float) -> dict[str, Any]:
    def pixels() -> Any:
        height, width = mask["size"]
        counts = torch.tensor(mask["counts"])
        values = torch.arange(len(counts)).remainder(2).mul(255).to(torch.uint8)
        # Runs go down the columns.
        return values.repeat_interleave(counts).reshape(width, height).T.contiguous().numpy()

    size = None if grow == 1 else (image.height, image.width)
    corners = dict(zip(("xmin", "ymin", "xmax", "ymax"), (round(edge * grow) for edge in box), strict=True))
    return {"score": score, "mask": as_png(pixels, "mask.png", size=size), "box": corners}
