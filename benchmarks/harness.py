"""What every benchmark shares: a stack of its own, facts about the machine, medians, and results as JSON."""

from __future__ import annotations

import contextlib
import json
import math
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"


class Stack:
    """A running `fournil up`: its URL, and the process that answers for all of it."""

    def __init__(self, process: subprocess.Popen[str], url: str, data_dir: Path) -> None:
        self.process = process
        self.url = url
        self.data_dir = data_dir


@contextlib.contextmanager
def stack(*options: str, **env: str) -> Iterator[Stack]:
    """`fournil up` on a free port, in a directory that goes when it stops."""
    with tempfile.TemporaryDirectory(prefix="fournil-bench-") as folder:
        command = [sys.executable, "-m", "cli.main", "up", "--port", "0", "--data-dir", folder, *options]
        log = Path(folder) / "bench.log"
        with log.open("w") as err:
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=err, text=True, cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), **env},
            )  # fmt: skip
        try:
            assert process.stdout is not None
            ready = process.stdout.readline()
            if "ready" not in ready:
                raise RuntimeError(f"the stack did not start:\n{log.read_text()[-3000:]}")
            yield Stack(process, ready.split()[3], Path(folder))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def spread(values: Sequence[float]) -> dict[str, float]:
    """p50, p95, smallest and largest, rounded to four digits."""
    ordered = sorted(values)
    return {
        "n": len(ordered),
        "p50": round(statistics.median(ordered), 4),
        "p95": round(ordered[math.ceil(0.95 * len(ordered)) - 1], 4),
        "min": round(ordered[0], 4),
        "max": round(ordered[-1], 4),
    }


def machine() -> dict[str, Any]:
    cpu = next(
        (line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    return {"cpu": cpu, "cores": os.cpu_count(), "python": platform.python_version(), "load": os.getloadavg()[0]}


def commit() -> str:
    """What ran; `-dirty` where anything but figures written by a benchmark before is not committed."""
    name = _git("describe", "--always")
    changed = _git("status", "--porcelain", "--", ".", ":!benchmarks/results", ":!docs")
    return f"{name}-dirty" if changed else name or "unknown"


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def save(name: str, figures: dict[str, Any]) -> None:
    """Print the figures and keep them in benchmarks/results/."""
    print(keep(name, figures))


def keep(name: str, figures: dict[str, Any]) -> str:
    """Write the figures to benchmarks/results/ with commit, time and machine; the text of the file."""
    record = {
        "benchmark": name,
        "commit": commit(),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        **figures,
    }
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(record, indent=2)
    (RESULTS / f"{name}.json").write_text(text + "\n")
    return text


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
