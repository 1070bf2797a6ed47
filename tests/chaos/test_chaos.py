"""Real processes are killed, real brokers are emptied: every job ends exactly once, and no neighbour suffers.

Each test runs a whole stack of its own (`fournil up`), as a user would.
"""

from __future__ import annotations

import contextlib
import csv
import io
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
import redis

from tests.processes import Stack, running_stack, wait_until

OVER = {"succeeded", "failed", "canceled", "expired"}
FAST = {"FOURNIL_SWEEP_SECONDS": "1"}


@pytest.fixture
def stack(database: dict[str, str], tmp_path: Path) -> Iterator[Stack]:
    with running_stack(tmp_path, **FAST, **database) as running:
        yield running


@pytest.fixture
def sqlite_stack(tmp_path: Path) -> Iterator[Stack]:
    with running_stack(tmp_path, **FAST) as running:
        yield running


def submit(stack: Stack, text: str) -> str:
    body = {"pipeline": "fake", "inputs": {"text": text}}
    answer = httpx.post(f"{stack.url}/api/v1/jobs", json=body, timeout=30)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def job(stack: Stack, job_id: str) -> dict[str, object]:
    found: dict[str, object] = httpx.get(f"{stack.url}/api/v1/jobs/{job_id}", timeout=30).json()
    return found


def finished(stack: Stack, job_ids: list[str], *, seconds: float) -> list[dict[str, object]]:
    def over() -> list[dict[str, object]] | None:
        jobs = [job(stack, job_id) for job_id in job_ids]
        return jobs if all(found["status"] in OVER for found in jobs) else None

    return wait_until(over, seconds=seconds, what=f"the end of {len(job_ids)} jobs", show=stack.shown)


def upload(stack: Stack, texts: list[str]) -> str:
    sheet = io.StringIO()
    writer = csv.writer(sheet)
    writer.writerow(["ref", "text"])
    writer.writerows((f"r{n}", text) for n, text in enumerate(texts))
    parts = {
        "request": (None, '{"pipeline": "fake", "id_column": "ref"}', "application/json"),
        "file": ("rows.csv", sheet.getvalue().encode(), "text/csv"),
    }
    answer = httpx.post(f"{stack.url}/api/v1/batches", files=parts, timeout=60)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def batch(stack: Stack, batch_id: str) -> dict[str, object]:
    found: dict[str, object] = httpx.get(f"{stack.url}/api/v1/batches/{batch_id}", timeout=30).json()
    return found


def succeeded(stack: Stack, batch_id: str) -> int:
    counts = batch(stack, batch_id)["counts"]
    assert isinstance(counts, dict)
    return int(counts["succeeded"])


def completed(stack: Stack, batch_id: str, *, seconds: float) -> dict[str, int]:
    def over() -> dict[str, int] | None:
        found = batch(stack, batch_id)
        return found["counts"] if found["status"] == "completed" else None  # type: ignore[return-value]

    return wait_until(over, seconds=seconds, what="the batch to complete", show=stack.shown)


def rows_of(stack: Stack, batch_id: str) -> list[dict[str, str]]:
    answer = httpx.get(f"{stack.url}/api/v1/batches/{batch_id}/results?format=csv", timeout=60)
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))


def oven_child(stack: Stack) -> psutil.Process:
    """The process that holds the pipelines."""

    def child() -> psutil.Process | None:
        with contextlib.suppress(psutil.Error):
            for process in stack.child("worker.node", "oven").children():
                if "spawn_main" in " ".join(process.cmdline()):
                    return process
        return None

    return wait_until(child, what="the oven's child", show=stack.shown)


def test_kill_9_of_a_child_in_a_batch_loses_and_repeats_nothing(stack: Stack) -> None:
    batch_id = upload(stack, [f"sleep:0.002 row {n}" for n in range(1000)])
    for part in (100, 400, 700):
        wait_until(
            lambda part=part: succeeded(stack, batch_id) >= part, seconds=90, what=f"{part} rows", show=stack.shown
        )
        child = oven_child(stack)
        done = succeeded(stack, batch_id)
        child.kill()
        assert succeeded(stack, batch_id) >= done

    counts = completed(stack, batch_id, seconds=120)

    assert (counts["succeeded"], counts["failed"]) == (1000, 0)
    assert [row["ref"] for row in rows_of(stack, batch_id)] == [f"r{n}" for n in range(1000)]


