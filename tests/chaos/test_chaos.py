"""Real processes are killed, real brokers are emptied: every job ends exactly once, and no neighbor suffers.

Each test runs a whole stack of its own (`fournil up`), as a user would.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis

from tests.chaos.stacks import (
    FAST,
    completed,
    finished,
    job,
    oven_child,
    rows_of,
    submit,
    succeeded,
    total_so_far,
    upload,
)
from tests.processes import Stack, running_stack, wait_until


@pytest.fixture
def stack(database: dict[str, str], tmp_path: Path) -> Iterator[Stack]:
    with running_stack(tmp_path, **FAST, **database) as running:
        yield running


@pytest.fixture
def sqlite_stack(tmp_path: Path) -> Iterator[Stack]:
    with running_stack(tmp_path, **FAST) as running:
        yield running


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


def test_a_row_that_kills_its_process_fails_and_its_neighbors_succeed(stack: Stack) -> None:
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


def test_jobs_accepted_while_no_worker_runs_are_done_once_one_starts(tmp_path: Path) -> None:
    with running_stack(tmp_path, **FAST) as stack:
        blocking = submit(stack, "sleep:600")
        wait_until(lambda: job(stack, blocking)["status"] == "running", what="the oven to be busy")
        waiting = [submit(stack, f"row {n}") for n in range(5)]
        httpx.post(f"{stack.url}/api/v1/jobs/{blocking}/cancel", timeout=30)
    with running_stack(tmp_path, **FAST) as stack:
        jobs = finished(stack, waiting, seconds=60)
    assert {found["status"] for found in jobs} == {"succeeded"}
