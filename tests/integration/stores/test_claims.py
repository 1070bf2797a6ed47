"""Claims: every row in one pair of hands at a time, in its order, and written once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa

from contract.errors import ErrorCode, RequestError
from contract.statuses import JobStatus, Priority
from models import batches, claims, counts, records, sweeps
from models.claims import Claimed
from models.database import reading, transaction
from models.jobs import Job, find_job, list_batch_jobs, list_jobs
from models.positions import positions
from models.records import Failure, Success, Timing
from models.submit import NewJob, submit
from tests.integration.stores.conftest import LEASE, NOW

TIMING = Timing(load=0.5, inference=0.25)
MODEL = {"id": "m", "commit": "c", "dtype": "float32", "backend": "fake"}
LABELS = [{"label": "even", "score": 0.9}]


def job(engine: sa.Engine, job_id: str) -> Job:
    with reading(engine) as conn:
        found = find_job(conn, job_id)
    assert found is not None
    return found


def finish(engine: sa.Engine, rows: list[Claimed]) -> set[str]:
    done = [Success(row.id, row.fence, LABELS) for row in rows]
    return transaction(engine, lambda conn: records.finish(conn, done, model=MODEL, timing=TIMING, now=NOW))


def test_rows_are_claimed_in_the_order_they_were_submitted(job_factory, claim_rows):
    ids = [job_factory() for _ in range(5)]
    assert [row.id for row in claim_rows(3)] == ids[:3]
    assert [row.id for row in claim_rows(3)] == ids[3:]


def test_people_go_before_files(job_factory, claim_rows):
    bulk = job_factory(priority=Priority.BULK)
    person = job_factory()
    assert [row.id for row in claim_rows()] == [person, bulk]


def test_only_people_leaves_files_in_line(job_factory, claim_rows):
    job_factory(priority=Priority.BULK)
    person = job_factory()
    assert [row.id for row in claim_rows(only=Priority.INTERACTIVE)] == [person]


def test_another_pipeline_is_left_alone(job_factory, claim_rows):
    job_factory(pipeline="other")
    assert claim_rows() == []


def test_a_second_claim_of_the_same_job_gets_nothing(job_factory, claim_rows):
    job_factory()
    assert len(claim_rows()) == 1
    assert claim_rows(worker="w2") == []


def test_a_job_that_is_not_available_yet_is_not_claimed(engine, job_factory, claim_rows):
    job_factory()
    [row] = claim_rows()
    later = NOW + timedelta(seconds=10)
    back = {"available_at": later, "worker": None, "lease_until": None}
    transaction(engine, lambda conn: claims.back_in_line(conn, [(row.id, row.fence)], back))
    assert claim_rows() == []
    assert len(claim_rows(now=later)) == 1


def test_a_result_is_recorded_once_with_its_times_and_its_model(engine, job_factory, claim_rows):
    job_id = job_factory()
    rows = claim_rows(now=NOW + timedelta(seconds=2))
    assert finish(engine, rows) == {job_id}
    found = job(engine, job_id)
    assert (found.status, found.result, found.model) == (JobStatus.SUCCEEDED, LABELS, MODEL)
    assert (found.queue_seconds, found.load_seconds, found.inference_seconds) == (2.0, 0.5, 0.25)
    assert finish(engine, rows) == set()


def test_of_two_results_of_one_row_that_come_together_the_newest_fence_has_the_last_word(
    engine, job_factory, claim_rows
):
    job_id = job_factory()
    [old] = claim_rows()
    transaction(engine, lambda conn: claims.release(conn, [old]))
    [new] = claim_rows()
    both = [Success(old.id, old.fence, ["old"]), Success(new.id, new.fence, LABELS)]
    done = transaction(engine, lambda conn: records.finish(conn, both, model=MODEL, timing=TIMING, now=NOW))
    assert done == {job_id}
    assert job(engine, job_id).result == LABELS


def test_a_late_writer_with_an_old_fence_writes_nothing(engine, job_factory, claim_rows):
    job_id = job_factory()
    old = claim_rows()
    transaction(engine, lambda conn: claims.release(conn, old))
    new = claim_rows(worker="w2")
    assert finish(engine, old) == set()
    assert finish(engine, new) == {job_id}
    assert job(engine, job_id).attempts == 1


def test_a_failure_is_recorded_with_its_code(engine, job_factory, claim_rows):
    job_id = job_factory()
    row = claim_rows()[0]
    failure = Failure(row.id, row.fence, ErrorCode.INPUT_TOO_LONG, "Too long.")
    transaction(engine, lambda conn: records.fail(conn, [failure], timing=TIMING, now=NOW))
    found = job(engine, job_id)
    assert (found.status, found.error_code, found.error_message) == (JobStatus.FAILED, "input_too_long", "Too long.")


def test_a_canceled_row_drops_the_result_that_comes_later(engine, job_factory, claim_rows):
    job_id = job_factory()
    rows = claim_rows()
    assert transaction(engine, lambda conn: sweeps.cancel(conn, job_id, now=NOW))
    with reading(engine) as conn:
        assert claims.still_mine(conn, rows) == set()
    assert finish(engine, rows) == set()
    assert job(engine, job_id).status is JobStatus.CANCELED
    assert not transaction(engine, lambda conn: sweeps.cancel(conn, job_id, now=NOW))


def test_an_expired_row_is_told_apart_from_a_canceled_one(engine, job_factory):
    late = job_factory(expires_at=NOW + timedelta(seconds=1))
    in_time = job_factory(expires_at=NOW + timedelta(seconds=60))
    touched = transaction(engine, lambda conn: sweeps.expire(conn, now=NOW + timedelta(seconds=2)))
    assert touched.jobs == [late]
    assert job(engine, late).status is JobStatus.EXPIRED
    assert job(engine, in_time).status is JobStatus.QUEUED


def test_a_lease_is_renewed_for_the_worker_that_holds_it(engine, job_factory, claim_rows):
    job_factory()
    claim_rows(worker="w1")
    later = NOW + LEASE + timedelta(seconds=1)
    renewed = transaction(engine, lambda conn: claims.renew(conn, "w1", until=later + LEASE, ending_by=later))
    assert renewed == 1
    touched = transaction(engine, lambda conn: sweeps.reap_expired(conn, max_attempts=3, now=later))
    assert touched.jobs == []


def test_a_lease_that_is_new_is_left_as_it_is(engine, job_factory, claim_rows):
    later = NOW + timedelta(seconds=5)
    for moment in (NOW, later):
        job_factory()
        claim_rows(worker="w1", now=moment)

    def renew(conn: sa.Connection) -> int:
        return claims.renew(conn, "w1", until=later + LEASE, ending_by=NOW + LEASE)

    assert [transaction(engine, renew) for _ in range(2)] == [1, 0]


def test_renewing_waits_for_nobody_who_records(engine, job_factory, claim_rows):
    if engine.dialect.name == "sqlite":
        pytest.skip("has one writer at a time")
    for _ in range(2):
        job_factory()
    rows = claim_rows(2, worker="w1")
    later = NOW + LEASE

    def renew(conn: sa.Connection) -> int:
        return claims.renew(conn, "w1", until=later + LEASE, ending_by=later)

    with engine.begin() as recording:
        records.finish(recording, [Success(rows[0].id, rows[0].fence, [1])], model=MODEL, timing=TIMING, now=NOW)
        assert transaction(engine, renew) == 1
    assert job(engine, rows[0].id).status is JobStatus.SUCCEEDED


def test_a_lease_that_ran_out_a_week_ago_is_found_like_any_other(engine, job_factory, claim_rows):
    job_id = job_factory()
    claim_rows()
    touched = transaction(engine, lambda conn: sweeps.reap_expired(conn, max_attempts=3, now=NOW + timedelta(days=7)))
    assert touched.jobs == [job_id]
    assert job(engine, job_id).status is JobStatus.QUEUED


def test_a_row_whose_host_is_lost_again_and_again_fails_in_the_end(engine, job_factory, claim_rows):
    job_id = job_factory()
    moment = NOW
    for _ in range(6):
        claim_rows(now=moment)
        moment += timedelta(hours=1)
        at = moment
        transaction(engine, lambda conn, at=at: sweeps.reap_expired(conn, max_attempts=3, now=at))
    found = job(engine, job_id)
    assert (found.status, found.error_code) == (JobStatus.FAILED, "worker_lost")


def test_rows_in_hand_become_suspects_and_the_others_keep_their_place(engine, job_factory, claim_rows):
    ids = [job_factory() for _ in range(6)]
    claim_rows(6)
    transaction(
        engine,
        lambda conn: sweeps.reap_worker(conn, "w1", in_hand=set(ids[:4]), max_attempts=3, now=NOW + LEASE),
    )
    moment = NOW + 2 * LEASE
    assert [row.id for row in claim_rows(now=moment)] == ids[4:]
    first, second = claim_rows(now=moment), claim_rows(now=moment)
    assert [row.id for row in first] == ids[:2]
    assert [row.id for row in second] == ids[2:4]
    assert {row.max_group for row in first + second} == {2}


def test_a_culprit_is_found_by_halves_and_its_neighbors_succeed(engine, job_factory, claim_rows):
    ids = [job_factory() for _ in range(16)]
    culprit, moment, deaths = ids[5], NOW, 0
    while any(job(engine, i).status in (JobStatus.QUEUED, JobStatus.RUNNING) for i in ids):
        moment += timedelta(seconds=1)
        rows, at = claim_rows(16, now=moment), moment
        if culprit in {row.id for row in rows}:
            deaths += 1
            hand = {row.id for row in rows}
            transaction(
                engine,
                lambda conn, hand=hand, at=at: sweeps.reap_worker(conn, "w1", in_hand=hand, max_attempts=3, now=at),
            )
        else:
            finish(engine, rows)
    assert job(engine, culprit).error_code == "worker_lost"
    assert all(job(engine, i).status is JobStatus.SUCCEEDED for i in ids if i != culprit)
    assert deaths == 5  # 16, 8, 4, 2, 1


def test_twenty_claims_at_once_take_every_row_once(engine, job_factory):
    ids = {job_factory() for _ in range(200)}
    taken: list[str] = []

    def take(worker: str) -> None:
        while rows := transaction(
            engine, lambda conn: claims.claim(conn, "fake", limit=7, worker=worker, lease=LEASE, now=NOW)
        ):
            taken.extend(row.id for row in rows)

    threads = [threading.Thread(target=take, args=(f"w{n}",)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 200
    assert set(taken) == ids


def test_one_idempotency_key_makes_one_job_however_many_come_at_once(engine):
    new, answers = NewJob("fake", {"text": "x"}, {}), []

    def send() -> None:
        def work(conn: sa.Connection) -> object:
            return submit(conn, new, now=NOW, idempotency_key="k", request_body={"text": "x"})

        answers.append(transaction(engine, work))

    threads = [threading.Thread(target=send) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({answer.job_id for answer in answers}) == 1
    assert sum(not answer.replayed for answer in answers) == 1
    with reading(engine) as conn:
        assert len(list_jobs(conn, limit=50).items) == 1


def test_an_idempotency_key_with_another_body_is_a_conflict(engine):
    new = NewJob("fake", {"text": "x"}, {})
    transaction(engine, lambda conn: submit(conn, new, now=NOW, idempotency_key="k", request_body={"a": 1}))
    with pytest.raises(RequestError) as caught:
        transaction(engine, lambda conn: submit(conn, new, now=NOW, idempotency_key="k", request_body={"a": 2}))
    assert caught.value.code is ErrorCode.IDEMPOTENCY_CONFLICT


def test_position_counts_who_goes_first(engine, job_factory):
    first, second = job_factory(), job_factory()
    bulk = job_factory(priority=Priority.BULK)
    person = job_factory()
    with reading(engine) as conn:
        found = positions(conn, [job(engine, i) for i in (first, second, person, bulk)])
    assert [found[i] for i in (first, second, person, bulk)] == [0, 1, 2, 3]


def test_lists_page_newest_first_without_gaps(engine, job_factory):
    ids = [job_factory() for _ in range(7)]
    seen: list[str] = []
    after: str | None = None
    with reading(engine) as conn:
        while True:
            page = list_jobs(conn, limit=3, after=after)
            seen += [item.id for item in page.items]
            after = page.next_cursor
            if after is None:
                break
    assert seen == ids[::-1]


@pytest.mark.parametrize("result", [[0.5, 0.25, -1.0] * 128, [0.1] * 384, {"generated_text": "\u0000 é ☕"}, [1, 2]])
def test_results_come_back_as_they_were_recorded(
    engine, job_factory, claim_rows: Callable[..., list[Claimed]], result
):
    job_id = job_factory()
    row = claim_rows()[0]
    done = [Success(row.id, row.fence, result)]
    transaction(engine, lambda conn: records.finish(conn, done, model=MODEL, timing=TIMING, now=NOW))
    assert job(engine, job_id).result == result


def test_no_row_of_a_batch_that_is_being_canceled_is_claimed(engine, batch_factory, claim_rows, job_factory):
    stopped, other = batch_factory(4), batch_factory(2)
    job_id = job_factory()
    transaction(engine, lambda conn: batches.begin_cancel(conn, stopped.id))
    claimed = [row for _ in range(3) for row in claim_rows(3)]
    assert [row.batch_id for row in claimed] == [None, other.id, other.id]
    assert claimed[0].id == job_id
    with reading(engine) as conn:
        assert counts.count(conn, stopped.id)["canceled"] == 4


def test_a_cancel_in_pieces_takes_what_is_in_hand_first(engine, batch_factory, claim_rows):
    batch = batch_factory(8)
    held = claim_rows(2)
    transaction(engine, lambda conn: sweeps.cancel_batch_rows(conn, batch.id, limit=4, now=NOW))
    with reading(engine) as conn:
        assert claims.still_mine(conn, held) == set()
        canceled = [job.row for job in list_batch_jobs(conn, batch.id, limit=9, status=JobStatus.CANCELED).items]
    assert canceled == [0, 1, 2, 3]
