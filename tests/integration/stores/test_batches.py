"""Batches: counts that add up, an end that comes once, and a change of mind that keeps what is done."""

from __future__ import annotations

import dataclasses

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from contract.errors import ErrorCode
from contract.ids import new_id
from contract.statuses import BatchStatus, JobStatus
from models import batches, records, removal, sweeps
from models.batches import Batch, Cursor
from models.database import reading, transaction
from models.jobs import delete_job, list_batch_jobs
from models.outcomes import outcomes
from models.records import Failure, Success, Timing
from models.submit import NewJob, data_row, insert_jobs, job_row
from tests.integration.stores.conftest import NOW, found_batch

TIMING = Timing(load=0.0, inference=0.1)


def counted(engine: sa.Engine, batch: Batch) -> dict[str, int | None]:
    with reading(engine) as conn:
        found = batches.find_batch(conn, batch.id)
        assert found is not None
        return {key: value for key, value in batches.counts(conn, found).items() if value}


def bake(engine: sa.Engine, claim_rows, limit: int, *, failing: bool = False) -> None:
    rows = claim_rows(limit)
    if failing:
        bad = [Failure(r.id, r.fence, ErrorCode.INFERENCE_FAILED, "No.") for r in rows]
        transaction(engine, lambda conn: records.fail(conn, bad, timing=TIMING, now=NOW))
    else:
        good = [Success(r.id, r.fence, [{"label": "a", "score": 0.5}]) for r in rows]
        transaction(engine, lambda conn: records.finish(conn, good, model={"id": "m"}, timing=TIMING, now=NOW))


def close(engine: sa.Engine, batch: Batch) -> BatchStatus | None:
    return transaction(engine, lambda conn: batches.close_if_over(conn, batch.id, now=NOW))


def test_counts_add_up_while_it_runs(engine, batch_factory, claim_rows):
    batch = batch_factory(5)
    bake(engine, claim_rows, 2)
    bake(engine, claim_rows, 1, failing=True)
    claim_rows(1)
    assert counted(engine, batch) == {"total": 5, "queued": 1, "running": 1, "succeeded": 2, "failed": 1}


def test_a_batch_ends_once_when_its_last_row_is_over(engine, batch_factory, claim_rows):
    batch = batch_factory(2)
    bake(engine, claim_rows, 1)
    assert close(engine, batch) is None
    bake(engine, claim_rows, 1)
    assert close(engine, batch) is BatchStatus.COMPLETED
    assert close(engine, batch) is None
    assert counted(engine, batch) == {"total": 2, "succeeded": 2}


def test_a_batch_whose_file_is_still_being_read_does_not_end(engine, batch_factory, claim_rows):
    batch = batch_factory(1, ingested=False)
    bake(engine, claim_rows, 1)
    assert close(engine, batch) is None


def test_cancel_keeps_what_is_done(engine, batch_factory, claim_rows):
    batch = batch_factory(5)
    bake(engine, claim_rows, 2)
    held = claim_rows(1)
    assert transaction(engine, lambda conn: batches.begin_cancel(conn, batch.id))
    assert not transaction(engine, lambda conn: batches.begin_cancel(conn, batch.id))
    while transaction(engine, lambda conn: sweeps.cancel_batch_rows(conn, batch.id, limit=2, now=NOW)):
        pass
    assert close(engine, batch) is BatchStatus.CANCELED
    assert counted(engine, batch) == {"total": 5, "succeeded": 2, "canceled": 3}
    late = [Success(held[0].id, held[0].fence, [])]
    assert not transaction(engine, lambda conn: records.finish(conn, late, model={"id": "m"}, timing=TIMING, now=NOW))


