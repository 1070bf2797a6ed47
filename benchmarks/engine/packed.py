"""Rows behind one another without padding, beside rows padded to the longest: one pass each, on a CPU.

    python -m benchmarks.engine packed [--texts 1200] [--rounds 5]

Packed, a microbatch is one sequence: layers see its real tokens alone, and attention is computed row by row where each
begins and ends. `sorted`: the microbatches of a file, planned as ovens do. `waiting`: 64 callers' texts at a time,
as they come. Both ways compute the same numbers, through the same oneDNN layers.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import transformers
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from benchmarks.engine.checkpoints import MOST_TOKENS, minilm
from benchmarks.engine.corpus import texts
from benchmarks.harness import save, spread
from worker.backends.device import configure
from worker.backends.onednn import multiply_faster
from worker.planner import Limits, Portion, plan

_BUDGETS = (256, 512, 1024)
_OVERHEAD = 64
_CALLERS = 64
_PAD = 0

Tray = list[list[int]]


class Packed:
    """A BERT whose rows lie behind one another in one sequence."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._ends: list[int] = []
        ALL_ATTENTION_FUNCTIONS.register("packed", self._attend)
        ALL_MASK_ATTENTION_FUNCTIONS.register("packed", lambda *_given, **_named: None)

    def __call__(self, tray: Tray) -> list[torch.Tensor]:
        """The hidden states of each row, (tokens, hidden)."""
        self._ends = list(torch.tensor([len(row) for row in tray]).cumsum(0).tolist())
        ids = torch.tensor([[token for row in tray for token in row]])
        places = torch.tensor([[place for row in tray for place in range(len(row))]])
        self._model.set_attn_implementation("packed")
        [hidden] = self._model(input_ids=ids, position_ids=places)[0]
        self._model.set_attn_implementation("sdpa")
        return list(hidden.tensor_split(self._ends[:-1]))

    def _attend(self, _module: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *_: Any, **__: Any) -> Any:
        parts = [
            torch.nn.functional.scaled_dot_product_attention(*row)
            for row in zip(*(each.tensor_split(self._ends[:-1], dim=2) for each in (q, k, v)), strict=True)
        ]
        return torch.cat(parts, dim=2).transpose(1, 2), None


def padded(model: Any, tray: Tray) -> list[torch.Tensor]:
    longest = max(map(len, tray))
    ids = torch.tensor([row + [_PAD] * (longest - len(row)) for row in tray])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in tray])
    hidden = model(input_ids=ids, attention_mask=mask)[0]
    return [states[: len(row)] for states, row in zip(hidden, tray, strict=True)]


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
    model = transformers.AutoModel.from_pretrained(minilm()).eval()
    example = {"input_ids": torch.tensor([rows[0]]), "attention_mask": torch.ones(1, len(rows[0]), dtype=torch.long)}
    multiply_faster(model, [example])
    with torch.inference_mode():
        found = dict(_measured(model, rows, given.rounds))
    save("engine-packed", {"texts": given.texts, "orders": found})


def _measured(model: Any, rows: list[list[int]], rounds: int) -> Iterator[tuple[str, Any]]:
    packed = Packed(model)
    for name, trays_of in (("sorted", planned), ("waiting", waiting)):
        yield name, {str(budget): _beside(model, packed, trays_of(rows, budget), rounds) for budget in _BUDGETS}


def _beside(model: Any, packed: Packed, trays: list[Tray], rounds: int) -> dict[str, Any]:
    ratios = []
    for _ in range(rounds):
        with_padding = _seconds(lambda tray: padded(model, tray), trays)
        ratios.append(with_padding / _seconds(packed, trays))
    real = sum(len(row) for tray in trays for row in tray)
    largest = max(
        float((one - two).abs().max())
        for tray in trays[:8]
        for one, two in zip(packed(tray), padded(model, tray), strict=True)
    )
    return {
        "padding": round(1 - real / sum(max(map(len, tray)) * len(tray) for tray in trays), 4),
        "packed_times_as_fast": spread(ratios),
        "largest_difference": round(largest, 7),
    }


def _seconds(way: Callable[[Tray], Any], trays: list[Tray]) -> float:
    start = time.perf_counter()
    for tray in trays:
        way(tray)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
