"""Memory while a large CSV is uploaded, read and baked by the fake backend: how much each process grows.

python -m benchmarks.upload_memory [--rows 100000]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.harness import Stack, save, stack

FAKE = '[pipelines.fake]\ntask = "text-classification"\nbackend = "fake"\nwarm = true\n'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        pipelines, sheet = Path(folder) / "pipelines.toml", Path(folder) / "rows.csv"
        pipelines.write_text(FAKE)
        write_sheet(sheet, rows)
        with stack("--pipelines", str(pipelines)) as running:
            save("upload_memory", {"rows": rows, "bytes": sheet.stat().st_size, **run(running, sheet)})


def write_sheet(path: Path, rows: int) -> None:
    with path.open("w", encoding="utf-8") as out:
        out.write("id,review,note\n")
        for n in range(rows):
            out.write(f'{n},"Review {n}: the bread, as ever, was {"good " * (n % 12)}today",shelf {n % 7}\n')


def run(running: Stack, sheet: Path) -> dict[str, Any]:
    """Upload, watch until the batch is over, download; seconds of each and growth by process."""
    before = resident(running)
    peak = dict(before)
    http = httpx.Client(base_url=running.url, timeout=600)
    start = time.perf_counter()
    request = {"pipeline": "fake", "inputs": {"text": "review"}, "id_column": "id"}
    with sheet.open("rb") as file:
        parts: dict[str, Any] = {
            "request": (None, json.dumps(request), "application/json"),
            "file": (sheet.name, file, "text/csv"),
        }
        batch = http.post("/api/v1/batches", files=parts).raise_for_status().json()
    uploaded = time.perf_counter() - start
    for found in poll(http, batch["id"]):
        note(peak, running)
        batch = found
    over = time.perf_counter() - start
    size = download(http, batch["id"], lambda: note(peak, running))
    return {
        "upload_seconds": round(uploaded, 2),
        "all_rows_terminal_seconds": round(over, 2),
        "download_seconds": round(time.perf_counter() - start - over, 2),
        "result_bytes": size,
        "counts": batch["counts"],
        "start_mb": {name: round(value / 1e6, 1) for name, value in before.items()},
        "grew_mb": {name: round((peak[name] - before.get(name, 0)) / 1e6, 1) for name in peak},
    }


def poll(http: httpx.Client, batch_id: str) -> Iterator[dict[str, Any]]:
    while True:
        batch = http.get(f"/api/v1/batches/{batch_id}").raise_for_status().json()
        yield batch
        if batch["status"] in ("completed", "failed", "canceled", "expired"):
            return
        time.sleep(0.2)


def download(http: httpx.Client, batch_id: str, each: Any) -> int:
    size = 0
    with http.stream("GET", f"/api/v1/batches/{batch_id}/results?format=csv") as answer:
        for n, piece in enumerate(answer.iter_bytes()):
            size += len(piece)
            if n % 50 == 0:
                each()
    return size


def note(peak: dict[str, int], running: Stack) -> None:
    for name, value in resident(running).items():
        peak[name] = max(peak.get(name, value), value)


def resident(running: Stack) -> dict[str, int]:
    """Resident bytes by role; children of a role are added to it."""
    sizes: dict[str, int] = {}
    for process in psutil.Process(running.process.pid).children(recursive=True):
        try:
            role, size = role_of(process), process.memory_info().rss
        except psutil.Error:
            continue
        if role:
            sizes[role] = sizes.get(role, 0) + size
    return sizes


def role_of(process: psutil.Process) -> str | None:
    """web, oven, upkeep, scheduler or broker; a spawned child belongs to its parent's."""
    line = " ".join(process.cmdline())
    for word, role in (("web.wsgi", "web"), ("valkey", "broker"), ("redis-server", "broker")):
        if word in line and "leash" not in line:
            return role
    if "worker.node" in line and "leash" not in line:
        return line.split()[-1]
    if "spawn_main" in line:
        parent = process.parent()
        return None if parent is None else role_of(parent)
    return None


if __name__ == "__main__":
    main()
