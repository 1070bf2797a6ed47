"""What the system costs a job: CPU of each process and thread, with a backend that computes nothing.

    python -m benchmarks.engine overhead [--rows 100000] [--callers 64] [--seconds 10]

A file of fake rows through everything, counted by thread; once more under py-spy, which names the parts that take
most; and callers at once, for what an interactive job costs. A part is the innermost function of Fournil's own
packages on the stack: what a library does on its behalf counts for it, and a transaction for whoever asked for it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil

from benchmarks.engine.client import Target, drive
from benchmarks.harness import ROOT, Stack, save, stack
from benchmarks.upload_memory import FAKE, download, poll, role_of, write_sheet

_OURS = re.compile(r"(\S+) \(((?:contract|models|web|worker|cli)/[\w/]+\.py)")
#: Samples a second and the most parts named.
_RATE, _PARTS = 100, 5

Threads = dict[tuple[str, str], float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fournil-overhead-") as temporary:
        folder = Path(temporary)
        (folder / "pipelines.toml").write_text(FAKE)
        write_sheet(folder / "few.csv", 2_000)
        write_sheet(folder / "rows.csv", given.rows)
        with stack("--pipelines", str(folder / "pipelines.toml")) as running:
            through(running, folder / "few.csv")
            figures = {
                "rows": given.rows,
                "bulk": bulk(running, folder / "rows.csv", given.rows),
                "bulk_parts": parts_of(running, lambda: through(running, folder / "rows.csv"), folder),
                "callers": callers(running, given),
                "callers_parts": parts_of(running, lambda: callers(running, given), folder),
            }
    save("engine-overhead", figures)


def bulk(running: Stack, sheet: Path, rows: int) -> dict[str, Any]:
    before, start = cpu(running), time.perf_counter()
    phases = through(running, sheet)
    seconds = time.perf_counter() - start
    return {"rows_per_second": round(rows / seconds), **phases, **a_job(before, cpu(running), rows)}


def through(running: Stack, sheet: Path) -> dict[str, float]:
    """Upload, wait, download."""
    http = httpx.Client(base_url=running.url, timeout=600)
    start = time.perf_counter()
    request = json.dumps({"pipeline": "fake", "inputs": {"text": "review"}, "id_column": "id"})
    with sheet.open("rb") as file:
        parts: dict[str, Any] = {"request": (None, request, "application/json"), "file": (sheet.name, file)}
        batch = http.post("/api/v1/batches", files=parts).raise_for_status().json()
    uploaded = time.perf_counter()
    for _ in poll(http, batch["id"]):
        pass
    over = time.perf_counter()
    download(http, batch["id"], lambda: None)
    return {
        "upload_seconds": round(uploaded - start, 2),
        "until_over_seconds": round(over - start, 2),
        "download_seconds": round(time.perf_counter() - over, 2),
    }


def callers(running: Stack, given: argparse.Namespace) -> dict[str, Any]:
    bodies = [json.dumps({"pipeline": "fake", "inputs": f"The bread was good {n}."}).encode() for n in range(1000)]
    port = urlsplit(running.url).port
    assert port is not None
    target = Target(port, "/api/v1/jobs", bodies, headers=("Prefer: wait=60",))
    before = cpu(running)
    driven = drive(target, callers=given.callers, seconds=given.seconds, warm_up=0.0)
    return {
        "callers": given.callers,
        "jobs_per_second": round(driven.calls_per_second, 1),
        **a_job(before, cpu(running), driven.answered),
    }


def a_job(before: Threads, after: Threads, jobs: int) -> dict[str, Any]:
    """CPU microseconds a job, by process and thread."""
    by_process: Counter[str] = Counter()
    by_thread: dict[str, dict[str, float]] = {}
    for (process, thread), seconds in after.items():
        used = 1e6 * (seconds - before.get((process, thread), 0.0)) / jobs
        by_process[process] += used  # type: ignore[assignment]
        if used >= 0.1:
            by_thread.setdefault(process, {})[thread] = round(used, 1)
    return {
        "cpu_us_a_job": round(sum(by_process.values()), 1),
        "by_process": {name: round(used, 1) for name, used in by_process.most_common() if used >= 0.1},
        "by_thread": by_thread,
    }


def cpu(running: Stack) -> Threads:
    """CPU seconds so far. Threads of one name (a pool's, a server's) are added up; ended ones are `over`."""
    found: Threads = {}
    for name, process in _processes(running):
        with contextlib.suppress(psutil.Error):
            names, total, seen = _thread_names(process), process.cpu_times(), 0.0
            for thread in process.threads():
                used = thread.user_time + thread.system_time
                seen += used
                key = (name, names.get(thread.id, "native"))
                found[key] = found.get(key, 0.0) + used
            over = (name, "over")
            found[over] = found.get(over, 0.0) + max(0.0, total.user + total.system - seen)
    return found


def _processes(running: Stack) -> Iterator[tuple[str, psutil.Process]]:
    """Each process with its name: web, oven, oven child, upkeep, upkeep child, broker, scheduler, supervisor."""
    yield "supervisor", psutil.Process(running.process.pid)
    for process in psutil.Process(running.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if role := role_of(process):
                yield f"{role} child" if "spawn_main" in " ".join(process.cmdline()) else role, process


def _thread_names(process: psutil.Process) -> dict[int, str]:
    """Python's names of a process's threads, numbers taken off; empty where py-spy is missing or it is not Python."""
    if not (spy := shutil.which("py-spy")):
        return {}
    words = [spy, "dump", "--json", "--nonblocking", "--pid", str(process.pid)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        return {}
    threads = json.loads(done.stdout)
    return {thread["os_thread_id"]: _plain(thread["thread_name"]) for thread in threads if thread["thread_name"]}


def _plain(name: str) -> str:
    return re.sub(r"[-_]\d+|\d+$", "", name.split(" (")[0])


def parts_of(running: Stack, work: Any, folder: Path) -> dict[str, Any]:
    """The parts of each process that take most, by share of its busy samples; None where py-spy is missing."""
    spy = shutil.which("py-spy")
    if not spy:
        return {}
    spies = {}
    for name, process in _processes(running):
        if name in ("web", "oven child", "upkeep child", "oven"):
            out = folder / f"{name.replace(' ', '-')}-{process.pid}.raw"
            # Not stopped for each sample: a stopped thread does not look idle, and all its waiting would count.
            words = [spy, "record", "--format", "raw", "--rate", str(_RATE), "--nonblocking", "--duration", "3600"]
            words += ["--pid", str(process.pid), "--output", str(out), "--full-filenames"]
            spies[name, out] = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(1.0)
    work()
    found: dict[str, Any] = {}
    for (name, out), recording in spies.items():
        recording.send_signal(signal.SIGINT)
        recording.wait(60)
        found[name] = _largest(out.read_text() if out.exists() else "")
    return found


def _largest(raw: str) -> dict[str, Any]:
    parts: Counter[str] = Counter()
    for line in raw.splitlines():
        stack_, _, count = line.rpartition(" ")
        parts[_part(stack_.split(";"))] += int(count)
    total = sum(parts.values())
    return {
        "samples": total,
        "parts": {part: round(count / total, 3) for part, count in parts.most_common(_PARTS)},
    }


def _part(frames: list[str]) -> str:
    ours = [match for frame in frames if (match := _OURS.search(frame.replace(f"{ROOT}/", "")))]
    asked = [match for match in ours if match[2] != "models/database.py"]
    if not asked:
        return "libraries alone: " + re.sub(r":\d+\)", ")", frames[-1].rsplit("/", 1)[-1])
    waits = " (its transaction)" if ours[-1] is not asked[-1] else ""
    return f"{asked[-1][2]} {asked[-1][1]}{waits}"


if __name__ == "__main__":
    main()
