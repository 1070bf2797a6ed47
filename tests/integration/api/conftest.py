"""A web application on real SQLite and a real Valkey, with a stand-in for the worker that uses the stores alone."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import redis
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient

from contract.errors import ErrorCode
from contract.names import Keys
from contract.pipelines import PipelineSpec
from contract.settings import Broker, Settings, Storage
from contract.times import utc_now
from models import records
from models.claims import Claimed, claim
from models.database import make_engine, transaction
from models.migrate import upgrade
from models.pipelines import sync_pipelines
from models.workers import Worker, put_worker
from tests.processes import wait_until
from web.app import create_app

PIPELINES = [
    PipelineSpec("fake", "text-classification", backend="fake", warm=True),
    PipelineSpec("labels", "zero-shot-classification", backend="fake"),
    PipelineSpec("chat", "text-generation", model="/srv/secret/place/tiny", defaults={"max_new_tokens": 8}),
]
MODEL = {"id": "fake", "commit": "fake", "dtype": "none", "backend": "fake"}


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "fournil.db"
    upgrade(f"sqlite:///{path}")
    engine = make_engine(f"sqlite:///{path}")
    sync_pipelines(engine, PIPELINES, utc_now())
    with engine.connect() as conn:
        conn.exec_driver_sql("COMMIT")
        conn.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    engine.dispose()
    return path


@pytest.fixture
def settings(tmp_path: Path, migrated_file: Path, valkey: str) -> Settings:
    return fresh_settings(tmp_path, migrated_file, valkey)


def fresh_settings(folder: Path, migrated_file: Path, valkey: str) -> Settings:
    shutil.copy(migrated_file, folder / "fournil.db")
    return Settings(storage=Storage(data_dir=folder), broker=Broker(url=valkey, prefix=f"t{uuid4().hex[:8]}"))


@pytest.fixture
def change(settings: Settings) -> Callable[..., Settings]:
    """The settings with some fields of one section changed."""

    def make(section: str, **values: Any) -> Settings:
        return dataclasses.replace(settings, **{section: dataclasses.replace(getattr(settings, section), **values)})

    return make


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    made = create_app(settings)
    yield made
    made.extensions["fournil"].close()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def engine(app: Flask) -> sa.Engine:
    found: sa.Engine = app.extensions["fournil"].engine
    return found


@pytest.fixture
def broker(settings: Settings) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(settings.broker.url) as connection:
        yield connection


class Oven:
    """What a worker does to rows, one call a step."""

    def __init__(self, engine: sa.Engine, broker: redis.Redis, prefix: str) -> None:
        self._engine = engine
        self._broker = broker
        self._keys = Keys(prefix)

    def take(self, pipeline: str = "fake", *, limit: int = 1) -> list[Claimed]:
        now, lease = utc_now(), timedelta(seconds=60)
        rows = transaction(
            self._engine, lambda conn: claim(conn, pipeline, limit=limit, worker="w", lease=lease, now=now)
        )
        if rows:
            self._say(rows)
        return rows

    def finish(self, rows: list[Claimed], result: Any) -> None:
        done = [records.Success(row.id, row.fence, result) for row in rows]
        timing = records.Timing(load=0.0, inference=0.01)
        transaction(self._engine, lambda conn: records.finish(conn, done, model=MODEL, timing=timing, now=utc_now()))
        self._say(rows)

    def fail(self, rows: list[Claimed], message: str) -> None:
        failed = [records.Failure(row.id, row.fence, ErrorCode.INFERENCE_FAILED, message) for row in rows]
        timing = records.Timing(load=0.0, inference=0.01)
        transaction(self._engine, lambda conn: records.fail(conn, failed, timing=timing, now=utc_now()))
        self._say(rows)

    def write(self, job_id: str, text: str, *, first: bool = False) -> None:
        self._broker.xadd(self._keys.tokens(job_id), {"text": text, **({"first": "1"} if first else {})})
        self._broker.publish(self._keys.changes, job_id)

    def bake(self, result: Any = None, *, pipeline: str = "fake") -> list[Claimed]:
        """One row from the queue to its result."""
        rows = self.take(pipeline)
        self.finish(rows, result or [{"label": "even", "score": 0.9}, {"label": "odd", "score": 0.1}])
        return rows

    def be_seen(self, **more: Any) -> None:
        now = utc_now()
        known: dict[str, Any] = {"state": "ready", "warm": {"fake": 1_000_000}, "heartbeat_at": now, "baking": None}
        worker = Worker(
            name="host/cpu", host="host", device="cpu", pid=1, memory_bytes=None, started_at=now,
            **(known | more),
        )  # fmt: skip
        transaction(self._engine, lambda conn: put_worker(conn, worker))

    def _say(self, rows: list[Claimed]) -> None:
        self._broker.publish(self._keys.changes, " ".join(row.id for row in rows))


@pytest.fixture
def oven(engine: sa.Engine, broker: redis.Redis, settings: Settings) -> Oven:
    return Oven(engine, broker, settings.broker.prefix)


@pytest.fixture
def submit(client: FlaskClient) -> Callable[..., dict[str, Any]]:
    def make(text: str = "hello", *, pipeline: str = "fake", **more: Any) -> dict[str, Any]:
        answer = client.post("/api/v1/jobs", json={"pipeline": pipeline, "inputs": {"text": text}, **more})
        assert answer.status_code == 202, answer.get_json()
        return answer.get_json()

    return make


@pytest.fixture
def serve(settings: Settings) -> Iterator[Callable[..., str]]:
    """Start gunicorn on these settings; its URL."""
    with contextlib.ExitStack() as started:
        yield lambda **options: started.enter_context(served(settings, **options))


@contextlib.contextmanager
def served(settings: Settings, *, threads: int = 16, **env: str) -> Iterator[str]:
    """The URL of a gunicorn that ends with this."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [
        sys.executable, "-m", "gunicorn", "web.wsgi:application()", "--bind", f"127.0.0.1:{port}",
        "--worker-class", "web.gateway.Gateway", "--threads", str(threads), "--no-control-socket",
        "--config", "python:web.serving",
    ]  # fmt: skip
    path = settings.storage.data_dir / "gunicorn.log"
    with path.open("wb") as log:
        process = subprocess.Popen(words, env=_environment(settings, env), stdout=log, stderr=log)
        try:
            wait_until(lambda: _lives(port), seconds=60, what="gunicorn", show=path.read_text)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)


def _environment(settings: Settings, more: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FOURNIL_")}
    return {
        **kept,
        "PYTHONPATH": str(Path(__file__).resolve().parents[3]),
        "FOURNIL_DATA_DIR": str(settings.storage.data_dir),
        "FOURNIL_BROKER_URL": settings.broker.url,
        "FOURNIL_BROKER_PREFIX": settings.broker.prefix,
        **more,
    }


def _lives(port: int) -> bool:
    """The master listens long before a worker has loaded the application."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/livez", timeout=30).status_code == 200
    except httpx.TransportError:
        return False
