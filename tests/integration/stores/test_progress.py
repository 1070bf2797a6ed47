"""What a batch says of its speed, on a load that goes at an even pace, against what then happens."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from contract.ids import new_ids
from models import batches, records, sweeps, tables
from models.batches import Batch, BatchRow, Cursor
from models.claims import claim
from models.database import reading, transaction
from models.records import Success, Timing
from models.tables import files
from tests.integration.stores.conftest import NOW, found_batch
from web import pace

ROWS, EACH = 400, 4
#: Seconds that four rows take.
SECONDS = 1.0
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_pace", pace.Pace())


def bake(engine: sa.Engine, *, now: datetime) -> int:
    """Claim four rows; they are done a moment later."""
    lease, timing = timedelta(hours=1), Timing(load=0.0, inference=SECONDS)
    rows = transaction(engine, lambda conn: claim(conn, "fake", limit=EACH, worker="w", lease=lease, now=now))
    good = [Success(row.id, row.fence, [1]) for row in rows]
    end = now + timedelta(seconds=SECONDS)
    transaction(engine, lambda conn: records.finish(conn, good, model={"id": "m"}, timing=timing, now=end))
    return len(rows)


def shown(engine: sa.Engine, batch: Batch, now: datetime) -> dict[str, Any]:
    with reading(engine) as conn:
        found = found_batch(engine, batch.id)
        return pace.speed(conn, found, batches.counts(conn, found), now)


@pytest.mark.parametrize("polled", [True, False])
def test_eta_is_true_within_15_percent_after_a_tenth_of_the_work(engine, batch_factory, polled):
    batch = batch_factory(ROWS)
    # It waits behind another file before its turn comes.
    start = NOW + 10 * MINUTE
    shown(engine, batch, start - MINUTE)
    for step in range(ROWS // EACH):
        now = start + timedelta(seconds=(step + 1) * SECONDS)
        bake(engine, now=start + timedelta(seconds=step * SECONDS))
        if (polled and step) or step % 10 == 9:
            said, left = shown(engine, batch, now), (ROWS // EACH - step - 1) * SECONDS
            if step >= ROWS // EACH // 10 and left:
                assert abs(said["eta"] - left) <= 0.15 * left
                assert abs(said["rate"] - EACH / SECONDS) <= 0.15 * EACH / SECONDS
                assert said["progress"] == pytest.approx((step + 1) * EACH / ROWS)


@pytest.fixture
def reading_batch(engine, batch_factory):
    """A batch of 400 rows, half of whose file is read; `read()` is the moment when the rest is."""
    half = batch_factory(ROWS // 2, ingested=False)
    twice = sa.update(files).where(files.c.id == half.file_id).values(bytes=2 * half.cursor.offset)
    transaction(engine, lambda conn: conn.execute(twice))

    def read(now: datetime) -> None:
        def work(conn: sa.Connection) -> None:
            batch = found_batch(engine, half.id)
            ids = new_ids(ROWS // 2)
            rows = [BatchRow(i, n, n + 2, None, {"text": "row"}, {}) for n, i in enumerate(ids, ROWS // 2)]
            cursor = Cursor("insert", 2 * batch.cursor.offset, ROWS + 2, ROWS)
            assert batches.advance(conn, batch, cursor, ingested=True, total=ROWS)
            batches.add_rows(conn, batch, rows, now=now)

        transaction(engine, work)

    return half, read


@pytest.mark.parametrize("polled", [True, False])
def test_while_reading_slows_the_ovens_nothing_is_foretold_and_then_it_is_true(engine, reading_batch, polled):
    """Twice as fast from the moment on when the file is read, a fifth of the work behind it."""
    batch, read = reading_batch
    now, told = NOW, []
    for step in range(ROWS // EACH):
        slow = step < ROWS // EACH // 5
        bake(engine, now=now)
        now += timedelta(seconds=2 * SECONDS if slow else SECONDS)
        if step == ROWS // EACH // 5 - 1:
            read(now)
        if polled or step % 10 == 9:
            said, left = shown(engine, batch, now), (ROWS // EACH - step - 1) * SECONDS
            assert said["progress"] == pytest.approx(min(0.9999, (step + 1) * EACH / ROWS))
            assert said["rate"]
            if said["eta"] is not None and left:
                told.append(step)
                assert abs(said["eta"] - left) <= 0.15 * left
    assert min(told) in range(ROWS // EACH // 5, ROWS // EACH // (4 if polled else 2))


def test_where_the_ovens_wait_for_the_reading_its_pace_is_theirs(engine, reading_batch):
    batch, _ = reading_batch
    for step in range(ROWS // EACH // 2):
        bake(engine, now=NOW + timedelta(seconds=step * SECONDS))
    said = shown(engine, batch, NOW + timedelta(seconds=ROWS // EACH // 2 * SECONDS))
    assert said == {"progress": 0.5, "rate": EACH / SECONDS, "eta": ROWS // EACH // 2 * SECONDS}


def test_nothing_is_foretold_of_a_dataset_that_says_no_number_of_rows(engine, reading_batch):
    batch, _ = reading_batch
    of_dataset = sa.update(tables.batches).where(tables.batches.c.id == batch.id)
    transaction(engine, lambda conn: conn.execute(of_dataset.values(layout={"dataset": {"name": "a/b"}})))
    for step in range(ROWS // EACH // 2):
        bake(engine, now=NOW + timedelta(seconds=step * SECONDS))
    assert shown(engine, batch, NOW + MINUTE)["eta"] is None


def test_a_batch_whose_turn_has_not_come_promises_nothing(engine, batch_factory):
    batch = batch_factory(5)
    assert shown(engine, batch, NOW + MINUTE) == {"progress": 0, "rate": 0, "eta": None}


def test_a_retry_days_later_is_measured_from_the_retry_on(engine, batch_factory):
    batch, retried = batch_factory(40), NOW + timedelta(days=3)
    bake(engine, now=NOW)
    transaction(engine, lambda conn: batches.begin_cancel(conn, batch.id))
    transaction(engine, lambda conn: sweeps.cancel_batch_rows(conn, batch.id, limit=99, now=NOW))
    transaction(engine, lambda conn: batches.close_if_over(conn, batch.id, now=NOW + MINUTE))
    over = found_batch(engine, batch.id)
    transaction(engine, lambda conn: batches.retry(conn, over, now=retried))
    for step in range(3):
        bake(engine, now=retried + timedelta(seconds=step))
    said = shown(engine, batch, retried + timedelta(seconds=3))
    assert said == {"progress": 0.4, "rate": 4.0, "eta": 6.0}
    for step in range(3, 9):
        bake(engine, now=retried + timedelta(seconds=step))
    transaction(engine, lambda conn: batches.close_if_over(conn, batch.id, now=retried + timedelta(seconds=9)))
    assert shown(engine, batch, retried + MINUTE) == {"progress": 1, "rate": 4.0, "eta": None}
