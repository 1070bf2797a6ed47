"""Every test here runs on SQLite and on PostgreSQL: a migrated database of its own, with two fake pipelines."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from contract.pipelines import PipelineSpec
from contract.settings import Broker, Storage
from models.pipelines import sync_pipelines
from tests.brokers import valkey_server
from tests.databases import engine_for, postgres_database, postgres_server, sqlite_database
from tests.integration.caller import Caller, calling
from web.changes import Changes

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture(autouse=True)
def listeners_end(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A listener of an application that outlived its test would complain of a broker that is gone."""
    made: list[Changes] = []
    begin = Changes.__init__

    def begun(changes: Changes, broker: Broker, *, waiting: int) -> None:
        begin(changes, broker, waiting=waiting)
        made.append(changes)

    monkeypatch.setattr(Changes, "__init__", begun)
    yield
    for changes in made:
        changes.close()


@pytest.fixture(scope="session")
def postgres_template() -> Iterator[str]:
    with postgres_server() as url:
        yield url


@pytest.fixture(scope="session")
def valkey() -> Iterator[str]:
    with valkey_server() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        with sqlite_database(tmp_path) as url:
            yield url
    else:
        with postgres_database(request.getfixturevalue("postgres_template")) as url:
            yield url


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    with engine_for(database_url) as found:
        specs = [PipelineSpec(name, "text-classification", backend="fake") for name in ("fake", "other")]
        sync_pipelines(found, specs, NOW)
        yield found


@pytest.fixture
def caller(engine: sa.Engine, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Caller]:
    # A slow machine takes all of a deleted batch away before it answers, as any other does.
    monkeypatch.setattr("web.batches.REMOVED_AT_ONCE", 60.0)
    with calling(engine, Storage(data_dir=tmp_path / "data", database_url=database_url)) as found:
        yield found
