"""Quantized pipelines are compared with float32 again when people have sent something, and never in their way."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from contract.pipelines import PipelineSpec
from contract.settings import Inference
from contract.times import utc_now
from models.database import reading
from models.jobs import recent_inputs
from models.pipelines import sync_pipelines
from tests import tiny
from tests.databases import engine_for, sqlite_database
from tests.integration.ovens.conftest import Heard, House
from worker import shelf as shelf_module
from worker.backends.backend import Inputs, LoadedPipeline
from worker.backends.fake import FakeBackend, FakePipeline
from worker.budgets import Budgets
from worker.hand import Hand
from worker.oven import Oven
from worker.shelf import Place, Shelf

ROOM = 10**9
EXAMPLE = {"inputs": 1, "recent": False, "same_first": 1, "of": 1}


class Rough(FakePipeline):
    """Says that it is quantized; its twin gives the same labels with other scores."""

    to_compare = 100

    def __init__(self, spec: PipelineSpec, events: list[str], *, score: float = 0.8) -> None:
        super().__init__(spec)
        self.name, self.events, self.score = spec.name, events, score
        self.fidelity = dict(EXAMPLE) if score == Rough.score_of_its_own else None
        self.size = 1_000_000

    score_of_its_own = 0.8

    def exact(self, *, room: int) -> LoadedPipeline | None:
        if room < 2 * self.size:
            return None
        self.events.append(f"loads {self.name}")
        return Rough(PipelineSpec(self.name, "text-classification"), self.events, score=0.9)

    def compared(self, rows: Any) -> list[Any]:
        self.events.append(f"answers {len(rows)}")
        return [[{"label": "even", "score": self.score}] for _ in rows]

    def nbytes(self) -> int:
        return self.size

    def close(self) -> None:
        self.events.append("closes")


@dataclasses.dataclass
class Slot:
    house: House
    shelf: Shelf
    events: list[str]
    jobs: list[str] = dataclasses.field(default_factory=list)

    def bake(self, rows: int, pipeline: str = "rough") -> None:
        for number in range(rows):
            self.jobs.append(self.house.put(f"row {number}", pipeline=pipeline))
        self.house.oven.serve(pipeline)

    def rest(self, times: int = 120) -> None:
        for _ in range(times):
            self.house.oven.rest()

    @property
    def fidelity(self) -> dict[str, Any] | None:
        return self.house.pipeline("rough").fidelity


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    with sqlite_database(tmp_path) as url, engine_for(url) as found:
        names = ("rough", "plain")
        sync_pipelines(found, [PipelineSpec(n, "text-classification", backend="fake") for n in names], utc_now())
        yield found


@pytest.fixture
def place_of(engine: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Slot]:
    def make(*, room: int = ROOM, idle: float = 0.0, real: bool = False) -> Slot:
        events: list[str] = []

        class Bakes(FakeBackend):
            def load(self, spec: PipelineSpec, **_: Any) -> Any:
                return Rough(spec, events) if spec.name == "rough" else FakePipeline(spec)

        def recent(pipeline: str, count: int) -> list[Inputs]:
            with reading(engine) as conn:
                return recent_inputs(conn, pipeline, "text-classification", limit=count)

        if not real:
            monkeypatch.setattr(shelf_module, "backend_for", lambda _: Bakes())
        hand, heard = Hand(tmp_path / "run", "cpu0"), Heard()
        shelf = Shelf(Place("cpu", 1, tmp_path, room), lambda _: None, recent)
        oven = Oven(
            name="h/cpu0", engine=engine, shelf=shelf, budgets=Budgets(tmp_path / "budgets", place="here", fixed=0),
            hand=hand, signals=heard, settings=Inference(),  # type: ignore[arg-type]
        )  # fmt: skip
        oven._taster._idle = idle
        return Slot(House(engine, oven, hand, heard), shelf, events)

    return make


def test_what_was_measured_on_an_example_is_measured_on_what_was_sent(place_of: Any) -> None:
    place = place_of()
    place.bake(1)
    place.rest()
    assert place.fidelity == EXAMPLE
    place.bake(20)
    place.rest()
    assert place.fidelity == {
        "inputs": 21, "recent": True, "same_first": 21, "of": 21, "score_mean": 0.1, "score_max": 0.1,
    }  # fmt: skip
    assert place.events[0] == "loads rough"
    assert place.events[-1] == "closes"


def test_it_is_done_again_after_ten_times_as_many(place_of: Any) -> None:
    place = place_of()
    place.bake(20)
    place.rest()
    place.bake(150)
    place.rest()
    assert place.events.count("loads rough") == 1
    place.bake(50)
    place.rest()
    assert place.events.count("loads rough") == 2
    assert place.fidelity["inputs"] == 100


def test_a_call_between_two_steps_is_served_and_then_it_goes_on(place_of: Any) -> None:
    place = place_of()
    place.bake(40)
    place.rest(2)
    assert "closes" not in place.events
    place.bake(1)
    place.rest()
    assert place.events[-1] == "closes"
    assert place.fidelity["recent"]


def test_a_load_for_somebody_else_takes_the_twin_away(place_of: Any) -> None:
    place = place_of()
    place.bake(40)
    place.rest(2)
    place.bake(1, pipeline="plain")
    assert place.events[-1] == "closes"
    place.rest()
    assert place.fidelity == EXAMPLE


def test_without_room_for_the_twin_nothing_is_loaded(place_of: Any) -> None:
    place = place_of(room=2_500_000)
    place.bake(40)
    place.rest()
    assert place.events == []
    assert place.fidelity == EXAMPLE


def test_an_oven_that_was_busy_a_moment_ago_is_left_alone(place_of: Any) -> None:
    place = place_of(idle=600.0)
    place.bake(40)
    place.rest()
    assert place.events == []


@pytest.mark.real_model
def test_a_real_pipeline_is_compared_with_its_own_float32(engine: sa.Engine, tmp_path: Path, place_of: Any) -> None:
    folder = tiny.classifier(tmp_path / "checkpoint")
    spec = PipelineSpec("rough", "text-classification", str(folder), backend="torch", quantize="int8")
    place = place_of(real=True)
    sync_pipelines(engine, [spec], utc_now())
    place.bake(20)
    loaded = place.fidelity
    place.rest()
    assert loaded is not None
    # What waited was not answered when it was loaded.
    assert (loaded["inputs"], loaded["recent"]) == (1, False)
    assert (place.fidelity["inputs"], place.fidelity["of"], place.fidelity["recent"]) == (20, 20, True)
    assert 0 < place.fidelity["score_max"] < 0.1
    [result] = {json.dumps(place.house.job(job_id).model, sort_keys=True) for job_id in place.jobs}
    assert json.loads(result)["dtype"] == "int8"
