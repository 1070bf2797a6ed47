"""A real database, a fake pipeline, and an oven whose words are heard."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from contract.pipelines import PipelineSpec
from contract.settings import Inference
from contract.times import utc_now
from models.database import reading, transaction
from models.jobs import Job, find_job
from models.pipelines import StoredPipeline, find_pipeline, sync_pipelines
from models.submit import NewJob, submit
from tests.databases import engine_for, sqlite_database
from worker.budgets import Budgets
from worker.cellar import Cellar
from worker.hand import Hand
from worker.oven import Oven
from worker.shelf import Place, Shelf


class Heard:
    """Stands for worker.signals.Signals: remembers what was said, in order."""

    def __init__(self) -> None:
        self.said: list[tuple[str, Any]] = []

    def wake(self, pipeline: str) -> None:
        self.said.append(("wake", pipeline))

    def awake(self, pipeline: str) -> None:
        self.said.append(("awake", pipeline))

    def retire(self, slot: str) -> None:
        self.said.append(("retire", slot))

    def changed(self, ids: Any) -> None:
        self.said.append(("changed", sorted(ids)))

    def deliver(self, ids: Any, *, after: float = 0.0) -> None:
        self.said.append(("deliver", list(ids)))

    def wrote(self, job_id: str, text: str, *, first: bool) -> None:
        self.said.append(("wrote", (job_id, text, first)))


@dataclasses.dataclass
class House:
    engine: sa.Engine
    oven: Oven
    hand: Hand
    heard: Heard

    def job(self, job_id: str) -> Job:
        with reading(self.engine) as conn:
            found = find_job(conn, job_id)
        assert found is not None
        return found

    def pipeline(self, name: str) -> StoredPipeline:
        with reading(self.engine) as conn:
            found = find_pipeline(conn, name)
        assert found is not None
        return found

    def put(self, text: str, *, pipeline: str = "fake", **more: Any) -> str:
        new = NewJob(pipeline, {"text": text}, more.pop("parameters", {}), **more)
        return transaction(self.engine, lambda conn: submit(conn, new, now=utc_now())).job_id


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    with sqlite_database(tmp_path) as url, engine_for(url) as found:
        specs = [
            PipelineSpec(name, "text-classification", backend="fake", warm=name == "fake")
            for name in ("fake", "other")
        ]
        sync_pipelines(found, specs, utc_now())
        yield found


@pytest.fixture
def house_of(engine, tmp_path):
    def make(*, decks: int = 1, name: str = "h/cpu0", cellar: Cellar | None = None, **settings: Any) -> House:
        heard, hand = Heard(), Hand(tmp_path / "run", name.partition("/")[2])
        shelf = Shelf(Place("cpu", 1, tmp_path, 10**9), lambda _: None)
        inference = Inference(**settings)
        budgets = Budgets(tmp_path / "budgets", place="here", fixed=inference.token_budget)
        oven = Oven(
            name=name,
            engine=engine,
            shelf=shelf,
            budgets=budgets,
            hand=hand,
            signals=heard,  # type: ignore[arg-type]
            settings=inference,
            decks=decks,
            cellar=cellar,
        )
        return House(engine, oven, hand, heard)

    return make


@pytest.fixture
def house(house_of):
    return house_of()


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])


def hold(engine: sa.Engine, pid: int, *texts: str) -> list[str]:
    from models.claims import claim

    ids = []
    for text in texts:
        new = NewJob("fake", {"text": text}, {})
        ids.append(transaction(engine, lambda conn, new=new: submit(conn, new, now=utc_now())).job_id)
    transaction(
        engine,
        lambda conn: claim(conn, "fake", limit=9, worker=f"h/cpu0#{pid}", lease=timedelta(seconds=2), now=utc_now()),
    )
    return ids


def status(engine: sa.Engine, job_id: str) -> tuple[str, int | None]:
    with engine.connect() as conn:
        row = conn.execute(sa.text("SELECT status, max_group FROM jobs WHERE id = :i"), {"i": job_id}).one()
    return row[0], row[1]
