"""Recording beside the next microbatch: in order, not far behind, and no error is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from contract.errors import ErrorCode, InputError
from contract.pipelines import PipelineSpec
from contract.statuses import JobStatus
from contract.times import utc_now
from models.claims import Claimed, claim
from models.database import reading, transaction
from models.jobs import find_job
from models.pipelines import sync_pipelines
from models.records import Timing
from models.submit import NewJob, submit
from models.sweeps import cancel
from tests.databases import engine_for, sqlite_database
from worker.backends.backend import Identity
from worker.recorder import Recorder

IDENTITY = Identity("m", "c", "float32", "fake")
TIMING = Timing(load=0.0, inference=0.1)
SECONDS = 20.0


class Heard:
    """Stands for worker.signals.Signals; `look` is asked what the table says when word goes out."""

    def __init__(self) -> None:
        self.said: list[tuple[list[str], Any]] = []
        self.look: Callable[[], Any] = lambda: None

    def changed(self, ids: Any) -> None:
        self.said.append((sorted(ids), self.look()))


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Engine]:
    with sqlite_database(tmp_path_factory.mktemp("recorder")) as url, engine_for(url) as found:
        sync_pipelines(found, [PipelineSpec("fake", "text-classification", backend="fake")], utc_now())
        yield found


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def recorder(engine: sa.Engine, heard: Heard) -> Recorder:
    return Recorder(engine, heard)  # type: ignore[arg-type]


def claimed(engine: sa.Engine, count: int) -> list[Claimed]:
    def work(conn: sa.Connection) -> list[Claimed]:
        for n in range(count):
            submit(conn, NewJob("fake", {"text": str(n)}, {}), now=utc_now())
        return claim(conn, "fake", limit=count, worker="w", lease=timedelta(seconds=60), now=utc_now())

    rows = transaction(engine, work)
    assert len(rows) == count
    return rows


def statuses(engine: sa.Engine, rows: list[Claimed]) -> list[JobStatus | None]:
    with reading(engine) as conn:
        return [job.status if (job := find_job(conn, row.id)) else None for row in rows]


class Desk:
    """Takes the place of `record`: writes down which microbatch it was given, once its gate is open."""

    def __init__(self, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, *, fails: tuple[int, ...] = ()) -> None:
        self.gate = threading.Event()
        self.written: list[int] = []
        self._fails = fails
        self._recorder = recorder
        monkeypatch.setattr(recorder, "record", self._record)

    def _record(self, rows: Any, answers: Any, identity: Identity, timing: Timing, **_: Any) -> None:
        assert self.gate.wait(SECONDS)
        (number,) = answers
        if number in self._fails:
            raise LookupError(number)
        self.written.append(number)

    def hand_in(self, number: int) -> None:
        self._recorder.record_later([], [number], IDENTITY, TIMING)


def test_a_microbatch_is_recorded_whole_results_and_errors(engine, recorder):
    good, bad = rows = claimed(engine, 2)
    error = InputError(ErrorCode.INFERENCE_FAILED, "The model failed on this input.")
    recorder.record(rows, [{"label": "x"}, error], IDENTITY, TIMING)
    with reading(engine) as conn:
        first, second = find_job(conn, good.id), find_job(conn, bad.id)
    assert first is not None
    assert second is not None
    assert (first.status, first.result) == (JobStatus.SUCCEEDED, {"label": "x"})
    assert first.model == {"id": "m", "commit": "c", "dtype": "float32", "backend": "fake"}
    assert (second.status, second.error_code) == (JobStatus.FAILED, "inference_failed")


def test_word_goes_out_after_the_commit(engine, recorder, heard):
    rows = claimed(engine, 2)
    heard.look = lambda: statuses(engine, rows)
    recorder.record(rows, ["a", "b"], IDENTITY, TIMING)
    assert heard.said == [(sorted(row.id for row in rows), [JobStatus.SUCCEEDED] * 2)]


def test_a_row_that_was_canceled_meanwhile_stays_canceled_and_its_neighbor_is_written(engine, recorder):
    rows = claimed(engine, 2)
    transaction(engine, lambda conn: cancel(conn, rows[0].id, now=utc_now()))
    recorder.record(rows, ["a", "b"], IDENTITY, TIMING)
    assert statuses(engine, rows) == [JobStatus.CANCELED, JobStatus.SUCCEEDED]


def test_what_is_recorded_later_is_there_when_all_is_settled(engine, recorder):
    rows = claimed(engine, 6)
    for row in rows:
        recorder.record_later([row], ["x"], IDENTITY, TIMING)
    recorder.settle()
    assert statuses(engine, rows) == [JobStatus.SUCCEEDED] * 6


def test_microbatches_are_recorded_in_the_order_they_came(recorder, monkeypatch):
    desk = Desk(recorder, monkeypatch)
    desk.gate.set()
    for number in range(20):
        desk.hand_in(number)
    recorder.settle()
    assert desk.written == list(range(20))


def test_baking_goes_on_while_two_are_written_and_waits_before_a_third(recorder, monkeypatch):
    desk = Desk(recorder, monkeypatch)
    for number in range(2):
        desk.hand_in(number)
    third = threading.Thread(target=desk.hand_in, args=[2])
    third.start()
    third.join(0.1)
    assert third.is_alive()
    assert desk.written == []
    desk.gate.set()
    third.join(SECONDS)
    recorder.settle()
    assert desk.written == [0, 1, 2]


def test_an_error_comes_out_when_all_is_settled(recorder, monkeypatch):
    desk = Desk(recorder, monkeypatch, fails=(0,))
    desk.hand_in(0)
    desk.gate.set()
    with pytest.raises(LookupError):
        recorder.settle()


def test_an_error_comes_out_before_many_more_are_baked(recorder, monkeypatch):
    desk = Desk(recorder, monkeypatch, fails=(0,))
    desk.gate.set()
    desk.hand_in(0)
    desk.hand_in(1)
    with pytest.raises(LookupError):
        desk.hand_in(2)


def test_one_that_fails_does_not_undo_its_neighbors(recorder, monkeypatch):
    desk = Desk(recorder, monkeypatch, fails=(1,))
    desk.gate.set()
    for number in range(3):
        desk.hand_in(number)
    with pytest.raises(LookupError):
        recorder.settle()
    recorder.abandon()
    assert desk.written == [0, 2]


def test_an_error_is_told_once(recorder, monkeypatch):
    desk = Desk(recorder, monkeypatch, fails=(0,))
    desk.gate.set()
    desk.hand_in(0)
    with pytest.raises(LookupError):
        recorder.settle()
    recorder.settle()
    desk.hand_in(1)
    recorder.settle()
    assert desk.written == [1]


def test_whoever_abandons_waits_for_what_is_being_written_and_hears_no_error(recorder, monkeypatch):
    desk = Desk(recorder, monkeypatch, fails=(0,))
    desk.hand_in(0)
    desk.hand_in(1)
    leaving = threading.Thread(target=recorder.abandon)
    leaving.start()
    leaving.join(0.1)
    assert leaving.is_alive()
    desk.gate.set()
    leaving.join(SECONDS)
    assert desk.written == [1]
    recorder.settle()


def test_decks_may_record_at_once(recorder, monkeypatch):
    desk = Desk(recorder, monkeypatch)
    desk.gate.set()
    decks = [threading.Thread(target=lambda d=d: [desk.hand_in(d * 50 + n) for n in range(50)]) for d in range(3)]
    for deck in decks:
        deck.start()
    for deck in decks:
        deck.join(SECONDS)
    recorder.settle()
    assert sorted(desk.written) == list(range(150))


def test_a_batch_is_named_once_and_its_rows_are_not(recorder, heard):
    """Whoever polls a batch wants one word a microbatch, not one a row."""
    rows = [
        Claimed(id=f"j{n}", pipeline="fake", fence=1, priority=1, batch_id=batch, inputs={}, parameters={},
                expires_at=None, max_group=None)
        for n, batch in enumerate(["b", "b", None])
    ]  # fmt: skip
    recorder.record(rows, ["x"] * 3, IDENTITY, TIMING)
    assert [ids for ids, _ in heard.said] == [["b", "j2"]]
