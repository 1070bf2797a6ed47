"""Labels and vectors of a whole image."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch

from contract.errors import InputError
from worker.backends import refusals
from worker.backends.backend import Context, Inputs, Parameters, Prepared
from worker.backends.picture_model import PictureModel
from worker.backends.tasks.task import Answer, TaskModel
from worker.backends.weights import Loaded


class ImageTask(TaskModel):
    """One image a row, and pictures of one shape in one pass."""

    processor_class = "AutoImageProcessor"

    def __init__(self, loaded: Loaded) -> None:
        self.pictures = PictureModel(loaded)
        self.config = loaded.model.config

    def prepare(self, rows: Sequence[Inputs], parameters: Parameters) -> list[Prepared | InputError]:
        return [self.pictures.prepare(row["image"], self.process) for row in rows]

    def process(self, image: Any) -> Any:
        """A PIL image as tensors of one row."""
        return self.pictures.processor(images=image, return_tensors="pt")

    def bake(self, rows: Sequence[Prepared], parameters: Parameters, context: Context) -> list[Answer]:
        answers: list[Any] = [None] * len(rows)
        payloads = [row.payload for row in rows]
        for places, output in self.pictures.run(payloads):
            found = self.answers(output, [payloads[place] for place in places], parameters)
            for place, answer in zip(places, found, strict=True):
                answers[place] = answer
        return answers

    @abstractmethod
    def answers(self, output: Any, rows: Sequence[Any], parameters: Parameters) -> list[Answer]:
        """An answer a row from one pass over pictures of one shape."""


class ImageClassification(ImageTask):
    auto_class = "AutoModelForImageClassification"

    def answers(self, output: Any, rows: Sequence[Any], parameters: Parameters) -> list[Answer]:
        function = parameters.get("function_to_apply") or _default_function(self.config)
        scores = _FUNCTIONS[function](output.logits.float().cpu())
        return [best_first(self.config.id2label, row, parameters["top_k"]) for row in scores]


_FUNCTIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "softmax": lambda logits: logits.softmax(dim=-1),
    "sigmoid": lambda logits: logits.sigmoid(),
    "none": lambda logits: logits,
}


def _default_function(config: Any) -> str:
    """What the library's pipeline chooses."""
    if config.problem_type == "multi_label_classification" or config.num_labels == 1:
        return "sigmoid"
    return "softmax"


def best_first(
    labels: dict[int, str] | Sequence[str], scores: torch.Tensor, top_k: int | None, *, called: str = "label"
) -> Answer:
    """The best `top_k` of a row of scores, each with its label under the name `called`."""
    if not scores.isfinite().all():
        return refusals.not_finite("image")
    order = scores.argsort(descending=True, stable=True)[:top_k].tolist()
    values = scores.tolist()
    return [{called: labels[index], "score": values[index]} for index in order]
