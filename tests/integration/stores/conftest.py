"""The same tests of the stores run on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from contract.ids import new_id, new_ids
from contract.statuses import BatchStatus, OnInvalidRows, Priority
from models import batches
from models.batches import Batch, BatchRow, Cursor, NewBatch
from models.claims import Claimed, claim
from models.database import reading, transaction
from models.files import add_file
from models.submit import NewJob, submit
from tests.integration.conftest import NOW

LEASE = timedelta(seconds=30)


@pytest.fixture
def job_factory(engine: sa.Engine) -> Callable[..., str]:
    """Submits one job and answers its id."""

    def make(text: str = "hello", *, now: datetime = NOW, pipeline: str = "fake", **more: Any) -> str:
        new = NewJob(pipeline, {"text": text}, more.pop("parameters", {}), **more)
        return transaction(engine, lambda conn: submit(conn, new, now=now)).job_id

    return make


@pytest.fixture
def claim_rows(engine: sa.Engine) -> Callable[..., list[Claimed]]:
    def make(
        limit: int = 10, *, worker: str = "w1", now: datetime = NOW, only: Priority | None = None
    ) -> list[Claimed]:
        return transaction(
            engine, lambda conn: claim(conn, "fake", limit=limit, worker=worker, lease=LEASE, now=now, only=only)
        )

    return make


@pytest.fixture
def batch_factory(engine: sa.Engine) -> Callable[..., Batch]:
    """A batch whose `rows` rows are all in the queue."""

    def make(rows: int = 3, *, now: datetime = NOW, ingested: bool = True) -> Batch:
        file_id, ids = new_id(), new_ids(rows)
        new = NewBatch("fake", "rows.csv", file_id, {}, {"text": "text"}, OnInvalidRows.SKIP)

        def work(conn: sa.Connection) -> str:
            add_file(conn, file_id=file_id, name="rows.csv", content_type="text/csv", size=3, now=now)
            batch_id = batches.create_batch(conn, new, now=now)
            batch = batches.find_batch(conn, batch_id)
            assert batch is not None
            changes: dict[str, Any] = {"status": BatchStatus.RUNNING.value, "started_at": now}
            changes |= {"ingested": True, "total": rows} if ingested else {}
            assert batches.advance(conn, batch, Cursor("insert", 10 * rows, rows + 2, rows), **changes)
            numbered = [BatchRow(i, n, n + 2, None, {"text": "row"}, {}) for n, i in enumerate(ids)]
            batches.add_rows(conn, batch, numbered, now=now)
            return batch_id

        return found_batch(engine, transaction(engine, work))

    return make


def found_batch(engine: sa.Engine, batch_id: str) -> Batch:
    with reading(engine) as conn:
        batch = batches.find_batch(conn, batch_id)
    assert batch is not None
    return batch
