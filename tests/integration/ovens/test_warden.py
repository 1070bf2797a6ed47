"""The warden: a living child keeps its rows, a dead or hanging one gives them back at once."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from contract.settings import Inference
from contract.times import utc_now
from models.database import reading, transaction
from models.workers import Worker, list_workers, put_worker
from tests.integration.ovens.conftest import Heard, hold, sleeper, status
from tests.processes import wait_until
from worker.hand import Hand, Note
from worker.warden import Warden


@pytest.fixture
def warden(engine, tmp_path):
    now = utc_now()
    row = Worker("h/cpu0", "h", "cpu", 1, "ready", {"fake": 1}, None, None, now, now)
    transaction(engine, lambda conn: put_worker(conn, row))
    hand = Hand(tmp_path / "run", "cpu0")
    settings = Inference(lease_seconds=2.0)
    heard = Heard()
    made = Warden(name="h/cpu0", engine=engine, hand=hand, signals=heard, settings=settings, beat_seconds=0.1)  # type: ignore[arg-type]
    yield made, hand, heard
    made.stop()


def test_the_warden_sends_a_dead_childs_rows_back_and_suspects_those_in_hand(engine, warden):
    made, hand, heard = warden
    child = sleeper()
    ids = hold(engine, child.pid, "a", "b", "c")
    made.start()
    hand.take(child.pid, "fake", ids[:2], seconds=60)
    wait_until(lambda: made._child == child.pid, what="the warden to follow the child")
    child.kill()
    child.wait()
    wait_until(lambda: status(engine, ids[0])[0] == "queued", what="the rows to come back", seconds=10)
    assert [status(engine, i) for i in ids] == [("queued", 1), ("queued", 1), ("queued", None)]
    wait_until(lambda: ("wake", "fake") in heard.said, what="a wake", seconds=5)
    with reading(engine) as conn:
        (row,) = list_workers(conn)
    assert (row.state, row.warm) == ("starting", {})


@pytest.fixture
def thousand_open_files():
    """More than select() can count to."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    with contextlib.ExitStack() as files:
        for _ in range(1100):
            files.enter_context(Path(os.devnull).open())
        yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("thousand_open_files")
def test_a_process_with_a_thousand_open_files_has_a_warden_too(engine, warden):
    made, hand, _ = warden
    child = sleeper()
    (job_id,) = hold(engine, child.pid, "a")
    made.start()
    hand.take(child.pid, "fake", [job_id], seconds=60)
    wait_until(lambda: made._child == child.pid, what="the warden to follow the child")
    child.kill()
    child.wait()
    wait_until(lambda: status(engine, job_id)[0] == "queued", what="the row to come back", seconds=10)


def test_the_warden_renews_the_lease_of_a_living_child(engine, warden):
    made, hand, _ = warden
    child = sleeper()
    (job_id,) = hold(engine, child.pid, "a")
    made.start()
    hand.take(child.pid, "fake", [job_id], seconds=60)
    later = utc_now() + timedelta(seconds=3)

    def renewed() -> bool:
        with engine.connect() as conn:
            until = conn.scalar(sa.text("SELECT lease_until FROM jobs"))
        return str(until) > str(later.replace(tzinfo=None))

    wait_until(renewed, what="a renewed lease", seconds=10)
    assert status(engine, job_id)[0] == "running"
    child.kill()
    child.wait()


def test_the_warden_kills_a_child_that_hangs(engine, warden):
    made, hand, _ = warden
    child = sleeper()
    (job_id,) = hold(engine, child.pid, "a")
    made.start()
    hand.take(child.pid, "fake", [job_id], seconds=0.2)
    assert child.wait(timeout=10) == -signal.SIGKILL
    wait_until(lambda: status(engine, job_id) == ("queued", 1), what="the row to come back", seconds=10)


def test_a_start_sends_back_what_an_earlier_life_held(engine, warden):
    made, hand, _ = warden
    child = sleeper()
    ids = hold(engine, child.pid, "a", "b")
    child.kill()
    child.wait()
    hand.take(child.pid, "fake", ids[:1], seconds=60)
    made.start()
    assert [status(engine, i) for i in ids] == [("queued", 1), ("queued", None)]


def test_rows_of_a_child_that_was_made_to_stop_are_no_suspects(engine, warden):
    made, hand, _ = warden
    child = sleeper()
    ids = hold(engine, child.pid, "a", "b")
    hand.take(child.pid, "fake", ids[:1], seconds=60)
    made.ask_child_to_stop()
    child.kill()
    child.wait()
    made.start()
    assert [status(engine, i) for i in ids] == [("queued", None), ("queued", None)]
    assert not hand.should_stop()


def test_the_database_may_be_away_for_a_while(engine, warden, monkeypatch):
    made, _hand, _ = warden
    failures = iter([True, True])
    beat = made._beat

    def flaky(note: Any) -> None:
        if next(failures, False):
            raise sa.exc.OperationalError("beat", {}, Exception("away"))
        beat(note)

    monkeypatch.setattr(made, "_beat", flaky)
    before = utc_now()
    made.start()

    def has_beaten() -> bool:
        with reading(engine) as conn:
            return list_workers(conn)[0].heartbeat_at > before

    wait_until(has_beaten, what="a heartbeat after two failures", seconds=15)


@pytest.mark.parametrize(
    ("rows", "kills", "told"), [(2, 1, 4096), (1, 1, 0), (2, 0, 0)], ids=["for memory", "one row alone", "otherwise"]
)
def test_whom_the_kernel_killed_for_want_of_memory_is_told_to_the_next(
    engine, warden, monkeypatch, rows, kills, told
):
    made, hand, _ = warden
    killed = [3]
    monkeypatch.setattr("worker.warden.kills", lambda: killed[0])
    child = sleeper()
    ids = hold(engine, child.pid, *"abc"[:rows])
    made.start()
    hand.take(child.pid, "fake", ids, seconds=60, tokens=4096)
    wait_until(lambda: made._child == child.pid, what="the warden to follow the child")
    killed[0] += kills
    child.kill()
    child.wait()
    wait_until(lambda: status(engine, ids[0])[0] == "queued", what="the rows to come back", seconds=10)
    assert hand.killed_with("other") == 0
    assert hand.killed_with("fake") == told
    assert hand.killed_with("fake") == 0


def test_the_next_child_bakes_half_of_what_the_last_was_killed_with(house):
    house.hand.note_killed(Note(1, "fake", ("a", "b"), tokens=64))
    house.oven.warm_up()
    assert house.oven._board.budgets.of("fake").tokens == 32
