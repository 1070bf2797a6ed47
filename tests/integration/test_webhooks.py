"""Webhooks from the end of a job or batch to a receiver: on SQLite and PostgreSQL, over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
import sqlalchemy as sa

from contract.errors import ErrorCode
from contract.ids import new_id
from contract.statuses import JobStatus, OnInvalidRows
from contract.times import utc_now
from contract.webhooks import Webhooks
from models import batches, claims, records, sweeps, webhooks
from models.batches import BatchRow, Cursor, NewBatch
from models.claims import Claimed
from models.database import reading, transaction
from models.files import add_file
from models.jobs import delete_job
from models.records import Failure, Success, Timing
from models.submit import NewJob, submit
from models.tables import webhooks as table
from models.webhooks import NewWebhook, State, Webhook
from tests.receiver import SECRET, Receiver, receiving
from worker.postman import Postman, pause_after
from worker.recorder import Recorder
from worker.satchel import PLACES

MODEL = {"id": "m", "commit": "c", "dtype": "float32", "backend": "fake"}
TIMING = Timing(load=0.0, inference=0.1)
SETTINGS = Webhooks(secret=SECRET, private=True, seconds=5.0, tries=3)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def brought() -> list[tuple[str, float]]:
    """What the postman asked to be brought again."""
    return []


@pytest.fixture
def postman(engine: sa.Engine, brought: list[tuple[str, float]]) -> Iterator[Postman]:
    found = Postman(engine, SETTINGS, lambda one, after: brought.append((one, after)))
    yield found
    found.stop()


def job(engine: sa.Engine, url: str | None, *, events: list[str] | None = None, **more: object) -> str:
    hook = None if url is None else NewWebhook(url, events)
    new = NewJob("fake", {"text": "x"}, {}, metadata={"mine": 7}, webhook=hook, **more)  # type: ignore[arg-type]
    return transaction(engine, lambda conn: submit(conn, new, now=utc_now())).job_id


def claim(engine: sa.Engine) -> list[Claimed]:
    times = {"lease": timedelta(seconds=60), "now": utc_now()}
    return transaction(engine, lambda conn: claims.claim(conn, "fake", limit=9, worker="w", **times))


def finish(engine: sa.Engine) -> None:
    done = [Success(row.id, row.fence, []) for row in claim(engine)]
    transaction(engine, lambda conn: records.finish(conn, done, model=MODEL, timing=TIMING, now=utc_now()))


def a_batch(engine: sa.Engine, url: str | None, rows: int = 2) -> str:
    file_id = new_id()
    new = NewBatch("fake", "rows.csv", file_id, {}, {"text": "text"}, OnInvalidRows.SKIP)

    def work(conn: sa.Connection) -> str:
        add_file(conn, file_id=file_id, name="rows.csv", content_type="text/csv", size=3, now=utc_now())
        batch_id = batches.create_batch(conn, new, now=utc_now())
        webhooks.add_webhooks(conn, [(batch_id, NewWebhook(url) if url else None)], of_jobs=False)
        batch = batches.find_batch(conn, batch_id)
        assert batch is not None
        changes = {"status": "running", "started_at": utc_now(), "ingested": True, "total": rows}
        assert batches.advance(conn, batch, Cursor("insert", 10, rows + 1, rows), **changes)
        numbered = [BatchRow(new_id(), n, n + 2, None, {"text": "row"}, {}) for n in range(rows)]
        batches.add_rows(conn, batch, numbered, now=utc_now())
        return batch_id

    return transaction(engine, work)


def close(engine: sa.Engine, batch_id: str) -> None:
    assert transaction(engine, lambda conn: batches.close_if_over(conn, batch_id, now=utc_now()))


def hook(engine: sa.Engine, one: str) -> Webhook:
    with reading(engine) as conn:
        return webhooks.find_webhooks(conn, [one])[one]


def make_due(engine: sa.Engine, one: str) -> None:
    """As if its pause had passed."""
    moment = utc_now() - timedelta(seconds=1)
    transaction(engine, lambda conn: conn.execute(sa.update(table).where(table.c.id == one).values(next_at=moment)))


def test_a_receiver_can_verify_what_it_is_told_of_a_job(engine, postman, receiver):
    one = job(engine, receiver.url)
    assert hook(engine, one).state is State.WAITING
    assert postman.deliver(one) is None
    assert receiver.told == []
    finish(engine)

    assert postman.deliver(one) is None

    (told,) = receiver.told
    message = told.verified()
    assert message["type"] == "job.succeeded"
    assert {name: message["data"][name] for name in ("id", "status", "metadata", "error")} == {
        "id": one, "status": "succeeded", "metadata": {"mine": 7}, "error": None,
    }  # fmt: skip
    assert told.headers["webhook-id"] == f"{one}-1"
    assert told.headers["content-type"] == "application/json"
    found = hook(engine, one)
    assert (found.state, found.tries, found.answered) == (State.DELIVERED, 1, 204)
    assert found.told_at is not None


def test_it_is_tried_again_under_the_same_id_until_it_is_taken(engine, postman, receiver):
    one = job(engine, receiver.url)
    finish(engine)
    receiver.answers = [500, 302]

    for state, tries, answered in ((State.DUE, 1, 500), (State.DUE, 2, 302), (State.DELIVERED, 3, 204)):
        pause = postman.deliver(one)
        found = hook(engine, one)
        assert (found.state, found.tries, found.answered) == (state, tries, answered)
        assert (pause is None) == (state is State.DELIVERED)
        assert postman.deliver(one) is None, "before its time"
        if pause is not None:
            assert found.problem == f"It answered with status {answered}."
            make_due(engine, one)
    assert len({told.headers["webhook-id"] for told in receiver.told}) == 1
    assert len(receiver.told) == 3
    assert all(told.verified() for told in receiver.told)


@pytest.mark.parametrize(("answers", "tries"), [([410], 1), ([500, 500, 500], 3)])
def test_it_is_given_up_when_it_is_gone_or_was_tried_often_enough(engine, postman, receiver, answers, tries):
    one = job(engine, receiver.url)
    finish(engine)
    receiver.answers = list(answers)
    while postman.deliver(one) is not None:
        make_due(engine, one)

    found = hook(engine, one)
    assert (found.state, found.tries, found.answered) == (State.GIVEN_UP, tries, answers[-1])
    with reading(engine) as conn:
        assert webhooks.count_open(conn) == {"waiting": 0, "due": 0, "given_up": 1}


def test_a_receiver_that_cannot_be_reached_or_may_not_be_asked_is_told_apart(engine, brought, receiver):
    one = job(engine, receiver.url)
    finish(engine)
    strict = Postman(engine, Webhooks(secret=SECRET, private=False), lambda *_: None)
    strict.deliver(one)
    assert "not public" in (hook(engine, one).problem or "")
    assert receiver.told == []

    receiver.answers = [0]
    make_due(engine, one)
    hasty = Postman(engine, Webhooks(secret=SECRET, private=True, seconds=0.3), lambda *_: None)
    hasty.deliver(one)
    assert hook(engine, one).problem == "It did not answer within 0.3 s."

    receiver.close()
    make_due(engine, one)
    hasty.deliver(one)
    assert "cannot be reached" in (hook(engine, one).problem or "")


def test_every_way_in_which_a_job_ends_is_told(engine, postman, receiver):
    failed, canceled, lost = (job(engine, receiver.url) for _ in range(3))
    rows = {row.id: row for row in claim(engine)}
    bad = [Failure(failed, rows[failed].fence, ErrorCode.INFERENCE_FAILED, "Too long.")]
    late = job(engine, receiver.url, expires_at=utc_now() - timedelta(seconds=1))
    transaction(engine, lambda conn: records.fail(conn, bad, timing=TIMING, now=utc_now()))
    transaction(engine, lambda conn: sweeps.cancel(conn, canceled, now=utc_now()))
    transaction(engine, lambda conn: sweeps.expire(conn, now=utc_now()))
    transaction(engine, lambda conn: sweeps.reap_worker(conn, "w", in_hand=[lost], max_attempts=1, now=utc_now()))

    for one in (failed, canceled, lost, late):
        postman.deliver(one)

    told = {told.verified()["data"]["id"]: told.verified() for told in receiver.told}
    assert {one: message["type"] for one, message in told.items()} == {
        failed: "job.failed", canceled: "job.canceled", late: "job.expired", lost: "job.failed",
    }  # fmt: skip
    assert told[failed]["data"]["error"] == {"code": "inference_failed", "message": "Too long."}


def test_an_end_that_was_not_asked_for_is_not_told(engine, postman, receiver):
    one = job(engine, receiver.url, events=["job.failed"])
    finish(engine)
    assert postman.deliver(one) is None
    assert (hook(engine, one).state, receiver.told) == (State.UNWANTED, [])


def test_a_batch_is_told_once_and_again_after_a_retry(engine, postman, receiver):
    batch_id = a_batch(engine, receiver.url)
    transaction(engine, lambda conn: batches.begin_cancel(conn, batch_id))
    transaction(engine, lambda conn: sweeps.cancel_batch_rows(conn, batch_id, limit=9, now=utc_now()))
    close(engine, batch_id)
    postman.deliver(batch_id)
    with reading(engine) as conn:
        batch = batches.find_batch(conn, batch_id)
    assert batch is not None
    assert transaction(engine, lambda conn: batches.retry(conn, batch, now=utc_now())) == 2
    assert hook(engine, batch_id).state is State.WAITING
    finish(engine)
    close(engine, batch_id)
    postman.deliver(batch_id)

    messages = [told.verified() for told in receiver.told]
    assert [message["type"] for message in messages] == ["batch.canceled", "batch.completed"]
    assert messages[1]["data"]["counts"]["succeeded"] == messages[1]["data"]["counts"]["total"] == 2
    assert len({told.headers["webhook-id"] for told in receiver.told}) == 2


def test_whoever_records_the_last_row_of_a_batch_says_so_at_once(engine, postman, receiver):
    class Heard:
        def __init__(self) -> None:
            self.called: list[str] = []

        def changed(self, _ids: object) -> None: ...

        def deliver(self, ids: list[str]) -> None:
            self.called += ids

    watched, other = a_batch(engine, receiver.url), a_batch(engine, None)
    heard = Heard()
    recorder = Recorder(engine, heard)  # type: ignore[arg-type]
    recorder.close_batches([watched, other])
    assert heard.called == [], "they are not over"
    finish(engine)
    recorder.close_batches([watched, other])
    assert heard.called == [watched]
    postman.deliver(watched)
    assert receiver.told[0].verified()["type"] == "batch.completed"


def test_a_file_that_is_of_no_use_is_told_too(engine, postman, receiver):
    batch_id = a_batch(engine, receiver.url, rows=0)
    values = {"status": "validating", "ingested": False}
    transaction(engine, lambda conn: conn.execute(sa.update(batches.batches).values(values)))
    assert transaction(engine, lambda conn: batches.refuse_batch(conn, batch_id, [], now=utc_now()))
    postman.deliver(batch_id)
    assert receiver.told[0].verified()["type"] == "batch.failed"


def test_what_a_killed_postman_had_in_hand_is_due_again_and_its_late_word_is_dropped(engine, postman, receiver):
    one = job(engine, receiver.url)
    finish(engine)
    now = utc_now()
    dead = transaction(engine, lambda conn: webhooks.take(conn, one, until=now, now=now))
    assert dead is not None

    assert postman.deliver(one) is None

    assert not transaction(engine, lambda conn: webhooks.settle(conn, dead, State.GIVEN_UP, now=utc_now()))
    assert hook(engine, one).state is State.DELIVERED
    assert len(receiver.told) == 1


def test_a_look_brings_all_that_is_due_and_asks_again_for_what_failed(engine, postman, receiver, brought, waiting):
    ones = [job(engine, receiver.url) for _ in range(3)]
    receiver.answers = [503]
    finish(engine)
    postman.look()
    waiting(lambda: len(receiver.told) == 3 and len(brought) == 1)
    ((again, after),) = brought
    assert again in ones
    assert 1 <= after <= 2


def test_a_receiver_that_hangs_holds_no_more_than_its_places_while_others_are_told(
    engine, postman, receiver, waiting
):
    with receiving("127.0.0.2") as hanging:
        hanging.answers = [0] * 36
        for _ in range(4):
            stuck = [job(engine, hanging.url) for _ in range(9)]
            finish(engine)
        last = job(engine, receiver.url)
        finish(engine)

        postman.look()

        waiting(lambda: receiver.told and len(hanging.told) == PLACES)
        waiting(lambda: hook(engine, last).state is State.DELIVERED)
        assert len(hanging.told) == PLACES
        hanging.leave.set()
        waiting(lambda: all(hook(engine, one).state is State.DELIVERED for one in stuck))
    assert len(hanging.told) == 36


@pytest.fixture
def waiting():
    from tests.processes import wait_until

    return lambda condition: wait_until(condition, seconds=20, what="the receiver to be told")


def test_a_job_without_one_asks_nothing_of_the_table(engine):
    job(engine, None)
    asked: list[str] = []
    listen = lambda _c, _u, statement, *_: asked.append(statement)  # noqa: E731
    sa.event.listen(engine, "before_cursor_execute", listen)
    finish(engine)
    sa.event.remove(engine, "before_cursor_execute", listen)
    assert asked
    assert not any("webhooks" in statement for statement in asked)


def test_it_goes_with_its_job(engine, receiver):
    one = job(engine, receiver.url)
    finish(engine)
    transaction(engine, lambda conn: delete_job(conn, one))
    with reading(engine) as conn:
        assert webhooks.find_webhooks(conn, [one]) == {}


def test_without_a_secret_nothing_is_brought(engine, receiver):
    job(engine, receiver.url)
    finish(engine)
    postman = Postman(engine, Webhooks(), lambda *_: None)
    postman.look()
    postman.stop()
    assert receiver.told == []


def test_pauses_double_up_to_six_hours():
    for tries, longest in ((1, 2), (2, 4), (5, 32), (19, 21_600)):
        assert longest / 2 <= pause_after(tries) <= longest


def test_statuses_of_jobs_and_states_of_webhooks_are_told_apart():
    assert not {state.value for state in State} & {status.value for status in JobStatus}
