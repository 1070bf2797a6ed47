"""Idle latency: one short text through `sentiment` over HTTP, against the bare pipeline() call in the same run.

    python -m benchmarks.latency [--calls 200]

The two take turns, so that a busy moment of the machine hits both. The figure that counts is the difference of the
medians: what forms, queue, database and workers add to the model.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import httpx

from benchmarks.harness import ROOT, save, spread, stack
from cli.stack.plan import WAITING

TEXT = "The crust was perfect and the crumb still warm."


def main() -> None:
    # As the ovens have it: without this the bare call's threads spin, and lose to anything else that runs.
    os.environ.update(WAITING)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=200)
    calls = parser.parse_args().calls
    with stack("--pipelines", str(ROOT / "examples" / "pipelines.toml")) as running:
        bare = bare_pipeline(running.data_dir)
        http = httpx.Client(base_url=running.url, timeout=60)
        measure(http, bare, 20)
        through, alone, jobs = measure(http, bare, calls)
        noop = noop_fake()
    figures = {
        "http_ms": spread(through),
        "pipeline_ms": spread(alone),
        "added_p50_ms": round(spread(through)["p50"] - spread(alone)["p50"], 2),
        "of_which": {
            "queue_p50_ms": 1000 * spread([job["timings"]["queue"] for job in jobs])["p50"],
            "inference_p50_ms": 1000 * spread([job["timings"]["inference"] for job in jobs])["p50"],
        },
        "fake_pipeline_http_ms": noop,
    }
    save("latency", figures)


def bare_pipeline(data_dir: Path) -> Any:
    """The library's own pipeline on the checkpoint that the stack uses."""
    from transformers import pipeline

    (config,) = (data_dir / "checkpoints").rglob("*/config.json")
    return pipeline("text-classification", model=str(config.parent), top_k=None)


def measure(http: httpx.Client, bare: Any, calls: int) -> tuple[list[float], list[float], list[dict[str, Any]]]:
    """Milliseconds of each call, both ways in turn, and the jobs."""
    through, alone, jobs = [], [], []
    for n in range(calls):
        seconds, job = one_job(http, "sentiment", f"{TEXT} {n}")
        through.append(1000 * seconds)
        jobs.append(job)
        start = time.perf_counter()
        bare(f"{TEXT} {n}")
        alone.append(1000 * (time.perf_counter() - start))
    return through, alone, jobs


def one_job(http: httpx.Client, pipeline: str, text: str) -> tuple[float, dict[str, Any]]:
    start = time.perf_counter()
    answer = http.post(
        "/api/v1/jobs", json={"pipeline": pipeline, "inputs": {"text": text}}, headers={"Prefer": "wait=30"}
    )
    seconds = time.perf_counter() - start
    if answer.status_code != 200:
        raise RuntimeError(answer.text)
    return seconds, answer.json()


def noop_fake() -> dict[str, float]:
    """The same road with a model that takes no time: the system alone."""
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write('[pipelines.fake]\ntask = "text-classification"\nbackend = "fake"\nwarm = true\n')
        file.flush()
        with stack("--pipelines", file.name) as running, httpx.Client(base_url=running.url, timeout=60) as http:
            for _ in range(20):
                one_job(http, "fake", TEXT)
            return spread([1000 * one_job(http, "fake", TEXT)[0] for _ in range(200)])


if __name__ == "__main__":
    main()
