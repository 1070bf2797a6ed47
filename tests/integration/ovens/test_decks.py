"""Microbatches side by side: at once, each with its own fate, and none of them forgotten."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from contract.statuses import JobStatus, Priority
from tests.integration.ovens.conftest import House
from worker import baking, decks
from worker.backends.backend import Context, DeviceLost
from worker.backends.fake import FakePipeline

_SECONDS = 20.0


@pytest.fixture
def house(house_of: Any) -> House:
    """Two decks, and a microbatch for each row."""
    found: House = house_of(decks=2, token_budget=1)
    return found


@pytest.fixture
def meeting(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """No forward pass ends before another has begun; what share of the threads each was given."""
    both = threading.Barrier(2)
    shares: list[int] = []
    bake = FakePipeline.bake

    def meet(self: FakePipeline, rows: Any, parameters: Any, context: Context) -> Any:
        shares.append(context.share)
        both.wait(timeout=_SECONDS)
        return bake(self, rows, parameters, context)

    monkeypatch.setattr(FakePipeline, "bake", meet)
    return shares


def test_two_microbatches_bake_at_once(house: House, meeting: list[int]) -> None:
    ids = [house.put(f"row {n}") for n in range(6)]
    house.oven.serve("fake")
    assert {house.job(i).status for i in ids} == {JobStatus.SUCCEEDED}
    assert meeting == [2] * 6


def test_a_microbatch_alone_has_all_threads(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, threading.Thread]] = []
    bake = FakePipeline.bake

    def look(self: FakePipeline, rows: Any, parameters: Any, context: Context) -> Any:
        seen.append((context.share, threading.current_thread()))
        return bake(self, rows, parameters, context)

    monkeypatch.setattr(FakePipeline, "bake", look)
    house.put("alone")
    house.oven.serve("fake")
    assert seen == [(1, threading.main_thread())]


@pytest.mark.parametrize("count", [1, 2])
def test_a_microbatch_alone_is_a_measurement_only_where_all_are(
    house_of: Any, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """With the threads of both decks its tokens take half as long as those of a file."""
    house, noted = house_of(decks=count), list[bool]()
    monkeypatch.setattr(house.oven._ledger, "note", lambda _name, _tray, done: noted.append(done.typical))
    house.put("alone")
    house.oven.serve("fake")
    assert noted == [count == 1]


def test_what_breaks_on_one_deck_leaves_the_other_alone(house: House) -> None:
    ids = [house.put(text) for text in ("a", "raise", "b", "oom", "reject", "c")]
    house.oven.serve("fake")
    codes = [house.job(i).error_code for i in ids]
    assert codes == [None, "inference_failed", None, "out_of_memory", "input_rejected", None]


def test_the_hand_is_empty_when_all_is_baked(house: House, meeting: list[int]) -> None:
    for n in range(4):
        house.put(str(n))
    house.oven.serve("fake")
    note = house.hand.read()
    assert note is not None
    assert (note.rows, note.deadline) == ((), None)


def test_both_decks_stand_in_the_note(house: House, meeting: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [house.put(text) for text in ("one", "two")]
    notes: list[set[str]] = []
    take = house.hand.take

    def spy(*args: Any, **options: Any) -> None:
        take(*args, **options)
        note = house.hand.read()
        notes.append(set(note.rows if note else ()))

    monkeypatch.setattr(house.hand, "take", spy)
    house.oven.serve("fake")
    assert set(ids) in notes


def test_a_deck_that_breaks_down_leaves_suspects_and_the_other_records(
    house: House, meeting: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = house.put("good"), house.put("bad")
    bake = baking.Baker.bake

    def break_down(self: baking.Baker, rows: Sequence[baking.Dough]) -> Any:
        answers = bake(self, rows)
        if rows[0].job_id == bad:
            raise RuntimeError("a mistake of ours")
        return answers

    monkeypatch.setattr(baking.Baker, "bake", break_down)
    house.oven.serve("fake")
    assert house.job(good).status is JobStatus.SUCCEEDED
    assert (house.job(bad).status, house.job(bad).attempts) == (JobStatus.QUEUED, 1)


def test_a_device_lost_on_a_deck_ends_the_process(
    house: House, meeting: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Gone(BaseException):
        pass

    def gone(_code: int) -> None:
        raise Gone

    def lost(_self: Any, _rows: Any) -> None:
        raise DeviceLost

    for text in ("a", "b"):
        house.put(text)
    monkeypatch.setattr(decks.Baker, "bake", lost)
    monkeypatch.setattr("os._exit", gone)
    with pytest.raises(Gone):
        house.oven.serve("fake")


def test_people_go_before_files_on_every_deck(house: House) -> None:
    rows = [house.put(f"sleep:0.02 {n}", priority=Priority.BULK) for n in range(20)]
    finished: list[str] = []
    arrived: list[str] = []
    record = house.oven._recorder.record

    def spy(claimed: Any, *rest: Any, **more: Any) -> None:
        record(claimed, *rest, **more)
        finished.extend(row.id for row in claimed)
        if not arrived:
            arrived.append(house.put("somebody", pipeline="other"))

    house.oven._recorder.record = spy  # type: ignore[method-assign]
    house.oven.serve("fake")
    assert finished.index(arrived[0]) <= 8
    assert set(finished) == {*rows, *arrived}
