"""The sweep: every message that committed rows still need is sent again, however it was lost."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from contract.statuses import BatchStatus, JobStatus
from contract.times import utc_now
from models import batches
from models.claims import claim
from models.database import reading, transaction
from models.jobs import find_job
from models.workers import Worker, list_workers, put_worker
from tests.integration.stores.conftest import found_batch
from worker import upkeep


class Heard:
    def __init__(self) -> None:
        self.woken: list[str] = []
        self.reading: list[str] = []
        self.changes: list[str] = []

    def wake(self, pipeline: str) -> None:
        self.woken.append(pipeline)

    def read(self, batch_id: str) -> None:
        self.reading.append(batch_id)

    def changed(self, ids: Any) -> None:
        self.changes.extend(ids)


def sweep(engine: Any, storage: Any = None, *, keep_days: int = 0) -> Heard:
    heard = Heard()
    upkeep.sweep(engine, heard, storage, max_attempts=3, keep_days=keep_days)  # type: ignore[arg-type]
    return heard


def test_waiting_rows_get_a_wake(engine, job_factory):
    assert sweep(engine).woken == []
    job_factory()
    job_factory(pipeline="other")
    assert sweep(engine).woken == ["fake", "other"]


def test_rows_of_a_silent_host_come_back(engine, job_factory):
    job_id = job_factory()
    long_ago = utc_now() - timedelta(days=3)
    transaction(
        engine,
        lambda conn: claim(conn, "fake", limit=1, worker="w", lease=timedelta(seconds=1), now=long_ago),
    ) or transaction(
        engine, lambda conn: claim(conn, "fake", limit=1, worker="w", lease=timedelta(seconds=-5), now=utc_now())
    )
    heard = sweep(engine)
    assert heard.woken == ["fake"]
    assert job_id in heard.changes


def test_late_rows_expire_and_are_told(engine, job_factory):
    job_id = job_factory(expires_at=utc_now() - timedelta(seconds=1))
    assert job_id in sweep(engine).changes
    with reading(engine) as conn:
        job = find_job(conn, job_id)
    assert job is not None
    assert job.status is JobStatus.EXPIRED


def test_an_unread_file_gets_its_message_again(engine, batch_factory):
    batch = batch_factory(1, ingested=False)
    assert sweep(engine).reading == [batch.id]


def test_a_batch_whose_rows_are_over_is_closed(engine, batch_factory):
    batch = batch_factory(0)
    heard = sweep(engine)
    assert batch.id in heard.changes
    assert found_batch(engine, batch.id).status is BatchStatus.COMPLETED


def test_a_canceling_batch_is_brought_to_its_end(engine, batch_factory):
    batch = batch_factory(5)
    transaction(engine, lambda conn: batches.begin_cancel(conn, batch.id))
    sweep(engine)
    over = found_batch(engine, batch.id)
    assert over.status is BatchStatus.CANCELED
    assert over.tally is not None
    assert over.tally["canceled"] == 5


def test_slots_that_fell_silent_are_forgotten(engine):
    now = utc_now()
    for name, beat in (("old", now - timedelta(hours=2)), ("new", now)):
        row = Worker(name, "h", "cpu", 1, "ready", {}, None, None, beat, beat)
        transaction(engine, lambda conn, row=row: put_worker(conn, row))
    sweep(engine)
    with reading(engine) as conn:
        assert [worker.name for worker in list_workers(conn)] == ["new"]


def test_who_stood_behind_canceled_rows_is_called_when_they_are_gone(engine, batch_factory, job_factory):
    batch, heard = batch_factory(3), Heard()
    behind = job_factory()
    transaction(engine, lambda conn: batches.begin_cancel(conn, batch.id))
    upkeep.cancel_rows(engine, heard, batch.id)  # type: ignore[arg-type]
    assert heard.woken == ["fake"]
    with reading(engine) as conn:
        job = find_job(conn, behind)
    assert job is not None
    assert job.status is JobStatus.QUEUED
    assert found_batch(engine, batch.id).status is BatchStatus.CANCELED


def test_a_cancel_that_comes_late_leaves_a_retry_alone(engine, batch_factory):
    batch = batch_factory(3)
    transaction(engine, lambda conn: batches.begin_cancel(conn, batch.id))
    upkeep.cancel_rows(engine, Heard(), batch.id)  # type: ignore[arg-type]
    over = found_batch(engine, batch.id)
    assert transaction(engine, lambda conn: batches.retry(conn, over, now=utc_now())) == 3
    # Its message was doubled, or a sweep saw the batch before it was over.
    upkeep.cancel_rows(engine, Heard(), batch.id)  # type: ignore[arg-type]
    again = found_batch(engine, batch.id)
    with reading(engine) as conn:
        assert batches.counts(conn, again)["queued"] == 3
    assert again.status is BatchStatus.RUNNING
