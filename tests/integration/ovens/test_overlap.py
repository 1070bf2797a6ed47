"""Stages overlap: while a microbatch bakes the next claim is made ready, and results of the last are written."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from contract.statuses import JobStatus
from tests.integration.ovens.conftest import House
from worker.backends.fake import FakePipeline

_SECONDS = 20.0


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[threading.Event]:
    """Set when the forward pass of that number begins."""
    begun = [threading.Event() for _ in range(8)]
    bake, count = FakePipeline.bake, iter(begun)

    def watched(*given: Any) -> Any:
        next(count).set()
        return bake(*given)

    monkeypatch.setattr(FakePipeline, "bake", watched)
    return begun


def test_the_next_claim_is_made_ready_while_the_last_microbatch_of_one_bakes(
    house_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    house: House = house_of(claim_rows=2)
    ids = [house.put(f"row {n}") for n in range(4)]
    bake, prepare = FakePipeline.bake, FakePipeline.prepare
    prepared, next_is_ready, waited = [], threading.Event(), []

    def watch_prepare(*given: Any) -> Any:
        prepared.append(threading.current_thread())
        if len(prepared) == 2:
            next_is_ready.set()
        return prepare(*given)

    def wait_for_the_next(*given: Any) -> Any:
        waited.append(next_is_ready.wait(_SECONDS))
        return bake(*given)

    monkeypatch.setattr(FakePipeline, "prepare", watch_prepare)
    monkeypatch.setattr(FakePipeline, "bake", wait_for_the_next)
    house.oven.serve("fake")
    assert waited == [True, True]
    assert {house.job(job_id).status for job_id in ids} == {JobStatus.SUCCEEDED}


def test_results_are_written_while_the_next_microbatch_bakes(house_of: Any, passes: list[threading.Event]) -> None:
    house: House = house_of(token_budget=1)
    ids = [house.put(f"row {n}") for n in range(3)]
    record, overlapped = house.oven._recorder.record, []

    def wait_for_the_next_pass(*given: Any, **more: Any) -> None:
        if len(overlapped) < len(ids) - 1:
            overlapped.append(passes[len(overlapped) + 1].wait(_SECONDS))
        record(*given, **more)

    house.oven._recorder.record = wait_for_the_next_pass  # type: ignore[method-assign]
    house.oven.serve("fake")
    assert overlapped == [True, True]
    assert {house.job(job_id).status for job_id in ids} == {JobStatus.SUCCEEDED}