def test_a_finished_row_is_never_run_again_after_a_kill(sqlite_stack: Stack) -> None:
    stack = sqlite_stack
    batch_id = upload(stack, [f"sleep:0.004 row {n}" for n in range(400)])
    wait_until(lambda: succeeded(stack, batch_id) >= 100, seconds=60, what="100 rows", show=stack.shown)
    oven_child(stack).kill()
    with contextlib.closing(sqlite3.connect(stack.data_dir / "fournil.db")) as conn:
        before = dict(conn.execute("SELECT id, finished_at FROM jobs WHERE status = 'succeeded'"))
        completed(stack, batch_id, seconds=120)
        after = dict(conn.execute("SELECT id, finished_at FROM jobs WHERE status = 'succeeded'"))
    assert len(after) == 400
    assert {job_id: after[job_id] for job_id in before} == before


def test_a_row_that_kills_its_process_fails_and_its_neighbours_succeed(stack: Stack) -> None:
    texts = [f"row {n}" for n in range(200)]
    texts[77] = "die 77"
    batch_id = upload(stack, texts)

    counts = completed(stack, batch_id, seconds=240)

    assert (counts["succeeded"], counts["failed"]) == (199, 1)
    (bad,) = (row for row in rows_of(stack, batch_id) if row["status"] == "failed")
    assert bad["ref"] == "r77"


def test_an_emptied_broker_loses_no_job(sqlite_stack: Stack) -> None:
    stack = sqlite_stack
    ids = [submit(stack, "sleep:1 first")] + [submit(stack, f"row {n}") for n in range(50)]
    with broker_of(stack) as broker:
        broker.flushall()
    start = time.monotonic()

    jobs = finished(stack, ids, seconds=30)

    assert Counter(str(found["status"]) for found in jobs) == {"succeeded": 51}
    assert time.monotonic() - start < 30
    again = finished(stack, [submit(stack, "after the flood")], seconds=30)
    assert again[0]["status"] == "succeeded"


@contextlib.contextmanager
def broker_of(stack: Stack) -> Iterator[redis.Redis]:
    """The stack's own Valkey, found as its web process finds it."""
    url = stack.child("web.wsgi").environ()["FOURNIL_BROKER_URL"]
    client = redis.Redis.from_url(url)
    try:
        yield client
    finally:
        client.close()


def test_a_killed_broker_comes_back_and_nothing_is_lost(sqlite_stack: Stack) -> None:
    stack = sqlite_stack
    before = [submit(stack, f"sleep:0.1 {n}") for n in range(10)]
    stack.child("valkey-server").kill()
    during = [submit(stack, f"row {n}") for n in range(3)]

    jobs = finished(stack, before + during, seconds=60)

    assert {found["status"] for found in jobs} == {"succeeded"}


def test_kill_9_of_the_main_process_of_an_oven_sends_its_rows_back(sqlite_stack: Stack) -> None:
    stack = sqlite_stack
    batch_id = upload(stack, [f"sleep:0.005 row {n}" for n in range(300)])
    wait_until(lambda: succeeded(stack, batch_id) >= 50, seconds=60, what="50 rows", show=stack.shown)
    stack.child("worker.node", "oven").kill()

    counts = completed(stack, batch_id, seconds=120)

    assert counts["succeeded"] == 300


def test_a_file_whose_reader_is_killed_is_read_to_its_end_once(sqlite_stack: Stack) -> None:
    stack = sqlite_stack
    batch_id = upload(stack, [f"row {n}" for n in range(20_000)])
    for part in (1, 5_000):
        wait_until(
            lambda part=part: total_so_far(stack, batch_id) >= part,
            seconds=60,
            what=f"{part} rows read",
            show=stack.shown,
        )
        for child in stack.child("worker.node", "upkeep").children():
            if "spawn_main" in " ".join(child.cmdline()):
                child.kill()

    counts = completed(stack, batch_id, seconds=180)

    assert (counts["total"], counts["succeeded"]) == (20_000, 20_000)


def total_so_far(stack: Stack, batch_id: str) -> int:
    counts = batch(stack, batch_id)["counts"]
    assert isinstance(counts, dict)
    return sum(int(value or 0) for status, value in counts.items() if status != "total")


def test_jobs_accepted_while_no_worker_runs_are_done_once_one_starts(tmp_path: Path) -> None:
    with running_stack(tmp_path, **FAST) as stack:
        blocking = submit(stack, "sleep:600")
        wait_until(lambda: job(stack, blocking)["status"] == "running", what="the oven to be busy")
        waiting = [submit(stack, f"row {n}") for n in range(5)]
        httpx.post(f"{stack.url}/api/v1/jobs/{blocking}/cancel", timeout=30)
    with running_stack(tmp_path, **FAST) as stack:
        jobs = finished(stack, waiting, seconds=60)
    assert {found["status"] for found in jobs} == {"succeeded"}
