"""What a batch says of its speed, on a load that goes at an even pace, against what then happens."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from models import batches, records, sweeps
from models.batches import Batch
from models.claims import claim
from models.database import reading, transaction
from models.records import Success, Timing
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


def test_a_batch_whose_turn_has_not_come_promises_nothing(engine, batch_factory):
    batch = batch_factory(5)
    assert shown(engine, batch, NOW + MINUTE) == {"progress": 0, "rate": None, "eta": None}


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