def test_retry_runs_only_what_did_not_succeed_into_the_same_batch(engine, batch_factory, claim_rows):
    batch = batch_factory(3)
    bake(engine, claim_rows, 2)
    bake(engine, claim_rows, 1, failing=True)
    close(engine, batch)
    over = found_batch(engine, batch.id)
    assert transaction(engine, lambda conn: batches.retry(conn, over, now=NOW)) == 1
    assert found_batch(engine, batch.id).status is BatchStatus.RUNNING
    bake(engine, claim_rows, 5)
    assert close(engine, batch) is BatchStatus.COMPLETED
    with reading(engine) as conn:
        attempts = [job.attempts for job in list_batch_jobs(conn, batch.id, limit=10).items]
    assert attempts == [1, 1, 2]
    assert counted(engine, batch) == {"total": 3, "succeeded": 3}


def test_a_second_retry_at_once_does_not_set_the_reading_back(engine, batch_factory, claim_rows):
    batch = batch_factory(2, ingested=False)
    transaction(engine, lambda conn: batches.begin_cancel(conn, batch.id))
    transaction(engine, lambda conn: sweeps.cancel_batch_rows(conn, batch.id, limit=10, now=NOW))
    close(engine, batch)
    canceled = found_batch(engine, batch.id)
    assert transaction(engine, lambda conn: batches.retry(conn, canceled, now=NOW)) == 2
    reader = found_batch(engine, batch.id)
    assert transaction(engine, lambda conn: batches.advance(conn, reader, Cursor("insert", 99, 9, 9)))
    # Both looked at the batch before either wrote.
    assert transaction(engine, lambda conn: batches.retry(conn, canceled, now=NOW)) == 0
    assert found_batch(engine, batch.id).cursor.row == 9


def test_a_running_batch_is_not_retried_and_not_deleted(engine, batch_factory):
    batch = batch_factory(1)
    assert transaction(engine, lambda conn: batches.retry(conn, batch, now=NOW)) == 0
    assert transaction(engine, lambda conn: removal.delete_batch(conn, batch, now=NOW)) is None


def test_only_one_of_two_readers_moves_on(engine, batch_factory):
    batch = batch_factory(1, ingested=False)
    step = Cursor("insert", 99, 9, 9)
    assert transaction(engine, lambda conn: batches.advance(conn, batch, step))
    assert not transaction(engine, lambda conn: batches.advance(conn, batch, step))


def test_the_database_refuses_a_row_twice(engine, batch_factory):
    batch = batch_factory(1)
    job_id, again = new_id(), NewJob("fake", {"text": "again"}, {})

    def work(conn: sa.Connection) -> None:
        insert_jobs(conn, [job_row(again, job_id, NOW, batch_id=batch.id, row=0, line=2)], [data_row(again, job_id)])

    with pytest.raises(IntegrityError):
        transaction(engine, work)


def test_a_refused_file_says_why_and_never_ran(engine, batch_factory):
    batch = batch_factory(0, ingested=False)
    errors = [{"row": 0, "line": 2, "code": "invalid_row", "message": "No text."}] * 150
    assert not transaction(engine, lambda conn: batches.refuse_batch(conn, batch.id, errors, now=NOW))
    with engine.begin() as conn:
        conn.execute(sa.text("UPDATE batches SET status = 'validating'"))
    assert transaction(engine, lambda conn: batches.refuse_batch(conn, batch.id, errors, now=NOW))
    assert len(found_batch(engine, batch.id).errors) == batches.ERRORS_SHOWN


def test_an_open_job_is_not_deleted(engine, job_factory, claim_rows):
    job_id = job_factory()
    assert not transaction(engine, lambda conn: delete_job(conn, job_id))
    bake(engine, claim_rows, 1)
    assert transaction(engine, lambda conn: delete_job(conn, job_id)) == []


def test_outcomes_come_in_the_order_of_the_file(engine, batch_factory, claim_rows):
    batch = batch_factory(4)
    bake(engine, claim_rows, 2)
    with reading(engine) as conn:
        found = outcomes(conn, batch.id, after_row=0, limit=10)
        done = outcomes(conn, batch.id, after_row=-1, limit=10, statuses=frozenset({JobStatus.SUCCEEDED}))
    assert [row.row for row in found] == [1, 2, 3]
    assert [row.row for row in done] == [0, 1]
    assert dataclasses.is_dataclass(found[0])
