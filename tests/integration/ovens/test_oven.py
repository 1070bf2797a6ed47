"""The oven on a real database with the fake backend: claims, lanes, people, slices, isolation, recording."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from contract.errors import CheckpointError, ErrorCode
from contract.pipelines import PipelineSpec
from contract.statuses import BatchStatus, JobStatus, PipelineState, Priority
from contract.times import utc_now
from models.batches import find_batch
from models.database import reading, transaction
from models.pipelines import set_state, sync_pipelines
from models.sweeps import cancel
from models.workers import Worker, list_workers, put_worker
from tests.integration.ovens.conftest import House, status
from tests.integration.ovens.test_once import put_batch
from worker import oven as oven_module
from worker import shelf as shelf_module
from worker import trays as trays_module
from worker.backends.fake import FakeBackend, FakePipeline


def test_what_waits_is_baked_and_recorded(house):
    ids = [house.put(text) for text in ("hello", "yes")]
    house.oven.serve("fake")
    jobs = [house.job(i) for i in ids]
    assert [job.result[0]["label"] for job in jobs] == ["odd", "odd"]
    assert all(job.status is JobStatus.SUCCEEDED and job.attempts == 1 for job in jobs)
    assert jobs[0].model == {"id": "fake", "commit": "fake", "dtype": "none", "backend": "fake"}
    assert house.heard.said[0] == ("awake", "fake")
    assert ("changed", sorted(ids)) in house.heard.said


def test_the_hand_is_empty_when_nothing_waits(house):
    house.oven.serve("fake")
    note = house.hand.read()
    assert note is not None
    assert (note.pid, note.rows, note.deadline) == (os.getpid(), (), None)


def test_rows_with_other_parameters_do_not_share_a_pass(house):
    one, two = house.put("hello", parameters={"top_k": 1}), house.put("hello")
    house.oven.serve("fake")
    assert len(house.job(one).result) == 1
    assert len(house.job(two).result) == 2


def test_a_row_that_raises_fails_alone(house):
    ids = [house.put(text) for text in ("a", "raise", "b", "oom", "reject", "c")]
    house.oven.serve("fake")
    codes = [house.job(i).error_code for i in ids]
    assert codes == [None, "inference_failed", None, "out_of_memory", "input_rejected", None]


def test_people_go_before_files_between_microbatches(house_of):
    house = house_of(token_budget=16)
    rows = [house.put(f"sleep:0.01 {n}", priority=Priority.BULK) for n in range(40)]
    finished: list[str] = []
    arrived: list[str] = []
    record = house.oven._recorder.record

    def spy(claimed: Any, *rest: Any, **more: Any) -> None:
        record(claimed, *rest, **more)
        finished.extend(row.id for row in claimed)
        if not arrived:
            arrived.append(house.put("somebody", pipeline="other"))

    house.oven._recorder.record = spy
    house.oven.serve("fake")
    assert finished.index(arrived[0]) <= 16
    assert set(finished) == {*rows, *arrived}


def test_a_slice_ends_for_another_pipeline_and_the_rest_goes_back_untouched(house_of):
    house = house_of(slice_seconds=0.1, token_budget=16)
    house.put("later", pipeline="other", priority=Priority.BULK)
    ids = [house.put(f"sleep:0.05 {n}", priority=Priority.BULK) for n in range(30)]
    house.oven.serve("fake")
    jobs = [house.job(i) for i in ids]
    left = [job for job in jobs if job.status is JobStatus.QUEUED]
    assert left
    assert {job.attempts for job in left} == {0}
    assert house.heard.said[-1] == ("wake", "fake")


@pytest.mark.parametrize("other_is_warm", [True, False])
def test_people_do_not_wait_for_a_slice_of_other_people_where_both_pipelines_are_warm(house, other_is_warm):
    if other_is_warm:
        house.put("warm", pipeline="other")
        house.oven.serve("other")
    record, order = house.oven._recorder.record, []

    def spy(claimed: Any, *rest: Any, **more: Any) -> None:
        record(claimed, *rest, **more)
        order.extend(row.pipeline for row in claimed)
        if len(order) < 40:
            house.put(f"sleep:0.02 {len(order)}")

    house.put("sleep:0.02 first")
    house.put("somebody", pipeline="other")
    house.oven._recorder.record = spy
    house.oven.serve("fake")
    assert ("other" in order) == other_is_warm
    assert len(order) >= 40


def test_a_slice_goes_on_where_nobody_else_waits(house_of):
    house = house_of(slice_seconds=0.2, token_budget=16)
    ids = [house.put(f"sleep:0.05 {n}", priority=Priority.BULK) for n in range(8)]
    house.oven.serve("fake")
    assert {house.job(i).status for i in ids} == {JobStatus.SUCCEEDED}


def test_no_slice_goes_on_for_ever(house_of):
    house = house_of(slice_seconds=0.1, token_budget=16)
    ids = [house.put(f"sleep:0.1 {n}", priority=Priority.BULK) for n in range(30)]
    house.oven.serve("fake")
    assert any(house.job(i).status is JobStatus.QUEUED for i in ids)
    assert house.heard.said[-1] == ("wake", "fake")


def test_a_file_of_rows_that_sleep_is_recorded_as_it_goes(house):
    for n in range(12):
        house.put(f"sleep:0.05 {n}", priority=Priority.BULK)
    recorded: list[int] = []
    record = house.oven._recorder.record

    def spy(claimed: Any, *rest: Any, **more: Any) -> None:
        record(claimed, *rest, **more)
        recorded.append(len(claimed))

    house.oven._recorder.record = spy
    house.oven.serve("fake")
    assert sum(recorded) == 12
    assert max(recorded) <= 10


def test_a_request_to_stop_is_heard(house):
    job_id = house.put("hello")
    house.hand.ask_to_stop()
    house.oven.serve("fake")
    assert house.job(job_id).status is JobStatus.QUEUED


def test_a_full_claim_calls_for_others(house_of):
    house = house_of(claim_rows=2)
    for n in range(3):
        house.put(str(n))
    house.oven.serve("fake")
    assert ("wake", "fake") in house.heard.said


def test_a_row_canceled_in_hand_stays_canceled(house_of, monkeypatch):
    house = house_of(token_budget=1)
    first, second = house.put("a"), house.put("b c")
    bake = FakePipeline.bake

    def cancel_meanwhile(*args: Any) -> Any:
        transaction(house.engine, lambda conn: cancel(conn, second, now=utc_now()))
        return bake(*args)

    monkeypatch.setattr(FakePipeline, "bake", cancel_meanwhile)
    house.oven.serve("fake")
    assert house.job(first).status is JobStatus.SUCCEEDED
    assert house.job(second).status is JobStatus.CANCELED


def test_a_late_job_is_not_begun(house):
    job_id = house.put("late", expires_at=utc_now() - timedelta(seconds=1))
    house.oven.serve("fake")
    assert (house.job(job_id).status, house.job(job_id).attempts) == (JobStatus.QUEUED, 0)


def test_a_paused_pipeline_keeps_its_jobs_in_line(house):
    job_id = house.put("hello")
    transaction(house.engine, lambda conn: set_state(conn, "fake", PipelineState.PAUSED, reason=None, now=utc_now()))
    house.oven.serve("fake")
    assert house.job(job_id).status is JobStatus.QUEUED


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (CheckpointError(ErrorCode.CHECKPOINT_MISSING, "Install it."), "Install it."),
        (MemoryError(), "do not fit"),
        (RuntimeError("/secret/path"), "log says why"),
    ],
)
def test_a_pipeline_that_does_not_load_is_marked_and_its_jobs_wait(house, monkeypatch, error, words):
    class Broken(FakeBackend):
        def load(self, *args: Any, **kwargs: Any) -> Any:
            raise error

    monkeypatch.setattr(shelf_module, "backend_for", lambda _: Broken())
    job_id = house.put("hello")
    house.oven.serve("fake")
    stored = house.pipeline("fake")
    assert stored.state is PipelineState.BROKEN
    assert words in (stored.reason or "")
    assert "secret" not in (stored.reason or "")
    assert house.job(job_id).status is JobStatus.QUEUED
    assert house.job(job_id).attempts == 0


def test_the_budget_of_what_is_warm_is_shown_before_anybody_asks_for_it(house):
    now = utc_now()
    slot = Worker("h/cpu0", "h", "cpu", 1, "starting", {}, None, None, started_at=now, heartbeat_at=now)
    transaction(house.engine, lambda conn: put_worker(conn, slot))
    house.oven.warm_up()
    with reading(house.engine) as conn:
        [shown] = list_workers(conn)
    assert shown.tally["fake"]["budget"] == 1024
    assert shown.tally["fake"]["rows"] == 0


def test_warm_up_loads_what_is_to_be_warm(house):
    house.oven.warm_up()
    assert set(house.oven._shelf.sizes()) == {"fake"}
    assert house.pipeline("fake").model is not None


def test_a_row_whose_preparation_breaks_is_refused_alone(house, monkeypatch):
    class Picky:
        def prepare(self, rows: Any, parameters: Any) -> Any:
            if any("bad" in row["text"] for row in rows):
                raise ValueError("/secret")
            return [row["text"] for row in rows]

    claimed = [type("Row", (), {"inputs": {"text": text}, "id": text}) for text in ("a", "bad", "c")]
    inputs = [row.inputs for row in claimed]
    answers = trays_module._prepare(Picky(), claimed, inputs, {})  # type: ignore[arg-type]
    assert answers[0] == "a"
    assert answers[1].code is ErrorCode.INPUT_REJECTED
    assert answers[2] == "c"


def break_recording(house: House, error: Exception) -> None:
    def broken(*_: Any) -> None:
        raise error

    house.oven._recorder.record = broken  # type: ignore[method-assign]


def test_a_failing_database_costs_nobody_an_attempt(house):
    ids = [house.put(text) for text in ("a", "b")]
    break_recording(house, sa.exc.OperationalError("record", {}, Exception("away")))
    house.oven.serve("fake")
    assert [status(house.engine, i) for i in ids] == [("queued", None), ("queued", None)]
    assert {house.job(i).attempts for i in ids} == {0}


@pytest.mark.parametrize("error", [ValueError("a bug"), MemoryError()])
def test_a_slice_that_breaks_leaves_suspects_and_reaches_nobody(house, error):
    ids = [house.put(text) for text in ("a", "b")]
    break_recording(house, error)
    house.oven.serve("fake")
    assert [status(house.engine, i) for i in ids] == [("queued", 1), ("queued", 1)]
    note = house.hand.read()
    assert note is not None
    assert note.rows == ()


def test_a_row_that_breaks_every_slice_fails_in_the_end(house):
    job_id = house.put("a")
    break_recording(house, ValueError("a bug"))
    for _ in range(4):
        house.oven.serve("fake")
    assert house.job(job_id).error_code == "worker_lost"


def test_a_row_that_breaks_every_slice_before_it_is_prepared_fails_alone(house, monkeypatch):
    broken, well = house.put("broken"), house.put("well")
    lanes = trays_module._lanes

    def breaks(spec: Any, model: Any, rows: Any, *more: Any) -> Any:
        assert broken not in [row.id for row in rows], "a bug"
        return lanes(spec, model, rows, *more)

    monkeypatch.setattr(trays_module, "_lanes", breaks)
    for _ in range(6):
        house.oven.serve("fake")
    assert house.job(broken).error_code == "worker_lost"
    assert house.job(well).status is JobStatus.SUCCEEDED


def away(*_: Any, **__: Any) -> None:
    raise sa.exc.OperationalError("any", {}, Exception("away"))


@pytest.mark.parametrize("step", ["its size is shown", "it is noted"])
def test_a_database_that_goes_away_during_a_load_breaks_no_pipeline(house, monkeypatch, step):
    shelf, loader = house.oven._shelf, house.oven._loader
    with monkeypatch.context() as gone:
        if step == "its size is shown":
            gone.setattr(shelf, "_changed", away)
        else:
            gone.setattr("worker.loader.note_loaded", away)
        job_id = house.put("a")
        house.oven.serve("fake")
    assert house.pipeline("fake").state is PipelineState.ACTIVE
    assert status(house.engine, job_id) == ("queued", None)
    house.oven.serve("fake")
    assert house.job(job_id).status is JobStatus.SUCCEEDED
    assert house.pipeline("fake").model is not None
    assert "fake" in loader._budgets._open


class Gone(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("lost", ["device", "database"])
def test_a_process_that_cannot_go_on_ends(house, monkeypatch, lost):
    def end(code: int) -> None:
        raise Gone(code)

    monkeypatch.setattr(oven_module.os, "_exit", end)
    house.put("a")
    if lost == "device":
        break_recording(house, oven_module.DeviceLost())
    else:
        break_recording(house, sa.exc.OperationalError("record", {}, Exception("away")))
        monkeypatch.setattr(oven_module.sweeps, "reap_worker", away)
    with pytest.raises(Gone):
        house.oven.serve("fake")


def test_an_oven_that_rests_shows_what_it_counted_last(house, monkeypatch):
    shown: list[str] = []
    monkeypatch.setattr("worker.ledger.Ledger.show", lambda _self: shown.append("shown"))
    house.oven.rest()
    assert shown == ["shown"]


def now_for(house: House, task: str) -> None:
    sync_pipelines(house.engine, [PipelineSpec("fake", task, backend="fake")], utc_now())


def test_what_was_sent_for_another_task_than_the_pipelines_now_fails_and_the_rest_runs(house):
    old = house.put("hello", task="feature-extraction")
    new, unknown = house.put("hello", task="text-classification"), house.put("hello")
    row = put_batch(house, ["hello"], task="feature-extraction")[0]
    house.oven.serve("fake")
    assert [house.job(one).error_code for one in (old, row)] == ["pipeline_changed"] * 2
    assert house.job(old).error_message == (
        "This was sent for feature-extraction, and the pipeline 'fake' is for text-classification now. "
        "Send it again to a pipeline for feature-extraction."
    )
    assert [house.job(one).status for one in (new, unknown)] == [JobStatus.SUCCEEDED] * 2
    batch_id = house.job(row).batch_id
    with reading(house.engine) as conn:
        batch = find_batch(conn, batch_id or "")
    assert batch is not None
    assert batch.status is BatchStatus.COMPLETED


def test_rows_that_are_ahead_of_what_the_oven_knows_of_their_pipeline_wait(house, monkeypatch):
    """It read the pipeline, then the operator changed it, and a row for the new task came, all before its claim."""
    look = house.oven._called_for

    def then_changed(pipeline: str) -> PipelineSpec | None:
        found = look(pipeline)
        if "job" not in sent:
            now_for(house, "zero-shot-classification")
            sent["job"] = house.put("hello", task="zero-shot-classification")
        return found

    sent: dict[str, str] = {}
    house.put("first", task="text-classification")
    monkeypatch.setattr(house.oven, "_called_for", then_changed)
    house.oven.serve("fake")
    assert (house.job(sent["job"]).status, house.job(sent["job"]).attempts) == (JobStatus.QUEUED, 0)
    house.oven.serve("fake")
    assert house.job(sent["job"]).status is JobStatus.SUCCEEDED
