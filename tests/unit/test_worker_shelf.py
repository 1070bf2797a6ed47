"""Warm pipelines: loaded once, put away by what they are worth, and none lost to one that cannot be loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contract.errors import CheckpointError, ErrorCode
from contract.pipelines import PipelineSpec
from worker import shelf as shelf_module
from worker.backends.backend import Identity, OutOfMemory, Recent, Weighed
from worker.shelf import Place, Shelf


class Weights:
    """A loaded pipeline that occupies `size` bytes."""

    identity = Identity("m", "c", "float32", "fake")

    def __init__(self, size: int) -> None:
        self.size, self.closed = size, False

    def nbytes(self) -> int:
        return self.size

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def checkpoints(monkeypatch):
    """Sizes by pipeline name; loads are counted."""
    loads: list[str] = []
    sizes: dict[str, Any] = {}

    class Backend:
        def weigh(self, spec: PipelineSpec, *, device: str, cache: Path) -> Weighed:
            size = sizes.get(spec.name, 10)
            return Weighed("c", size if isinstance(size, int) else 10)

        def load(self, spec: PipelineSpec, *, device: str, cache: Path, recent: Recent) -> Weights:
            loads.append(spec.name)
            size = sizes.get(spec.name, 10)
            if callable(size):
                size = size()
            return Weights(size)

    monkeypatch.setattr(shelf_module, "backend_for", lambda spec: Backend())
    return loads, sizes


def shelf_of(room_bytes: int) -> tuple[Shelf, list[dict[str, int]]]:
    seen: list[dict[str, int]] = []
    return Shelf(Place("cpu", 1, Path("/nowhere"), room_bytes), seen.append), seen


def spec(name: str, **more: Any) -> PipelineSpec:
    return PipelineSpec(name, "text-classification", backend="fake", **more)


def test_a_warm_pipeline_is_not_loaded_again(checkpoints):
    shelf, seen = shelf_of(100)
    first, load = shelf.get(spec("a"))
    again, none = shelf.get(spec("a"))
    assert first is again
    assert load > 0
    assert none == 0.0
    assert seen == [{"a": 10}]


def test_what_is_asked_for_less_often_goes_first(checkpoints):
    loads, sizes = checkpoints
    sizes["big"] = 25
    shelf, _ = shelf_of(40)
    for name in ("a", "b", "a", "big"):
        shelf.get(spec(name))
    assert set(shelf.sizes()) == {"a", "big"}
    assert loads == ["a", "b", "big"]


def test_one_larger_than_the_room_runs_alone(checkpoints):
    _, sizes = checkpoints
    sizes["huge"] = 1000
    shelf, _ = shelf_of(40)
    shelf.get(spec("a"))
    shelf.get(spec("huge"))
    assert set(shelf.sizes()) == {"huge"}


def test_a_changed_definition_is_loaded_again(checkpoints):
    loads, _ = checkpoints
    shelf, _ = shelf_of(100)
    old, _ = shelf.get(spec("a"))
    shelf.get(spec("a", revision="2"))
    assert old.closed
    assert loads == ["a", "a"]


def test_a_load_that_does_not_fit_gets_all_the_room_and_one_more_try(checkpoints):
    _, sizes = checkpoints
    tries = iter([OutOfMemory(), 10])

    def sometimes() -> int:
        outcome = next(tries)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    sizes["b"] = sometimes
    shelf, _ = shelf_of(100)
    shelf.get(spec("a"))
    shelf.get(spec("b"))
    assert set(shelf.sizes()) == {"b"}


def test_a_broken_checkpoint_leaves_the_shelf_as_it_was(checkpoints):
    _, sizes = checkpoints

    def broken() -> int:
        raise CheckpointError(ErrorCode.CHECKPOINT_MISSING, "Not there.")

    sizes["b"] = broken
    shelf, _ = shelf_of(100)
    shelf.get(spec("a"))
    with pytest.raises(CheckpointError):
        shelf.get(spec("b"))
    assert set(shelf.sizes()) == {"a"}
