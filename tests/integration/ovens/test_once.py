"""Equal rows of a batch in a real oven: computed once, recorded each, whatever becomes of one of them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import sqlalchemy as sa

from contract.ids import new_id, new_ids
from contract.pipelines import PipelineSpec
from contract.statuses import BatchStatus, JobStatus, OnInvalidRows
from contract.times import utc_now
from models import batches, sweeps
from models.batches import BatchRow, Cursor, NewBatch
from models.database import reading, transaction
from models.files import add_file
from models.pipelines import sync_pipelines
from models.workers import Worker, list_workers, put_worker
from tests.integration.ovens.conftest import House
from worker.backends.backend import Context
from worker.backends.fake import FakePipeline


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that went through a forward pass."""
    seen: list[str] = []
    bake = FakePipeline.bake

    def spy(self: FakePipeline, rows: Any, parameters: Any, context: Context) -> Any:
        seen.extend(row.payload for row in rows)
        return bake(self, rows, parameters, context)

    monkeypatch.setattr(FakePipeline, "bake", spy)
    return seen


def put_batch(house: House, texts: list[str], **more: Any) -> list[str]:
    """A batch of one row a text, all of them in the queue; their ids in the order of its file."""
    file_id, ids, now = new_id(), new_ids(len(texts)), utc_now()
    new = NewBatch("fake", "rows.csv", file_id, {}, {"text": "text"}, OnInvalidRows.SKIP, **more)

    def work(conn: sa.Connection) -> None:
        add_file(conn, file_id=file_id, name="rows.csv", content_type="text/csv", size=3, now=now)
        batch = batches.find_batch(conn, batches.create_batch(conn, new, now=now))
        assert batch is not None
        changes = {"status": BatchStatus.RUNNING.value, "started_at": now, "ingested": True, "total": len(texts)}
        assert batches.advance(conn, batch, Cursor("insert", 1, 1, len(texts)), **changes)
        rows = [BatchRow(job, n, n + 2, None, {"text": texts[n]}, {}) for n, job in enumerate(ids)]
        batches.add_rows(conn, batch, rows, now=now)

    transaction(house.engine, work)
    return ids


def even_or_odd(text: str) -> str:
    return "even" if len(text) % 2 == 0 else "odd"


@pytest.mark.parametrize("decks", [1, 2])
@pytest.mark.parametrize("claim_rows", [3, 50])
def test_each_different_row_is_computed_once_and_every_row_has_its_answer(house_of, passes, decks, claim_rows):
    house = house_of(decks=decks, claim_rows=claim_rows, token_budget=2)
    texts = [f"{'x' * (n % 7)} row" for n in range(60)]
    ids = put_batch(house, texts)
    house.oven.serve("fake")
    jobs = [house.job(job_id) for job_id in ids]
    assert [job.result[0]["label"] for job in jobs] == [even_or_odd(text) for text in texts]
    assert {job.attempts for job in jobs} == {1}
    assert Counter(passes) == dict.fromkeys(texts, 1)


def test_what_was_spared_is_counted_and_takes_no_time_of_its_own(house_of, passes):
    house, now = house_of(claim_rows=4), utc_now()
    row = Worker("h/cpu0", "h", "cpu", 1, "ready", {}, None, None, started_at=now, heartbeat_at=now)
    transaction(house.engine, lambda conn: put_worker(conn, row))
    ids = put_batch(house, ["same"] * 8)
    house.oven.serve("fake")
    house.oven._ledger._shown_at = float("-inf")
    house.oven._ledger.show()
    with reading(house.engine) as conn:
        (worker,) = list_workers(conn)
    assert worker.tally is not None
    assert (worker.tally["fake"]["rows"], worker.tally["fake"]["spared"]) == (1, 7)
    assert house.job(ids[-1]).inference_seconds == 0.0


