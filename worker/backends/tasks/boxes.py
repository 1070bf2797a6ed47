"""Boxes around the things in an image: those a model was trained on, or those a caller names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from contract.errors import InputError
from worker.backends import refusals
from worker.backends.backend import Context, Inputs, Parameters, Prepared
from worker.backends.tasks.images import ImageTask
from worker.backends.tasks.task import Answer, refuse_all
from worker.backends.weights import Loaded


class ObjectDetection(ImageTask):
    auto_class = "AutoModelForObjectDetection"

    def answers(self, output: Any, rows: Sequence[Any], parameters: Parameters) -> list[Answer]:
        found = _post_process(self.pictures.processor, output, rows, parameters["threshold"])
        labels = self.config.id2label
        return [
            _boxes(one, [labels[index] for index in one["labels"].tolist()])
            if logits.isfinite().all()
            else refusals.not_finite("image")
            for one, logits in zip(found, output.logits, strict=True)
        ]


def _post_process(processor: Any, output: Any, rows: Sequence[Any], threshold: float) -> Any:
    sizes = torch.tensor([row.size for row in rows], dtype=torch.int32, device=output.logits.device)
    return processor.post_process_object_detection(output, threshold=threshold, target_sizes=sizes)


def _boxes(found: dict[str, torch.Tensor], labels: Sequence[str]) -> list[dict[str, Any]]:
    corners = found["boxes"].int().tolist()
    return [
        {"score": score, "label": label, "box": dict(zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))}
        for score, label, box in zip(found["scores"].tolist(), labels, corners, strict=True)
    ]


class ZeroShotObjectDetection(ImageTask):
    """One pass a label, as the library does: what is found for one does not depend on the others."""

    auto_class = "AutoModelForZeroShotObjectDetection"
    processor_class = "AutoProcessor"

    def __init__(self, loaded: Loaded) -> None:
        super().__init__(loaded)
        self._limit = loaded.limit

    def process(self, image: Any) -> Any:
        return self.pictures.processor.image_processor(images=image, return_tensors="pt")

    def prepare(self, rows: Sequence[Inputs], parameters: Parameters) -> list[Prepared | InputError]:
        labels = parameters["candidate_labels"]
        longest = max(self._text(label)["input_ids"].shape[1] for label in labels)
        if longest > self._limit:
            return refuse_all(rows, refusals.too_long_label(longest, self._limit))
        return [_once_a_label(row, len(labels)) for row in super().prepare(rows, parameters)]

    def bake(self, rows: Sequence[Prepared], parameters: Parameters, context: Context) -> list[Answer]:
        answers: list[Any] = [[] for _ in rows]
        payloads = [row.payload for row in rows]
        for label in parameters["candidate_labels"]:
            self._seek(label, payloads, answers, parameters["threshold"])
        return [_best(answer, parameters.get("top_k")) for answer in answers]

    def _seek(self, label: str, rows: Sequence[Any], answers: list[Any], threshold: float) -> None:
        for places, output in self.pictures.run(rows, lambda count: self._texts(label, count)):
            some = [rows[place] for place in places]
            found = _post_process(self.pictures.processor.image_processor, output, some, threshold)
            for place, one, logits in zip(places, found, output.logits, strict=True):
                _add(answers, place, one, logits, label)

    def answers(self, output: Any, rows: Sequence[Any], parameters: Parameters) -> list[Answer]:
        raise NotImplementedError

    def _text(self, label: str) -> Any:
        return self.pictures.processor.tokenizer(label, return_tensors="pt")

    def _texts(self, label: str, count: int) -> dict[str, Any]:
        """One label for each of `count` pictures."""
        device = self.pictures.model.device
        return {name: tensor.repeat(count, 1).to(device) for name, tensor in self._text(label).items()}


def _once_a_label(row: Prepared | InputError, labels: int) -> Prepared | InputError:
    return row if isinstance(row, InputError) else Prepared(row.payload, row.length, labels)


def _add(answers: list[Any], place: int, found: dict[str, torch.Tensor], logits: torch.Tensor, label: str) -> None:
    # Some models give minus infinity to the places of words that are not there.
    if logits.isnan().any():
        answers[place] = refusals.not_finite("image")
    elif not isinstance(answers[place], InputError):
        answers[place] += _boxes(found, [label] * len(found["scores"]))


def _best(answer: list[dict[str, Any]] | InputError, top_k: int | None) -> Answer:
    if isinstance(answer, InputError):
        return answer
    return sorted(answer, key=lambda entry: -entry["score"])[:top_k]
