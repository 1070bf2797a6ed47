"""Rows behind one another without padding, beside rows padded to the longest: one pass each, on a CPU.

    python -m benchmarks.engine packed [--texts 1200] [--rounds 5]

What worker/backends/packing.py gains. `sorted`: microbatches of a file, planned as ovens do. `waiting`: 64 callers'
texts at a time, as they come. Both ways compute the same numbers, through the same oneDNN layers.
"""

from __future__ import annotations

import argparse
import functools
import random
import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import transformers

from benchmarks.engine.checkpoints import MOST_TOKENS, minilm
from benchmarks.engine.corpus import texts
from benchmarks.harness import save, spread
from worker.backends.device import configure
from worker.backends.onednn import multiply_faster
from worker.backends.packing import pack
from worker.planner import Limits, Portion, plan

_BUDGETS = (256, 512, 1024)
_OVERHEAD = 64
_CALLERS = 64
_PAD = 0

Tray = list[list[int]]


def run(model: Any, tray: Tray) -> list[torch.Tensor]:
    """The hidden states of each row, (tokens, hidden)."""
    hidden = model(**batch_of(tray))[0]
    return [states[: len(row)] for states, row in zip(hidden, tray, strict=True)]


def batch_of(tray: Tray) -> dict[str, torch.Tensor]:
    longest = max(map(len, tray))
    return {
        "input_ids": torch.tensor([row + [_PAD] * (longest - len(row)) for row in tray]),
        "attention_mask": torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in tray]),
    }


def planned(rows: Sequence[list[int]], budget: int) -> list[Tray]:
    portions = [Portion(place, len(row), 1, 0) for place, row in enumerate(rows)]
    return [[rows[place] for place in tray] for tray in plan(portions, Limits(budget, _OVERHEAD))]


def waiting(rows: Sequence[list[int]], budget: int) -> list[Tray]:
    """What lies in the trays when 64 rows are waiting at a time."""
    groups = [rows[start : start + _CALLERS] for start in range(0, len(rows), _CALLERS)]
    return [tray for group in groups for tray in planned(group, budget)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=1_200)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    # As on a deck: one thread a pass.
    configure(1, "cpu")
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm())
    rows = tokenizer(texts(given.texts), truncation=True, max_length=MOST_TOKENS)["input_ids"]
    random.Random(5).shuffle(rows)
    plain, packed = (transformers.AutoModel.from_pretrained(minilm()).eval() for _ in range(2))
    example = [rows[0], rows[0][:3]]
    for model in (plain, packed):
        multiply_faster(model, functools.partial(run, model, example))
    if not pack(packed, [batch_of(example)]):
        raise RuntimeError("packing was refused")
    with torch.inference_mode():
        found = dict(_measured(plain, packed, rows, given.rounds))
    save("engine-packed", {"texts": given.texts, "orders": found})


def _measured(plain: Any, packed: Any, rows: list[list[int]], rounds: int) -> Iterator[tuple[str, Any]]:
    for name, trays_of in (("sorted", planned), ("waiting", waiting)):
        yield name, {str(budget): _beside(plain, packed, trays_of(rows, budget), rounds) for budget in _BUDGETS}


def _beside(plain: Any, packed: Any, trays: list[Tray], rounds: int) -> dict[str, Any]:
    ratios = []
    for _ in range(rounds):
        with_padding = _seconds(plain, trays)
        ratios.append(with_padding / _seconds(packed, trays))
    real = sum(len(row) for tray in trays for row in tray)
    largest = max(
        float((one - two).abs().max())
        for tray in trays[:8]
        for one, two in zip(run(packed, tray), run(plain, tray), strict=True)
    )
    return {
        "padding": round(1 - real / sum(max(map(len, tray)) * len(tray) for tray in trays), 4),
        "packed_times_as_fast": spread(ratios),
        "largest_difference": round(largest, 7),
    }


def _seconds(model: Any, trays: list[Tray]) -> float:
    start = time.perf_counter()
    for tray in trays:
        run(model, tray)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