def test_the_batch_ends_when_its_last_row_was_spared(house_of, passes):
    house = house_of(claim_rows=4)
    ids = put_batch(house, ["same"] * 8)
    house.oven.serve("fake")
    batch_id = house.job(ids[0]).batch_id
    assert batch_id is not None
    with reading(house.engine) as conn:
        batch = batches.find_batch(conn, batch_id)
    assert batch is not None
    assert batch.status is BatchStatus.COMPLETED


def test_equal_rows_of_two_batches_are_computed_twice(house_of, passes):
    house = house_of()
    for _ in range(2):
        put_batch(house, ["same"] * 3)
    house.oven.serve("fake")
    assert passes == ["same", "same"]


def test_once_false_computes_every_row(house_of, passes):
    house = house_of()
    spec = PipelineSpec("fake", "text-classification", backend="fake", once=False)
    sync_pipelines(house.engine, [spec], utc_now())
    put_batch(house, ["same"] * 3)
    house.oven.serve("fake")
    assert passes == ["same"] * 3


def test_a_row_that_is_refused_is_refused_with_every_equal_one(house_of, passes):
    house = house_of()
    ids = put_batch(house, ["reject", "good", "reject"])
    house.oven.serve("fake")
    assert [house.job(i).error_code for i in ids] == ["input_rejected", None, "input_rejected"]


def test_a_failure_that_may_pass_is_given_to_nobody_else(house_of, monkeypatch):
    house, bake = house_of(), FakePipeline.bake
    broken: list[str] = []

    def breaks_twice(self: FakePipeline, rows: Any, parameters: Any, context: Context) -> Any:
        if len(broken) < 2 and any(row.payload == "same" for row in rows):
            broken.extend(context.job_ids[:1])
            raise RuntimeError
        return bake(self, rows, parameters, context)

    monkeypatch.setattr(FakePipeline, "bake", breaks_twice)
    ids = put_batch(house, ["same", "other", "same", "same"])
    house.oven.serve("fake")
    assert [house.job(i).error_code for i in ids] == ["inference_failed", None, None, None]


def test_canceling_the_row_that_is_computed_leaves_the_others_their_answer(house_of, monkeypatch):
    house, bake = house_of(), FakePipeline.bake
    ids = put_batch(house, ["same"] * 3)

    def cancel_first(self: FakePipeline, rows: Any, parameters: Any, context: Context) -> Any:
        transaction(house.engine, lambda conn: sweeps.cancel(conn, ids[0], now=utc_now()))
        assert context.wanted(context.job_ids) == set(context.job_ids)
        return bake(self, rows, parameters, context)

    monkeypatch.setattr(FakePipeline, "bake", cancel_first)
    house.oven.serve("fake")
    assert [house.job(i).status for i in ids] == [JobStatus.CANCELED, JobStatus.SUCCEEDED, JobStatus.SUCCEEDED]


def test_an_early_answer_is_everybody_s_who_asked(house_of, monkeypatch):
    house, bake = house_of(), FakePipeline.bake
    ids = put_batch(house, ["same", "same", "other one"])

    def early(self: FakePipeline, rows: Any, parameters: Any, context: Context) -> Any:
        answers = bake(self, rows, parameters, context)
        context.publish(context.job_ids[0], "word")
        context.done(context.job_ids[0], answers[0])
        return answers

    monkeypatch.setattr(FakePipeline, "bake", early)
    house.oven.serve("fake")
    assert [house.job(i).status for i in ids] == [JobStatus.SUCCEEDED] * 3
    assert [told for what, told in house.heard.said if what == "wrote"] == [(one, "word", True) for one in ids[:2]]


def test_the_note_names_every_row_that_is_in_hand(house_of, monkeypatch):
    house, bake = house_of(), FakePipeline.bake
    ids, seen = put_batch(house, ["same"] * 3), []

    def look(self: FakePipeline, rows: Any, parameters: Any, context: Context) -> Any:
        note = house.hand.read()
        seen.append(set(note.rows) if note else set())
        return bake(self, rows, parameters, context)

    monkeypatch.setattr(FakePipeline, "bake", look)
    house.oven.serve("fake")
    assert seen == [set(ids)]
