"""From logits to labels with scores, best first, as the library's pipelines of every kind of input have it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from worker.backends import refusals
from worker.backends.tasks.task import Answer

FUNCTIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "softmax": lambda logits: logits.softmax(dim=-1),
    "sigmoid": lambda logits: logits.sigmoid(),
    "none": lambda logits: logits,
}


def default_function(config: Any, *, alone: str) -> str:
    """What the library's pipeline chooses; `alone`: for a model of one label."""
    if config.problem_type == "regression":
        return "none"
    if config.problem_type == "multi_label_classification":
        return "sigmoid"
    return alone if config.num_labels == 1 else "softmax"


def best_first(
    labels: dict[int, str] | Sequence[str],
    scores: torch.Tensor,
    top_k: int | None,
    *,
    of: str,
    called: str = "label",
) -> Answer:
    """The best `top_k` of a row of scores, each with its label under the name `called`; `of`: what was looked at."""
    if not scores.isfinite().all():
        return refusals.not_finite(of)
    order = scores.argsort(descending=True, stable=True)[:top_k].tolist()
    values = scores.tolist()
    return [{called: labels[index], "score": values[index]} for index in order]
