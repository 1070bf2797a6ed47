"""The shelf under an oven: room before a load, growth in use, loading ahead, a turn that outlives its pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import sqlalchemy as sa

from contract.pipelines import PipelineSpec
from contract.settings import Inference
from contract.statuses import JobStatus, PipelineState, Priority
from contract.times import utc_now
from models.database import transaction
from models.pipelines import set_state, sync_pipelines
from tests.databases import engine_for, sqlite_database
from tests.integration.ovens.conftest import Heard, House
from worker import shelf as shelf_module
from worker.backends.backend import Weighed
from worker.backends.fake import FakeBackend, FakePipeline
from worker.budgets import Budgets
from worker.hand import Hand
from worker.measures import Measures
from worker.oven import Oven
from worker.shelf import Place, Shelf

SIZE = 10


class Bread(FakePipeline):
    """Weighs SIZE, and more after each microbatch if it is told to rise; closed, it bakes no more."""

    rises: ClassVar[dict[str, int]] = {}
    loaded: ClassVar[list[str]] = []
    held: ClassVar[dict[str, int]] = {}
    most = 0

    def __init__(self, spec: PipelineSpec) -> None:
        super().__init__(spec)
        self.name, self.size, self.closed = spec.name, SIZE, False
        Bread.loaded.append(spec.name)
        Bread.held[spec.name] = SIZE
        Bread.most = max(Bread.most, sum(Bread.held.values()))

    def bake(self, *args: Any) -> list[Any]:
        assert not self.closed
        self.size += Bread.rises.get(self.name, 0)
        Bread.held[self.name] = self.size
        return super().bake(*args)

    def nbytes(self) -> int:
        return self.size

    def close(self) -> None:
        self.closed = True
        Bread.held.pop(self.name)


class Bakes(FakeBackend):
    def weigh(self, *_: Any, **__: Any) -> Weighed:
        return Weighed("fake", SIZE)

    def load(self, spec: PipelineSpec, **_: Any) -> Bread:
        return Bread(spec)


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[sa.Engine]:
    monkeypatch.setattr(shelf_module, "backend_for", lambda _: Bakes())
    monkeypatch.setattr(Bread, "rises", {})
    monkeypatch.setattr(Bread, "loaded", [])
    monkeypatch.setattr(Bread, "held", {})
    monkeypatch.setattr(Bread, "most", 0)
    with sqlite_database(tmp_path) as url, engine_for(url) as found:
        specs = [PipelineSpec(name, "text-classification", model=name, backend="fake") for name in "abcd"]
        sync_pipelines(found, specs, utc_now())
        yield found


@pytest.fixture
def house_with(engine: sa.Engine, tmp_path: Path) -> Any:
    def make(room: int, **settings: Any) -> House:
        heard, hand = Heard(), Hand(tmp_path / "run", "cpu0")
        measures = Measures(tmp_path / "measures", place="here")
        oven = Oven(
            name="h/cpu0",
            engine=engine,
            shelf=Shelf(Place("cpu", 1, tmp_path, room), lambda _: None, measures=measures),
            budgets=Budgets(tmp_path / "budgets", place="here", fixed=settings.get("token_budget", 0)),
            hand=hand,
            signals=heard,  # type: ignore[arg-type]
            settings=Inference(**settings),
        )
        return House(engine, oven, hand, heard)

    return make


def warm(house: House) -> set[str]:
    return set(house.oven._shelf.sizes())


def bake(house: House, *names: str) -> None:
    for name in names:
        job_id = house.put("hello", pipeline=name)
        house.oven.serve(name)
        assert house.job(job_id).status is JobStatus.SUCCEEDED


def test_the_room_is_never_exceeded_even_for_a_moment(house_with: Any) -> None:
    house = house_with(room=2 * SIZE)
    bake(house, *"abcdabdcacbd")
    assert Bread.most == 2 * SIZE
    assert len(warm(house)) == 2


def test_what_is_asked_for_often_stays(house_with: Any) -> None:
    house = house_with(room=2 * SIZE)
    bake(house, *"abacadabac")
    assert Bread.loaded.count("a") == 1


def test_what_grew_in_use_makes_room_at_the_end_of_its_slice(house_with: Any) -> None:
    house = house_with(room=3 * SIZE)
    bake(house, "a", "b")
    Bread.rises["c"] = SIZE + 1
    bake(house, "c")
    assert "c" in warm(house)
    assert sum(Bread.held.values()) <= 3 * SIZE


@pytest.mark.parametrize(
    ("room", "others", "most"), [(4 * SIZE, "", 3 * SIZE), (16 * SIZE, "bcd", 12 * SIZE), (2 * SIZE, "b", SIZE // 4)]
)
def test_passes_fit_beside_what_is_warm_and_a_full_shelf_leaves_them_something(
    room: int, others: str, most: int, house_with: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = house_with(room=room)
    bake(house, "a", *others)
    passes: list[int] = []

    def watched(self: Any, rows: Any, *rest: Any) -> list[Any]:
        passes.append(sum(row.length for row in rows))
        return FakePipeline.bake(self, rows, *rest)

    monkeypatch.setattr(Bread, "bake", watched)
    monkeypatch.setattr(Bread, "token_bytes", 1)
    jobs = [house.put("hello", pipeline="a") for _ in range(30)]
    house.oven.serve("a")
    assert {house.job(job_id).status for job_id in jobs} == {JobStatus.SUCCEEDED}
    assert max(passes) == min(most, len(jobs))


def test_room_is_made_for_what_it_grew_to_in_another_life(house_with: Any) -> None:
    Bread.rises["c"] = SIZE
    bake(house_with(room=9 * SIZE), "c")
    Bread.rises.clear()
    Bread.held.clear()
    house = house_with(room=3 * SIZE)
    bake(house, "a", "b", "c")
    assert "c" in warm(house)
    assert len(warm(house)) == 2


def test_a_turn_whose_pipeline_was_put_away_for_people_goes_on(house_with: Any) -> None:
    house = house_with(room=SIZE, token_budget=1)
    rows = [house.put(f"row {n}", pipeline="a", priority=Priority.BULK) for n in range(4)]
    record = house.oven._recorder.record
    person: list[str] = []

    def spy(*args: Any, **more: Any) -> None:
        record(*args, **more)
        if not person:
            person.append(house.put("somebody", pipeline="b"))

    house.oven._recorder.record = spy
    house.oven.serve("a")
    assert house.job(person[0]).status is JobStatus.SUCCEEDED
    assert {house.job(row).status for row in rows} == {JobStatus.SUCCEEDED}
    assert Bread.loaded == ["a", "b", "a"]


def declare_warm(engine: sa.Engine, *names: str) -> None:
    specs = [PipelineSpec(n, "text-classification", model=n, backend="fake", warm=n in names) for n in "abcd"]
    sync_pipelines(engine, specs, utc_now())


def test_an_oven_that_rests_loads_what_is_to_be_warm(house_with: Any, engine: sa.Engine) -> None:
    declare_warm(engine, "a")
    house = house_with(room=2 * SIZE)
    bake(house, "a")
    house.oven._shelf.put_away("a")
    house.oven.rest()
    assert warm(house) == {"a"}
    note = house.hand.read()
    assert note is not None
    assert note.deadline is None


def test_what_has_rows_in_line_is_loaded_ahead_first(house_with: Any, engine: sa.Engine) -> None:
    declare_warm(engine, "a")
    house = house_with(room=2 * SIZE)
    bake(house, "a", "d")
    house.oven._shelf.put_away("a")
    house.oven._shelf.put_away("d")
    house.put("later", pipeline="d", priority=Priority.BULK)
    house.oven.rest()
    assert warm(house) == {"d"}


@pytest.mark.parametrize("room", [SIZE, SIZE - 1])
def test_what_an_earlier_process_weighed_is_loaded_ahead_where_it_fits(room: int, house_with: Any) -> None:
    bake(house_with(room=2 * SIZE), "a")
    Bread.held.clear()
    house = house_with(room=room)
    house.put("later", pipeline="a", priority=Priority.BULK)
    house.oven.rest()
    assert warm(house) == ({"a"} if room >= SIZE else set())


@pytest.mark.parametrize("why", ["no room", "somebody waits", "paused", "stopping", "never loaded"])
def test_nothing_is_loaded_ahead_when(why: str, house_with: Any, engine: sa.Engine) -> None:
    declare_warm(engine, "a")
    house = house_with(room=SIZE)
    if why != "never loaded":
        bake(house, "a")
        house.oven._shelf.put_away("a")
    if why == "no room":
        bake(house, "b")
    if why == "somebody waits":
        house.put("now", pipeline="c")
    if why == "paused":
        transaction(engine, lambda conn: set_state(conn, "a", PipelineState.PAUSED, reason=None, now=utc_now()))
    if why == "stopping":
        house.hand.ask_to_stop()
    before = warm(house)
    house.oven.rest()
    assert warm(house) == before
