"""A pipeline on a tiny checkpoint with the calls that a worker makes, beside the library's own on the same."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from contract.errors import InputError
from contract.pipelines import PipelineSpec
from contract.schemas import checker
from tests import tiny
from worker.backends.backend import Context, Prepared, WithFiles, nothing_recent

TEXTS = [
    "the bread is good",
    "late",
    "marie baked a loaf in lyon for ten years, and it was better than ever.",
    "Über café 東京 🙂 \x00 ok",
    "the oven was warm and the bread was better than ever was this morning at nine in paris",
]
MASKED = ["the [MASK] is good", "a baker puts the bread into the [MASK] early this morning at nine", "[MASK] in lyon"]
MAKERS: dict[str, Callable[..., Path]] = {**tiny.MAKERS, "text-generation": tiny.writer}


class Oven:
    """One loaded pipeline with the calls a worker makes, and the library's pipeline on the same checkpoint."""

    def __init__(self, task: str, folder: Path, cache: Path, **options: Any) -> None:
        from worker.backends.device import configure
        from worker.backends.registry import backend_for

        configure(1, "cpu")
        self.spec = PipelineSpec(name="tiny", task=task, model=str(folder), **options)
        self.loaded = backend_for(self.spec).load(self.spec, device="cpu", cache=cache, recent=nothing_recent)
        self.folder = folder

    def prepare(self, rows: list[dict[str, Any]], **parameters: Any) -> list[Prepared | InputError]:
        return self.loaded.prepare(rows, self.spec.effective(parameters))

    def run(self, rows: list[dict[str, Any]], context: Context | None = None, **parameters: Any) -> list[Any]:
        """What each row comes to: its result, or the InputError that it was refused with."""
        prepared = self.prepare(rows, **parameters)
        good = [row for row in prepared if isinstance(row, Prepared)]
        answers = iter(self.loaded.bake(good, self.spec.effective(parameters), context or Context()))
        results = [next(answers) if isinstance(row, Prepared) else row for row in prepared]
        check = checker(self.spec.catalogue.result)
        for result in results:
            assert isinstance(result, InputError | WithFiles) or not check.problems(result, at="result")
        return results

    def one(self, text: str, **parameters: Any) -> Any:
        return self.run([{"text": text}], **parameters)[0]

    def together_and_alone(self, rows: list[dict[str, Any]], **parameters: Any) -> list[Any]:
        """The results of one bake, after making sure that each row comes to the same by itself."""
        together = self.run(rows, **parameters)
        for row, result in zip(rows, together, strict=True):
            assert_same(self.run([row], **parameters)[0], result)
        return together

    @functools.cached_property
    def library(self) -> Any:
        import transformers

        task = "feature-extraction" if self.spec.task == "sentence-similarity" else self.spec.task
        return transformers.pipeline(task, model=str(self.folder))


def assert_same(left: Any, right: Any) -> None:
    """Equal, but for the last digits of floats."""
    if isinstance(left, float):
        assert type(right) is float
        assert right == pytest.approx(left, abs=1e-5)
    elif isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            assert_same(left[key], right[key])
    elif isinstance(left, list | tuple):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_same(one, other)
    else:
        assert left == right


def plain(value: Any) -> Any:
    """Without numpy: the library's token-classification gives its scores as numpy floats."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value.item() if hasattr(value, "item") else value


def ovens_in(root: Path) -> Callable[..., Oven]:
    """A pipeline of a task on its tiny checkpoint; the same one for the same options."""
    kept: dict[str, Oven] = {}
    folders = (root / str(number) for number in itertools.count())

    def get(task: str, make: Callable[[Path], Path] | None = None, **options: Any) -> Oven:
        maker = make or MAKERS[task]
        name = f"{task}-{maker.__name__}-{options}"
        if name not in kept:
            kept[name] = Oven(task, maker(next(folders)), root / "cache", **options)
        return kept[name]

    return get


class Listener:
    """Collects what is published, and stops wanting a job after so many questions."""

    def __init__(self, *job_ids: str, patience: int = 1_000) -> None:
        self.texts = dict.fromkeys(job_ids, "")
        self.pieces: list[str] = []
        self._patience = patience
        self.context = Context(job_ids, self.wanted, self.publish)

    def wanted(self, job_ids: Sequence[str]) -> Sequence[str]:
        self._patience -= 1
        return job_ids if self._patience >= 0 else []

    def publish(self, job_id: str, text: str) -> None:
        self.texts[job_id] += text
        self.pieces.append(text)
