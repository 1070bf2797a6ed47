"""A caller of the API who hands in files, and a baker that stands for the worker."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient

from contract.errors import ErrorCode
from contract.schemas import checker
from contract.settings import Settings, Storage, Web
from contract.times import utc_now
from models import batches, claims, records
from models.database import transaction
from models.records import Failure, Success, Timing
from models.tables import metadata
from web.app import create_app
from web.schemas import BATCH
from worker.ingest import ingest_slice

ROWS = [("r0", "plain"), ("r1", 'with "quotes", and commas'), ("r2", "two\nlines"), ("r3", "raise"), ("r4", "été ☕"),
        ("r5", "=1+1")]  # fmt: skip
LABELS = [{"label": "good", "score": 0.75}, {"label": "bad", "score": 0.25}]
MAPPED = {"pipeline": "fake", "inputs": {"text": "review"}, "id_column": "ref"}


def sheet(delimiter: str = ",", rows: list[tuple[str, str]] = ROWS) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerows([["ref", "review", "note"], *([ref, text, "n"] for ref, text in rows)])
    return out.getvalue().encode()


class Caller:
    """A client of the API, and the worker behind it."""

    def __init__(self, app: Flask, engine: sa.Engine, files: Path) -> None:
        self.app, self.engine, self.files = app, engine, files
        self.http: FlaskClient = app.test_client()

    def upload(
        self, data: bytes, request: Any = None, *, name: str = "reviews.csv", path: str = "", **more: Any
    ) -> Any:
        parts = {
            "request": json.dumps({"pipeline": "fake"} if request is None else request),
            "file": (io.BytesIO(data), name),
        }
        if more.pop("file_first", False):
            parts = dict(reversed(parts.items()))
        return self.http.post(f"/api/v1/batches{path}", data=parts, content_type="multipart/form-data")

    def batch(self, data: bytes, request: Any = None, **more: Any) -> str:
        """The path of a batch that was taken."""
        answer = self.upload(data, request, **more)
        assert answer.status_code == 202, answer.text
        return str(answer.headers["Location"])

    def get(self, path: str, **more: Any) -> Any:
        answer = self.http.get(path, **more)
        assert answer.status_code == 200, answer.text
        return answer

    def read(self, path: str) -> dict[str, Any]:
        """Let the file be read to its end."""
        storage = self.app.extensions["fournil"].storage
        for _ in range(100):
            batch_id = path.rpartition("/")[2]
            if ingest_slice(
                self.engine, storage, batch_id, seconds=9, rows_per_piece=2, now_fn=utc_now, wake=lambda _: None
            ) == "done":  # fmt: skip
                return self.shown(path)
        raise AssertionError("reading does not come to an end")

    def bake(self, path: str, limit: int = 1_000) -> dict[str, Any]:
        """Do what a worker does with rows that wait; one whose text is `raise` fails."""
        now = utc_now()
        lease = timedelta(seconds=60)
        rows = transaction(
            self.engine,
            lambda conn: claims.claim(conn, "fake", limit=limit, worker="w", lease=lease, now=now),
        )
        bad = [
            Failure(r.id, r.fence, ErrorCode.INFERENCE_FAILED, "It raised.")
            for r in rows
            if r.inputs["text"] == "raise"
        ]
        good = [Success(r.id, r.fence, LABELS) for r in rows if r.inputs["text"] != "raise"]
        timing = Timing(load=0.0, inference=0.01)

        def record(conn: sa.Connection) -> None:
            records.finish(conn, good, model={"id": "fake"}, timing=timing, now=now)
            records.fail(conn, bad, timing=timing, now=now)
            batches.close_if_over(conn, path.rpartition("/")[2], now=now)

        transaction(self.engine, record)
        return self.shown(path)

    def shown(self, path: str) -> dict[str, Any]:
        batch: dict[str, Any] = self.get(path).json
        assert not checker(BATCH).problems(batch, at="batch")
        counts = dict(batch["counts"])
        total = counts.pop("total")
        assert total is None or sum(counts.values()) == total
        return batch

    def done(self, data: bytes, request: Any = None, **more: Any) -> str:
        path = self.batch(data, request, **more)
        self.read(path)
        self.bake(path)
        return path

    def stored(self) -> list[str]:
        return [path.name for path in self.files.rglob("*") if path.is_file()]

    def everything(self) -> dict[str, int]:
        """Rows by table: what "nothing is left" means."""
        with self.engine.connect() as conn:
            return {name: conn.scalar(sa.text(f"SELECT count(*) FROM {name}")) or 0 for name in metadata.tables}


@contextlib.contextmanager
def calling(engine: sa.Engine, storage: Storage) -> Iterator[Caller]:
    """An application of its own, closed in the end."""
    app = create_app(Settings(storage=storage, web=Web(max_upload_bytes=50_000)))
    try:
        yield Caller(app, engine, storage.files_dir)
    finally:
        app.extensions["fournil"].close()
