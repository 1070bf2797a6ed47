"""The life of a large file with a backend that computes nothing: accepted, read, baked, polled, downloaded.

    python -m benchmarks.bulk [--rows 1000000] [--database sqlite|postgres]

Times of each phase, what polls took meanwhile, how much each process grew, and whether the results have every row in
the order of the file. Beside them what the bare database does: the same inserts and updates by its driver alone.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from benchmarks.harness import Stack, save, spread, stack
from benchmarks.upload_memory import FAKE, note, resident, write_sheet

_OVER = ("completed", "failed", "canceled", "expired")
_POLL_SECONDS = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    given = parser.parse_args()
    with contextlib.ExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="fournil-bulk-")))
        pipelines, sheet = folder / "pipelines.toml", folder / "rows.csv"
        pipelines.write_text(FAKE)
        write_sheet(sheet, given.rows)
        env = {"FOURNIL_DATABASE_URL": parts.enter_context(postgres())} if given.database == "postgres" else {}
        with stack("--pipelines", str(pipelines), **env) as running:
            figures = life(running, sheet, given.rows, folder / "results.csv")
        bare = {"bare_sqlite": bare_sqlite(folder / "bare.db", given.rows)} if given.database == "sqlite" else {}
    about = {"rows": given.rows, "database": given.database}
    save(f"bulk-{given.database}-{given.rows}", {**about, **figures, **bare})


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    from tests.databases import postgres_database, postgres_server

    with postgres_server() as template, postgres_database(template) as url:
        yield url


def life(running: Stack, sheet: Path, rows: int, results: Path) -> dict[str, Any]:
    before = resident(running)
    peak = dict(before)
    http = httpx.Client(base_url=running.url, timeout=600)
    batch, last_byte, accepted = upload(http, sheet)
    watched = watch(http, batch["id"], rows, peak, running, since=accepted)
    start = time.perf_counter()
    download(http, batch["id"], results)
    downloaded = time.perf_counter() - start
    note(peak, running)
    return {
        "upload_bytes": sheet.stat().st_size,
        "accepted_seconds_after_last_byte": round(accepted - last_byte, 3),
        **watched,
        "download_seconds": round(downloaded, 1),
        "download_rows_per_second": round(rows / downloaded),
        "result_bytes": results.stat().st_size,
        "rows_in_order": in_order(results, rows),
        "start_mb": {name: round(value / 1e6, 1) for name, value in before.items()},
        "grew_mb": {name: round((peak[name] - before.get(name, 0)) / 1e6, 1) for name in peak},
    }


class _Sent:
    """A file that remembers when its last byte was taken."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self.last_byte = 0.0

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        if piece:
            self.last_byte = time.perf_counter()
        return piece

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def upload(http: httpx.Client, sheet: Path) -> tuple[dict[str, Any], float, float]:
    """The batch, when the last byte was sent, and when the answer was there."""
    request = {"pipeline": "fake", "inputs": {"text": "review"}, "id_column": "id"}
    sent: Any = _Sent(sheet)
    parts = {"request": (None, json.dumps(request), "application/json"), "file": (sheet.name, sent, "text/csv")}
    batch = http.post("/api/v1/batches", files=parts).raise_for_status().json()
    return batch, sent.last_byte, time.perf_counter()


def watch(
    http: httpx.Client, batch_id: str, rows: int, peak: dict[str, int], running: Stack, *, since: float
) -> dict[str, Any]:
    """Poll as people do until all is over."""
    polls: list[float] = []
    etas: list[tuple[float, float, float]] = []
    read = None
    while True:
        asked = time.perf_counter()
        batch = http.get(f"/api/v1/batches/{batch_id}").raise_for_status().json()
        answered = time.perf_counter()
        polls.append(answered - asked)
        note(peak, running)
        counts = batch["counts"]
        assert counts["total"] is None or counts["total"] == sum(counts.values()) - counts["total"], counts
        if read is None and counts["total"] is not None:
            read = answered
        if batch["eta"] is not None and batch["progress"] >= 0.1:
            etas.append((answered, batch["progress"], batch["eta"]))
        if batch["status"] in _OVER:
            break
        time.sleep(_POLL_SECONDS)
    assert read is not None
    assert counts["succeeded"] == rows, counts
    return {
        "read_seconds": round(read - since, 1),
        "read_rows_per_second": round(rows / (read - since)),
        "all_rows_terminal_seconds": round(answered - since, 1),
        "rows_per_second": round(rows / (answered - since)),
        "poll_ms": {name: round(1000 * value, 1) for name, value in spread(polls).items() if name != "n"},
        "polls": len(polls),
        # Said against what then happened, over the polls between a tenth and nine tenths of the work.
        "eta_off": spread([abs(eta / (answered - at) - 1) for at, done, eta in etas if done <= 0.9] or [0.0]),
    }


def download(http: httpx.Client, batch_id: str, path: Path) -> None:
    with http.stream("GET", f"/api/v1/batches/{batch_id}/results?format=csv") as answer, path.open("wb") as out:
        for piece in answer.raise_for_status().iter_bytes():
            out.write(piece)


def in_order(path: Path, rows: int) -> bool:
    with path.open(newline="", encoding="utf-8-sig") as file:
        found = [int(row["id"]) for row in csv.DictReader(file) if row["status"] == "succeeded"]
    return found == list(range(rows))


def bare_sqlite(path: Path, rows: int) -> dict[str, int]:
    """Rows a second of the same inserts and updates in tables without an index besides their keys."""
    conn = sqlite3.connect(path, isolation_level=None)
    for statement in (
        "PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL",
        "CREATE TABLE jobs (id TEXT PRIMARY KEY, batch TEXT, row INTEGER, status TEXT, worker TEXT)",
        "CREATE TABLE data (id TEXT PRIMARY KEY, inputs TEXT, parameters TEXT)",
        "CREATE TABLE results (id TEXT PRIMARY KEY, body TEXT)",
    ):  # fmt: skip
        conn.execute(statement)
    ids = [f"{n:032x}" for n in range(rows)]

    def timed(piece: int, *statements: tuple[str, Any]) -> int:
        start = time.perf_counter()
        for first in range(0, rows, piece):
            some = ids[first : first + piece]
            conn.execute("BEGIN IMMEDIATE")
            for statement, values in statements:
                conn.executemany(statement, [values(one) for one in some])
            conn.execute("COMMIT")
        return round(rows / (time.perf_counter() - start))

    text, body = '{"text": "Review 1: the bread, as ever, was good today"}', '[{"label": "POSITIVE", "score": 0.98}]'
    figures = {
        "insert_rows_per_second": timed(
            2_000,
            ("INSERT INTO jobs VALUES (?, 'b', 1, 'queued', NULL)", lambda one: (one,)),
            ("INSERT INTO data VALUES (?, ?, '{}')", lambda one: (one, text)),
        ),
        "claim_rows_per_second": timed(
            1_024, ("UPDATE jobs SET status = 'running', worker = 'w' WHERE id = ?", lambda one: (one,))
        ),
        "record_rows_per_second": timed(
            256,
            ("UPDATE jobs SET status = 'succeeded', worker = NULL WHERE id = ?", lambda one: (one,)),
            ("INSERT INTO results VALUES (?, ?)", lambda one: (one, body)),
        ),
    }
    conn.close()
    return figures


if __name__ == "__main__":
    main()
