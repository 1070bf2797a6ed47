"""A row that is over before its microbatch: recorded at once, and only once."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest
import sqlalchemy as sa

from contract.errors import ErrorCode
from contract.statuses import JobStatus
from models import claims
from tests.integration.ovens.conftest import House
from worker.backends.backend import Context
from worker.backends.fake import FakePipeline

_SECONDS = 20.0


def until(true: Callable[[], bool]) -> None:
    ends = time.monotonic() + _SECONDS
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.005)


@pytest.fixture
def hand_in_first(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[str], None]]:
    """Every microbatch hands its first row in, and then does what the test appends."""
    then: list[Callable[[str], None]] = []
    bake = FakePipeline.bake

    def write(self: FakePipeline, rows: Any, parameters: Any, context: Context) -> Any:
        answers = bake(self, rows, parameters, context)
        if len(rows) > 1:
            context.done(context.job_ids[0], answers[0])
            then[0](context.job_ids[0])
        return answers

    monkeypatch.setattr(FakePipeline, "bake", write)
    return then


def test_its_caller_has_it_while_the_others_are_written(house: House, hand_in_first: Any) -> None:
    hand_in_first.append(lambda job_id: until(lambda: house.job(job_id).status is JobStatus.SUCCEEDED))
    ids = [house.put(f"row {n}") for n in range(3)]
    house.oven.serve("fake")
    assert [house.job(job_id).status for job_id in ids] == [JobStatus.SUCCEEDED] * 3
    told = [job_id for what, told in house.heard.said if what == "changed" for job_id in told]
    assert sorted(told) == sorted(ids)


def test_it_stays_when_its_microbatch_breaks_afterwards(house: House, hand_in_first: Any) -> None:
    def break_down(job_id: str) -> None:
        until(lambda: house.job(job_id).status is JobStatus.SUCCEEDED)
        finished.append(house.job(job_id))
        raise RuntimeError

    finished: list[Any] = []
    hand_in_first.append(break_down)
    ids = [house.put(f"row {n}") for n in range(4)]
    house.oven.serve("fake")
    assert [house.job(job_id).status for job_id in ids] == [JobStatus.SUCCEEDED] * 4
    assert [house.job(job.id) for job in finished] == finished


def test_a_result_that_is_not_a_number_is_no_result_early_either(house: House, monkeypatch: Any) -> None:
    bake = FakePipeline.bake

    def write(self: FakePipeline, rows: Any, parameters: Any, context: Context) -> Any:
        context.done(context.job_ids[0], [{"label": "even", "score": float("nan")}])
        return bake(self, rows, parameters, context)

    monkeypatch.setattr(FakePipeline, "bake", write)
    ids = [house.put(f"row {n}") for n in range(2)]
    house.oven.serve("fake")
    first = house.job(ids[0])
    assert first.status is JobStatus.FAILED
    assert first.error_code == ErrorCode.RESULT_NOT_FINITE
    assert house.job(ids[1]).status is JobStatus.SUCCEEDED


@pytest.mark.parametrize("asks", ["done", "wanted"])
def test_a_database_that_goes_away_meanwhile_fails_nobody(house: House, monkeypatch: Any, asks: str) -> None:
    away = sa.exc.OperationalError("any", {}, Exception("away"))

    def write(self: FakePipeline, rows: Any, parameters: Any, context: Context) -> Any:
        answers = bake(self, rows, parameters, context)
        if len(rows) > 1:
            broken.append(asks)
            if asks == "done":
                house.oven._recorder._behind.append(failed(away))
                context.done(context.job_ids[0], answers[0])
            context.wanted(context.job_ids)
        return answers

    def still_mine(conn: Any, rows: Any) -> Any:
        if asks == "wanted" and broken:
            raise away
        return look(conn, rows)

    broken: list[str] = []
    bake, look = FakePipeline.bake, claims.still_mine
    monkeypatch.setattr(FakePipeline, "bake", write)
    monkeypatch.setattr(claims, "still_mine", still_mine)
    monkeypatch.setattr(house.oven._recorder, "is_free", lambda: True)
    monkeypatch.setattr("worker.recorder._MOST_BEHIND", 1)
    ids = [house.put(f"row {n}") for n in range(4)]
    house.oven.serve("fake")
    assert [(house.job(one).status, house.job(one).attempts) for one in ids] == [(JobStatus.QUEUED, 0)] * 4
    assert broken == [asks]


def failed(error: Exception) -> Future[None]:
    """A microbatch of before that could not be recorded."""
    future: Future[None] = Future()
    future.set_exception(error)
    return future
