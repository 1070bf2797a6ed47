"""An idle oven and its doorbell, and what one process of a node works with."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from celery import Celery

from contract.brokers import VISIBILITY_SECONDS
from contract.pipelines import PipelineSpec
from contract.settings import Settings
from contract.statuses import JobStatus
from contract.times import utc_now
from models.database import reading, transaction
from models.jobs import find_job
from models.pipelines import sync_pipelines
from models.submit import NewJob, submit
from models.workers import Worker, list_workers
from tests.databases import engine_for, sqlite_database
from worker import crew as crew_module
from worker.crew import Crew, child_crew, main_warden
from worker.doorbell import Doorbell
from worker.hand import Hand


class Porch:
    """Stands for worker.signals.Signals: knocks as they were written down; None is half a second of silence."""

    def __init__(self, *knocks: str | None, rests: int = 99, last: str | None = None) -> None:
        self._knocks = list(knocks)
        self._rests = rests
        self._last = last
        self.heard: list[Any] = []

    def rest(self, slot: str, pipelines: Any) -> bool:
        self.heard.append(("rest", slot, tuple(pipelines)))
        self._rests -= 1
        return self._rests >= 0

    def knock(self, slot: str, *, seconds: float) -> str | None:
        assert 0 < seconds <= 1  # a request to stop must not go unheard for long
        return self._knocks.pop(0)

    def retire(self, slot: str) -> str | None:
        self.heard.append(("retire", slot))
        last, self._last = self._last, None
        return last

    def is_reading(self, batch_id: str) -> None:
        self.heard.append(("is reading", batch_id))

    def changed(self, ids: Any) -> None:
        self.heard.append(("changed", list(ids)))

    def read(self, batch_id: str) -> None:
        self.heard.append(("read", batch_id))

    def wake(self, pipeline: str) -> None:
        self.heard.append(("wake", pipeline))


class Baked:
    """Stands for worker.oven.Oven: which pipelines it served."""

    def __init__(self) -> None:
        self.served: list[str] = []

    def serve(self, pipeline: str) -> None:
        self.served.append(pipeline)


@pytest.fixture
def hand(tmp_path: Path) -> Hand:
    return Hand(tmp_path / "run", "cpu0")


def doorbell(porch: Porch, hand: Hand) -> Doorbell:
    return Doorbell(porch, hand, slot="h/cpu0", pipelines=["a", "b"])  # type: ignore[arg-type]


def crew(porch: Porch, hand: Hand | None, oven: Baked | None) -> Crew:
    bell = doorbell(porch, hand) if hand else None
    settings = Settings.from_env({})
    return Crew(settings, None, porch, None, oven, bell)  # type: ignore[arg-type]


def test_every_knock_is_heard_in_order_and_silence_is_none(hand):
    porch = Porch("a", None, "b", None, "a", rests=5)
    assert list(doorbell(porch, hand).rings()) == ["a", "b", "a"]


def test_before_each_look_for_a_knock_the_slot_says_that_it_is_idle(hand):
    porch = Porch(None, "a", None, rests=3)
    list(doorbell(porch, hand).rings())
    assert porch.heard == [("rest", "h/cpu0", ("a", "b"))] * 4 + [("retire", "h/cpu0")]


def test_an_oven_does_not_rest_while_celery_has_a_message(hand):
    porch = Porch(rests=0)
    assert list(doorbell(porch, hand).rings()) == []
    assert porch.heard[-1] == ("retire", "h/cpu0")


def test_a_knock_that_came_while_it_left_is_answered(hand):
    porch = Porch("a", rests=1, last="b")
    assert list(doorbell(porch, hand).rings()) == ["a", "b"]


def test_a_slot_that_is_asked_to_stop_does_not_even_begin_to_rest(hand):
    porch = Porch("a", last="b")
    hand.ask_to_stop()
    assert list(doorbell(porch, hand).rings()) == ["b"]
    assert porch.heard == [("retire", "h/cpu0")]


def test_a_request_to_stop_is_heard_after_a_knock(hand):
    rings = doorbell(Porch("a", "b", "c"), hand).rings()
    assert next(rings) == "a"
    hand.ask_to_stop()
    assert list(rings) == []


def test_it_lets_go_of_its_message_before_a_broker_would_deliver_it_again(hand, monkeypatch):
    class Clock:
        now = 0.0

        def monotonic(self) -> float:
            self.now += 0.5
            return self.now

    clock = Clock()
    monkeypatch.setattr("worker.doorbell.time", clock)
    porch = Porch(*[None] * 10_000, rests=10_000)
    assert list(doorbell(porch, hand).rings()) == []
    assert 60 < clock.now < VISIBILITY_SECONDS / 2


def test_an_oven_serves_its_message_first_and_then_every_knock(hand):
    oven = Baked()
    crew(Porch("b", None, "a", rests=3, last="c"), hand, oven).serve("a")
    assert oven.served == ["a", "b", "a", "c"]


def test_while_it_bakes_nobody_is_idle(hand):
    """The look for a knock comes after the serving, so a slot never says that it rests while it works."""
    porch, order = Porch("b", rests=1), []

    class Oven(Baked):
        def serve(self, pipeline: str) -> None:
            order.append((pipeline, len(porch.heard)))

    crew(porch, hand, Oven()).serve("a")
    assert order == [("a", 0), ("b", 1)]


def test_a_node_without_a_device_slot_refuses_to_bake():
    with pytest.raises(RuntimeError, match="without a device slot"):
        crew(Porch(), None, None).serve("a")


@pytest.mark.parametrize(("outcome", "again"), [("again", [("read", "b1")]), ("done", [])])
def test_a_file_is_read_for_one_slice_and_goes_to_the_back_of_the_line(monkeypatch, outcome, again):
    porch = Porch()

    def read_on(engine: Any, storage: Any, batch_id: str, **options: Any) -> str:
        porch.heard.append(("slice", batch_id, options["seconds"], options["rows_per_piece"]))
        options["wake"]("a")
        return outcome

    monkeypatch.setattr(crew_module, "ingest_slice", read_on)
    crew(porch, None, None).ingest("b1")
    upkeep = Settings.from_env({}).upkeep
    expected = ("slice", "b1", upkeep.ingest_slice_seconds, upkeep.ingest_rows)
    assert porch.heard == [("is reading", "b1"), expected, ("wake", "a"), ("changed", ["b1"]), *again]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[tuple[sa.Engine, Settings]]:
    """A migrated database with a warm fake pipeline, and a broker that is away."""
    settings = Settings.from_env(
        {
            "FOURNIL_DATA_DIR": str(tmp_path),
            "FOURNIL_BROKER_URL": "redis://127.0.0.1:9/0",
            "FOURNIL_SLOT": "cpu0",
            "FOURNIL_SLOT_THREADS": "1",
        }
    )
    with sqlite_database(tmp_path), engine_for(settings.storage.url) as engine:
        sync_pipelines(engine, [PipelineSpec("fake", "text-classification", backend="fake", warm=True)], utc_now())
        yield engine, settings


def slot_row(engine: sa.Engine) -> Worker:
    with reading(engine) as conn:
        (found,) = list_workers(conn)
    return found


def test_a_slot_is_starting_until_its_child_is_warm(house):
    engine, settings = house
    app = Celery("t", broker="memory://")
    main_warden(app, settings, host="h", pid=7)
    assert (slot_row(engine).name, slot_row(engine).state, slot_row(engine).warm) == ("h/cpu0", "starting", {})
    child_crew(app, settings, host="h")
    row = slot_row(engine)
    assert row.state == "ready"
    assert row.warm == {"fake": 1_000_000}
    assert row.memory_bytes
    assert row.memory_bytes > 0


def test_a_child_bakes_and_leaves_though_the_broker_is_away(house):
    engine, settings = house
    child = child_crew(Celery("t", broker="memory://"), settings, host="h")
    job = transaction(engine, lambda conn: submit(conn, NewJob("fake", {"text": "hello"}, {}), now=utc_now()))
    baking = threading.Thread(target=child.serve, args=["fake"])
    baking.start()
    baking.join(30)
    assert not baking.is_alive()
    with reading(engine) as conn:
        found = find_job(conn, job.job_id)
    assert found is not None
    assert found.status is JobStatus.SUCCEEDED


def test_a_child_listens_for_every_pipeline_there_is(house, monkeypatch):
    engine, settings = house
    specs = [PipelineSpec(name, "text-classification", backend="fake") for name in ("fake", "other")]
    sync_pipelines(engine, specs, utc_now())
    rested: list[tuple[str, list[str]]] = []

    def rest(_: Any, slot: str, pipelines: Any) -> bool:
        rested.append((slot, sorted(pipelines)))
        return False

    monkeypatch.setattr("worker.signals.Signals.rest", rest)
    child_crew(Celery("t", broker="memory://"), settings, host="h").serve("fake")
    assert rested == [("h/cpu0", ["fake", "other"])]


def test_a_child_without_a_slot_has_no_oven(house):
    _, settings = house
    upkeep = Settings.from_env(
        {"FOURNIL_DATA_DIR": str(settings.storage.data_dir), "FOURNIL_BROKER_URL": settings.broker.url}
    )
    child = child_crew(Celery("t", broker="memory://"), upkeep, host="h")
    assert child.oven is None
    assert child.doorbell is None
