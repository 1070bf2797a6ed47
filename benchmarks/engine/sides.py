"""A process that takes a task's rows, Fournil's way or the library's: JSON lines in, seconds out. See tasks.py."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.engine.checkpoints import MOST_TOKENS
from benchmarks.engine.workloads import WORKLOADS, rows_of
from contract.pipelines import PipelineSpec
from worker.backends.backend import Context, LoadedPipeline, Parameters, Prepared, nothing_recent
from worker.budgets import Budgets
from worker.planner import Limits, Portion, plan


class Library:
    def __init__(self, task: str, checkpoint: str) -> None:
        import transformers

        transformers.utils.logging.set_verbosity_error()
        self._options = WORKLOADS[task].options
        self._pipeline = transformers.pipeline(task, model=checkpoint)
        if task == "text-generation":
            # It does not batch without these.
            tokenizer = self._pipeline.tokenizer
            tokenizer.padding_side, tokenizer.pad_token = "left", tokenizer.pad_token or tokenizer.eos_token
        self._pipeline(rows_of(task, 2, "skewed"), batch_size=1, **self._options)

    def run(self, texts: list[str], *, batch_size: int) -> list[Any]:
        return list(self._pipeline(texts, batch_size=batch_size, **self._options))


class Fournil:
    """Loaded pipelines by backend, and what an oven does with rows it has claimed."""

    def __init__(self, task: str, checkpoint: str, folder: Path) -> None:
        from worker.backends.registry import configure_process

        configure_process(0, "cpu")
        self._task = task
        self._checkpoint = checkpoint
        self._folder = folder
        self._decks = min(2, len(os.sched_getaffinity(0)))
        self._budgets = Budgets(folder / "budgets", place="bench", fixed=0, decks=self._decks)
        self._threads = ThreadPoolExecutor(self._decks)
        self.loaded = cache(self._load)

    def _load(self, backend: str) -> tuple[LoadedPipeline, Parameters]:
        from worker.backends.registry import backend_for

        most = None if self._task == "text-generation" else MOST_TOKENS
        spec = PipelineSpec(backend, self._task, model=self._checkpoint, backend=backend, max_tokens=most)
        model = backend_for(spec).load(spec, device="cpu", cache=self._folder, recent=nothing_recent)
        self._budgets.open(spec.name, self._task, model)
        return model, spec.effective(WORKLOADS[self._task].parameters)

    def run(self, texts: list[str], *, backend: str) -> list[Any]:
        model, parameters = self.loaded(backend)
        prepared = [_ready(row) for row in model.prepare([{"text": text} for text in texts], parameters)]
        decks = self._decks if model.side_by_side else 1
        budget = self._budgets.of(backend)
        apart = model.overhead(parameters)
        overhead = budget.overhead if apart is None else apart
        limits = Limits(budget.tokens, overhead, decks=decks, padding=model.padding)
        portions = [Portion(place, row.length, row.sequences, 0) for place, row in enumerate(prepared)]
        trays = plan(portions, limits)

        def bake(tray: list[int]) -> list[Any]:
            context = Context(job_ids=[str(place) for place in tray], share=min(decks, len(trays)))
            return model.bake([prepared[place] for place in tray], parameters, context)

        baked = self._threads.map(bake, trays) if decks > 1 else map(bake, trays)
        answers: list[Any] = [None] * len(texts)
        for tray, found in zip(trays, baked, strict=True):
            for place, answer in zip(tray, found, strict=True):
                answers[place] = answer
        return answers


def _ready(row: Any) -> Prepared:
    if not isinstance(row, Prepared):
        raise RuntimeError(f"a row was refused: {row}")
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=("library", "fournil"))
    parser.add_argument("task", choices=WORKLOADS)
    parser.add_argument("checkpoint")
    parser.add_argument("rows", type=int)
    given = parser.parse_args()
    # Whatever a library or a log prints must not stand between the answers.
    answers_to, sys.stdout = sys.stdout, sys.stderr
    with tempfile.TemporaryDirectory(prefix="fournil-side-") as folder:
        run = _runner(given.side, given.task, given.checkpoint, Path(folder))
        for line in sys.stdin:
            how = json.loads(line)
            texts = rows_of(given.task, given.rows, how.pop("order"))
            start = time.perf_counter()
            answers = run(texts, **how)
            seconds = time.perf_counter() - start
            if len(answers) != len(texts):
                raise RuntimeError(f"{len(texts)} rows went in and {len(answers)} came out")
            print(json.dumps(seconds), file=answers_to, flush=True)


def _runner(side: str, task: str, checkpoint: str, folder: Path) -> Callable[..., list[Any]]:
    if side == "library":
        return Library(task, checkpoint).run
    fournil = Fournil(task, checkpoint, folder)
    for backend in ("auto", "torch"):
        fournil.run(rows_of(task, 2, "skewed"), backend=backend)
    return fournil.run


if __name__ == "__main__":
    main()
