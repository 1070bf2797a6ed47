"""Counts of a batch are kept as its rows move: whatever happens in whatever order, they say what the rows say."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from contract.errors import ErrorCode
from contract.statuses import JOB_MOVES, BatchStatus, JobStatus
from models import batches, claims, counts, records, sweeps
from models.batches import Batch
from models.claims import Claimed
from models.database import reading, transaction
from models.records import Failure, Success, Timing
from models.tables import jobs
from tests.integration.stores.conftest import NOW, found_batch

TIMING = Timing(load=0.0, inference=0.1)
LATER = NOW + timedelta(hours=1)


class Walk:
    """A worker, its warden, a sweep and two callers, who do what comes to them."""

    def __init__(self, engine: sa.Engine, claim_rows: Callable[..., list[Claimed]], seed: int) -> None:
        self._engine, self._claim_rows, self._dice = engine, claim_rows, random.Random(seed)
        self._held: list[Claimed] = []
        self._moves = [
            self.claim, self.claim, self.finish, self.finish, self.fail, self.release, self.cancel_one,
            self.cancel_some, self.expire, self.reap, self.reap_expired, self.retry, self.close,
        ]  # fmt: skip

    def step(self, batch: Batch) -> str:
        move = self._dice.choice(self._moves)
        move(found_batch(self._engine, batch.id))
        return move.__name__

    def _do(self, work: Callable[[sa.Connection], Any]) -> Any:
        return transaction(self._engine, work)

    def _some(self) -> list[Claimed]:
        """Rows that a worker believes to hold; others may have taken some of them away."""
        return self._dice.sample(self._held, min(len(self._held), 3))

    def claim(self, _: Batch) -> None:
        self._held += self._claim_rows(self._dice.randint(1, 4))

    def finish(self, _: Batch) -> None:
        rows = [Success(row.id, row.fence, [1]) for row in self._some()]
        self._do(lambda conn: records.finish(conn, rows, model={"id": "m"}, timing=TIMING, now=NOW))

    def fail(self, _: Batch) -> None:
        rows = [Failure(row.id, row.fence, ErrorCode.INFERENCE_FAILED, "No.") for row in self._some()]
        self._do(lambda conn: records.fail(conn, rows, timing=TIMING, now=NOW))

    def release(self, _: Batch) -> None:
        rows = self._some()
        self._do(lambda conn: claims.release(conn, rows))

    def cancel_one(self, _: Batch) -> None:
        for row in self._some()[:1]:
            self._do(lambda conn, row=row: sweeps.cancel(conn, row.id, now=NOW))

    def cancel_some(self, batch: Batch) -> None:
        self._do(lambda conn: sweeps.cancel_batch_rows(conn, batch.id, limit=2, now=NOW))

    def expire(self, batch: Batch) -> None:
        late = sa.select(jobs.c.id).where(jobs.c.batch_id == batch.id, jobs.c.status == "queued").limit(1)
        with self._engine.begin() as conn:
            conn.execute(sa.update(jobs).where(jobs.c.id.in_(late.scalar_subquery())).values(expires_at=NOW))
        self._do(lambda conn: sweeps.expire(conn, now=NOW))

    def reap(self, _: Batch) -> None:
        in_hand = [row.id for row in self._some()]
        self._do(lambda conn: sweeps.reap_worker(conn, "w1", in_hand=in_hand, max_attempts=2, now=NOW))

    def reap_expired(self, _: Batch) -> None:
        self._do(lambda conn: sweeps.reap_expired(conn, max_attempts=2, now=LATER))

    def retry(self, batch: Batch) -> None:
        self._do(lambda conn: batches.retry(conn, batch, now=NOW))

    def close(self, batch: Batch) -> None:
        self._do(lambda conn: batches.close_if_over(conn, batch.id, now=NOW))


def in_the_rows(engine: sa.Engine, batch: Batch) -> dict[str, int]:
    query = sa.select(jobs.c.status, sa.func.count()).where(jobs.c.batch_id == batch.id).group_by(jobs.c.status)
    with reading(engine) as conn:
        return {row[0]: row[1] for row in conn.execute(query)}


def statuses(engine: sa.Engine, batch: Batch) -> dict[str, JobStatus]:
    with reading(engine) as conn:
        rows = conn.execute(sa.select(jobs.c.id, jobs.c.status).where(jobs.c.batch_id == batch.id))
        return {row.id: JobStatus(row.status) for row in rows}


def as_counted(engine: sa.Engine, batch: Batch) -> dict[str, int]:
    with reading(engine) as conn:
        found = counts.count(conn, batch.id)
        shown = batches.counts(conn, found_batch(engine, batch.id))
    assert found == shown
    return {status: rows for status in JobStatus if (rows := found[status])}


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_moves_are_legal_and_counts_say_what_the_rows_say(engine, batch_factory, claim_rows, seed):
    batch, walk, steps = batch_factory(25), Walk(engine, claim_rows, seed), []
    before = statuses(engine, batch)
    for _ in range(120):
        steps.append(walk.step(batch))
        assert as_counted(engine, batch) == in_the_rows(engine, batch), steps
        after = statuses(engine, batch)
        moves = {(was, after[row]) for row, was in before.items() if was != after[row]}
        assert all(now in JOB_MOVES[was] for was, now in moves), steps
        before = after


def test_open_jobs_are_counted_by_pipeline_with_and_without_a_file(engine, batch_factory, job_factory, claim_rows):
    batch_factory(3)
    job_factory()
    job_factory(pipeline="other")
    claim_rows(2)
    with reading(engine) as conn:
        assert counts.count_open(conn) == {"fake": {"queued": 2, "running": 2}, "other": {"queued": 1}}


def test_a_file_that_is_over_is_not_among_the_open_jobs(engine, batch_factory, claim_rows):
    batch = batch_factory(1)
    rows = [Success(row.id, row.fence, [1]) for row in claim_rows(1)]
    transaction(engine, lambda conn: records.finish(conn, rows, model={"id": "m"}, timing=TIMING, now=NOW))
    transaction(engine, lambda conn: batches.close_if_over(conn, batch.id, now=NOW))
    with reading(engine) as conn:
        assert counts.count_open(conn) == {}


def test_the_first_in_line_of_each_pipeline_is_how_long_it_waits(engine, batch_factory, job_factory):
    batch_factory(2, now=NOW)
    job_factory(now=NOW + timedelta(seconds=5))
    job_factory(pipeline="other", now=NOW + timedelta(seconds=5))
    with reading(engine) as conn:
        waits = sweeps.oldest_wait(conn, now=NOW + timedelta(seconds=15))
    assert waits == {"fake": 15.0, "other": 10.0}


def test_what_was_not_committed_was_not_counted(engine, batch_factory, claim_rows):
    batch = batch_factory(3)

    def broken(conn: sa.Connection) -> None:
        sweeps.cancel_batch_rows(conn, batch.id, limit=2, now=NOW)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        transaction(engine, broken)
    assert as_counted(engine, batch) == {"queued": 3}


def test_a_retry_counts_each_row_where_it_was(engine, batch_factory, claim_rows):
    batch = batch_factory(4)
    bad = [Failure(row.id, row.fence, ErrorCode.INFERENCE_FAILED, "No.") for row in claim_rows(1)]
    transaction(engine, lambda conn: records.fail(conn, bad, timing=TIMING, now=NOW))
    transaction(engine, lambda conn: batches.begin_cancel(conn, batch.id))
    transaction(engine, lambda conn: sweeps.cancel_batch_rows(conn, batch.id, limit=9, now=NOW))
    ended = transaction(engine, lambda conn: batches.close_if_over(conn, batch.id, now=NOW))
    assert (ended, as_counted(engine, batch)) == (BatchStatus.CANCELED, {"failed": 1, "canceled": 3})
    over = found_batch(engine, batch.id)
    assert transaction(engine, lambda conn: batches.retry(conn, over, now=NOW)) == 4
    assert as_counted(engine, batch) == {"queued": 4} == in_the_rows(engine, batch)


def test_workers_and_callers_at_once_lose_no_count(engine, batch_factory):
    batch = batch_factory(400)
    lease = timedelta(seconds=30)
    problems: list[BaseException] = []

    def bake(worker: str) -> None:
        while rows := transaction(
            engine, lambda conn: claims.claim(conn, "fake", limit=9, worker=worker, lease=lease, now=NOW)
        ):
            good = [Success(row.id, row.fence, [1]) for row in rows[:-1]]
            bad = [Failure(row.id, row.fence, ErrorCode.INFERENCE_FAILED, "No.") for row in rows[-1:]]

            def record(conn: sa.Connection, good: Any = good, bad: Any = bad) -> None:
                records.finish(conn, good, model={"id": "m"}, timing=TIMING, now=NOW)
                records.fail(conn, bad, timing=TIMING, now=NOW)

            transaction(engine, record)

    def cancel(_: str) -> None:
        for _ in range(20):
            transaction(engine, lambda conn: sweeps.cancel_batch_rows(conn, batch.id, limit=3, now=NOW))

    def watched(work: Callable[[str], None], name: str) -> None:
        try:
            work(name)
        except BaseException as error:  # noqa: BLE001 - a thread's failure is the test's
            problems.append(error)

    people = [threading.Thread(target=watched, args=(bake, f"w{n}")) for n in range(3)]
    people.append(threading.Thread(target=watched, args=(cancel, "")))
    for one in people:
        one.start()
    for one in people:
        one.join(60)
    assert not problems
    found = as_counted(engine, batch)
    assert found == in_the_rows(engine, batch)
    assert Counter(found).total() == 400
