"""A stored file and its reader, one piece a call; and a kill at any transaction of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from contract.media import Media
from contract.statuses import OnInvalidRows
from models import batches
from models.batches import Batch, NewBatch
from models.database import reading, transaction
from models.files import FileStorage, add_file
from models.jobs import Job, list_batch_jobs
from models.outcomes import rejected
from tests.integration.conftest import NOW
from worker import ingest
from worker.ingest import ingest_slice


class Killed(BaseException):
    """Stands for SIGKILL: nothing between here and the database may handle it."""


class Bench:
    """A storage folder and a reader whose every call is one slice of one piece."""

    pipeline, filename = "fake", "rows.csv"
    media = Media()

    def __init__(self, engine: sa.Engine, folder: Path) -> None:
        self.engine, self.storage, self.now = engine, FileStorage(folder), NOW
        self.woken: list[str] = []

    def batch(self, data: bytes, *, filename: str | None = None, **more: Any) -> str:
        filename = filename or self.filename
        file_id, size = self.storage.save([data], max_bytes=1 << 30)
        asked: dict[str, Any] = {"parameters": {}, "mapping": {}, "on_invalid_rows": OnInvalidRows.FAIL, **more}
        new = NewBatch(self.pipeline, filename, file_id, **asked)

        def work(conn: sa.Connection) -> str:
            add_file(conn, file_id=file_id, name=filename, content_type="text/csv", size=size, now=NOW)
            return batches.create_batch(conn, new, now=NOW)

        return transaction(self.engine, work)

    def slice(self, batch_id: str, *, seconds: float = 0.0, rows: int = 3) -> str:
        return ingest_slice(
            self.engine, self.storage, batch_id, seconds=seconds, rows_per_piece=rows, now_fn=lambda: self.now,
            wake=self.woken.append, media=self.media,
        )  # fmt: skip

    def read(self, batch_id: str, **more: Any) -> Batch:
        for _ in range(1_000):
            if self.slice(batch_id, **more) == "done":
                return self.found(batch_id)
        raise AssertionError("reading does not come to an end")

    def found(self, batch_id: str) -> Batch:
        with reading(self.engine) as conn:
            batch = batches.find_batch(conn, batch_id)
        assert batch is not None
        return batch

    def rows(self, batch_id: str) -> list[Job]:
        with reading(self.engine) as conn:
            return list_batch_jobs(conn, batch_id, limit=10_000).items

    def rejected(self, batch_id: str) -> list[dict[str, Any]]:
        with reading(self.engine) as conn:
            return rejected(conn, batch_id, after_row=-1, limit=10_000)

    def texts(self, batch_id: str) -> list[str]:
        return [job.inputs["text"] for job in self.rows(batch_id)]


@contextlib.contextmanager
def killed_at(monkeypatch: pytest.MonkeyPatch, place: int, *, after_commit: bool) -> Iterator[None]:
    """SIGKILL at the n-th transaction from here: before it commits, or right after."""
    left = place
    real = ingest.transaction

    def dying(engine: sa.Engine, work: Callable[[sa.Connection], Any]) -> Any:
        nonlocal left
        left -= 1
        if left < 0 and after_commit:
            real(engine, work)
            raise Killed

        def once(conn: sa.Connection) -> Any:
            done = work(conn)
            if left < 0:
                raise Killed
            return done

        return real(engine, once)

    with monkeypatch.context() as patch:
        patch.setattr(ingest, "transaction", dying)
        yield
