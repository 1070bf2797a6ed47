"""Twenty small real pipelines of mixed sizes, and a real oven over them with a database of its own."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contract.pipelines import PipelineSpec
from contract.settings import Inference
from contract.statuses import JobStatus
from contract.times import utc_now
from models.database import reading, transaction
from models.jobs import find_job
from models.pipelines import sync_pipelines
from models.submit import NewJob, submit
from tests import tiny
from tests.databases import engine_for, sqlite_database
from worker.budgets import Budgets
from worker.hand import Hand
from worker.measures import Measures
from worker.oven import Oven
from worker.shelf import Place, Shelf
from worker.worth import Rule

#: Width and layers of a BERT: 2 to 130 MB.
_SHAPES = ((128, 2), (256, 2), (256, 6), (384, 6), (512, 6), (512, 10), (768, 4))
_TEXT = "the bread is good and the oven is warm"


def specs_in(folder: Path, count: int = 20) -> list[PipelineSpec]:
    """Pipelines over random checkpoints, written on first use; every second one on torch."""
    return [_spec(folder, number) for number in range(count)]


def _spec(folder: Path, number: int) -> PipelineSpec:
    place = folder / "checkpoints" / f"p{number:02}"
    width, layers = _SHAPES[number % len(_SHAPES)]
    if not place.exists():
        # The layers of two of one shape differ in width, so that no two checkpoints are the same.
        size = {"hidden_size": width, "num_hidden_layers": layers, "intermediate_size": 4 * width + 8 * number}
        tiny.classifier(place, num_attention_heads=8, spread=0.02, **size)
    return PipelineSpec(
        f"p{number:02}", "text-classification", model=str(place), backend="torch" if number % 2 else "onnx"
    )


def measures_in(folder: Path) -> Measures:
    return Measures(folder / "measures", place="this machine")


class _Silence:
    """Signals that nobody hears."""

    def __getattr__(self, _: str) -> Callable[..., None]:
        return lambda *_args, **_options: None


class Bakery:
    """An oven with `room` bytes whose shelf goes by `rule`."""

    def __init__(self, folder: Path, rule: Rule, room: int) -> None:
        self._stack = contextlib.ExitStack()
        self._folder, self._rule, self._room = folder, rule, room
        self._loads: list[float] = []
        self._failed = 0

    def __enter__(self) -> Bakery:
        own = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self._engine = self._stack.enter_context(engine_for(self._stack.enter_context(sqlite_database(own))))
        specs = specs_in(self._folder)
        sync_pipelines(self._engine, specs, utc_now())
        measures = measures_in(self._folder)
        place = Place("cpu", 2, self._folder / "cache", self._room)
        shelf = Shelf(place, lambda _: None, measures=measures, rule=self._rule)
        self._oven = Oven(
            name="bench/cpu0",
            engine=self._engine,
            shelf=shelf,
            budgets=Budgets(own / "budgets", place="here", fixed=256),
            hand=Hand(own / "run", "cpu0"),
            signals=_Silence(),  # type: ignore[arg-type]
            settings=Inference(token_budget=256),
        )
        # What libraries hold is nobody's: they are all in before anything is counted.
        for spec in specs[:2]:
            shelf.get(spec)
            shelf.put_away(spec.name)
        self._count_loads(shelf)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def bake(self, pipeline: str) -> None:
        """One row, from its submission to its result."""
        new = NewJob(pipeline, {"text": _TEXT}, {})
        job_id = transaction(self._engine, lambda conn: submit(conn, new, now=utc_now())).job_id
        self._oven.serve(pipeline)
        with reading(self._engine) as conn:
            job = find_job(conn, job_id)
        self._failed += job is None or job.status is not JobStatus.SUCCEEDED

    def counts(self) -> dict[str, Any]:
        return {"reloads": len(self._loads), "reload_seconds": round(sum(self._loads), 1), "failed": self._failed}

    def _count_loads(self, shelf: Shelf) -> None:
        get = shelf.get

        def counted(spec: PipelineSpec) -> Any:
            pipeline, seconds = get(spec)
            if seconds:
                self._loads.append(seconds)
            return pipeline, seconds

        shelf.get = counted  # type: ignore[method-assign]
