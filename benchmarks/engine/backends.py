"""One file of texts through torch, ONNX Runtime and int8: whole systems in turns, in one run of one stack.

    python -m benchmarks.engine backends [--model minilm] [--rows 4000] [--rounds 5]

Beside them the best loop by hand on torch as its package comes, which is what a person would otherwise have; and how
far the results of each backend are from those of torch.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.engine.bulk import CASES, Bench, fournil, results, sweep, write_sheet
from benchmarks.engine.corpus import texts
from benchmarks.engine.offline import offline
from benchmarks.harness import keep, spread, stack

KINDS = ("torch", "onnx", "int8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=("minilm", "distilbert"), default="minilm")
    parser.add_argument("--rows", type=int, default=4_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sweep-rows", type=int, default=600)
    run(parser.parse_args())


def run(given: argparse.Namespace) -> None:
    cases = {kind: CASES[f"{given.model}-{kind}"] for kind in KINDS}
    with tempfile.TemporaryDirectory(prefix="fournil-backends-") as temporary:
        folder = Path(temporary)
        corpus = texts(given.rows)
        (folder / "texts.json").write_text(json.dumps(corpus))
        write_sheet(folder / "rows.jsonl", corpus)
        torch = cases["torch"]
        checkpoint = torch.checkpoint(folder)
        offers = "\n".join(case.pipelines(checkpoint, kind) for kind, case in cases.items())
        (folder / "pipelines.toml").write_text(offers)
        with (
            stack("--pipelines", str(folder / "pipelines.toml")) as running,
            offline(torch.kind, checkpoint, folder / "texts.json") as loop,
        ):
            measure(Bench(torch, running, loop, folder), given)


def measure(bench: Bench, given: argparse.Namespace) -> None:
    swept = sweep(bench.loop, min(given.sweep_rows, given.rows))
    speeds: dict[str, list[float]] = {kind: [] for kind in ("loop", *KINDS)}
    found: dict[str, Any] = {}
    for _ in range(given.rounds):
        alone = bench.loop.run(rows=given.rows, **swept["loop_setting"])
        speeds["loop"].append(alone["rows_per_second"])
        for kind in KINDS:
            speeds[kind].append(fournil(dataclasses.replace(bench, pipeline=kind))["fournil"])
            found[kind] = results(bench)
        print(json.dumps({kind: round(each[-1], 1) for kind, each in speeds.items()}), flush=True)
        # After each round: a run of many minutes may be cut short.
        keep(f"engine-backends-{given.model}", summary(given, swept, speeds, found))


def summary(
    given: argparse.Namespace, swept: dict[str, Any], speeds: dict[str, list[float]], found: dict[str, Any]
) -> dict[str, Any]:
    return {
        "model": given.model,
        "rows": given.rows,
        "rounds": len(speeds["loop"]),
        "loop_setting": swept["loop_setting"],
        "rows_per_second": {kind: spread(each) for kind, each in speeds.items()},
        "ratio_to_torch": {kind: _ratio(speeds[kind], speeds["torch"]) for kind in ("onnx", "int8")},
        "ratio_to_plain_torch": {kind: _ratio(speeds[kind], speeds["loop"]) for kind in KINDS},
        "off": {kind: _off(found[kind], found["torch"]) for kind in ("onnx", "int8")},
    }


def _ratio(mine: list[float], other: list[float]) -> dict[str, float]:
    return spread([one / two for one, two in zip(mine, other, strict=True)])


def _off(mine: Any, other: Any) -> dict[str, float]:
    cosine = (mine * other).sum(axis=1) / (np.linalg.norm(mine, axis=1) * np.linalg.norm(other, axis=1))
    return {
        "largest_difference": round(float(np.abs(mine - other).max()), 7),
        "mean_cosine": round(float(cosine.mean()), 6),
        "least_cosine": round(float(cosine.min()), 6),
    }


if __name__ == "__main__":
    main()
