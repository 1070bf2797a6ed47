"""The worker's pure parts: planning, pacing, isolation, the shelf and the note in hand."""

from __future__ import annotations

import random
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import CheckpointError, ErrorCode, InputError
from contract.jsons import dumps, finite, loads
from contract.pipelines import PipelineSpec
from contract.vectors import Vector
from models.vectors import pack, unpack
from worker import shelf as shelf_module
from worker.appetite import Appetite
from worker.backends.backend import Context, DeviceLost, Identity, OutOfMemory, Prepared, Recent, Weighed
from worker.baking import Baker, Dough
from worker.hand import Hand, Note
from worker.memory import host_memory, room
from worker.planner import Limits, Portion, halves, padded, plan
from worker.shelf import Place, Shelf

portions = st.lists(st.tuples(st.integers(0, 600), st.integers(1, 8), st.integers(0, 1)), max_size=60).map(
    lambda rows: [Portion(i, *row) for i, row in enumerate(rows)]
)


@given(portions, st.integers(1, 4096), st.integers(0, 100))
def test_every_row_is_in_exactly_one_microbatch(rows, budget, overhead):
    planned = plan(rows, Limits(budget, overhead))
    assert sorted(i for tray in planned for i in tray) == list(range(len(rows)))
    assert all(planned)


@given(portions, st.integers(1, 4096), st.integers(0, 100))
def test_the_budget_is_kept_but_by_a_row_that_is_larger_alone(rows, budget, overhead):
    for tray in plan(rows, Limits(budget, overhead)):
        longest = max(max(1, rows[i].length) for i in tray)
        cost = longest * sum(rows[i].sequences for i in tray)
        assert cost <= budget or len(tray) == 1


@given(portions, st.integers(1, 4096), st.integers(0, 100))
def test_people_are_planned_first_and_apart(rows, budget, overhead):
    priorities = [{rows[i].priority for i in tray} for tray in plan(rows, Limits(budget, overhead))]
    assert all(len(found) == 1 for found in priorities)
    flat = [found.pop() for found in priorities]
    assert flat == sorted(flat)


@given(portions, st.integers(1, 4096), st.integers(0, 100), st.integers(1, 5))
def test_suspects_stay_in_groups_of_their_size(rows, budget, overhead, most):
    assert all(len(tray) <= most for tray in plan(rows, Limits(budget, overhead, most)))


small = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 3)), min_size=1, max_size=7).map(
    lambda rows: [Portion(i, length, sequences, 1) for i, (length, sequences) in enumerate(rows)]
)


@given(small, st.integers(1, 200), st.integers(0, 50))
def test_no_plan_of_any_grouping_is_cheaper(rows, budget, overhead):
    """Sorted neighbours are enough: compared with every way to part the rows, not only with cuts of a sorted line."""

    def cost(trays: list[list[int]]) -> int:
        return sum(padded([rows[i] for i in tray]) + overhead for tray in trays)

    def fits(tray: list[int]) -> bool:
        return len(tray) == 1 or padded([rows[i] for i in tray]) <= budget

    cheapest = min(cost(trays) for trays in _partings(list(range(len(rows)))) if all(map(fits, trays)))
    found = cost(plan(rows, Limits(budget, overhead)))
    if all(row.sequences == 1 for row in rows):
        assert found == cheapest
    # With rows of several sequences a sorted line may cut worse, by less than twice.
    assert cheapest <= found <= 2 * cheapest + overhead


def _partings(items: list[int]) -> list[list[list[int]]]:
    if not items:
        return [[]]
    first, rest = items[0], items[1:]
    found = []
    for parting in _partings(rest):
        found.append([[first], *parting])
        found += [[*parting[:k], [first, *parting[k]], *parting[k + 1 :]] for k in range(len(parting))]
    return found


def test_skewed_lengths_are_padded_by_less_than_a_twentieth():
    """Log-normal with a median of 25 and a 99th percentile of 170, as texts are."""
    draw = random.Random(1)
    lengths = [max(3, min(250, int(draw.lognormvariate(3.2, 0.82)))) for _ in range(1024)]
    rows = [Portion(i, n, 1, 1) for i, n in enumerate(lengths)]
    computed = sum(padded([rows[i] for i in tray]) for tray in plan(rows, Limits(1024, 40)))
    assert computed <= 1.05 * sum(lengths)


@given(st.lists(st.integers(), max_size=9))
def test_halves_are_all_of_it(rows):
    first, second = halves(rows)
    assert first + second == rows
    assert abs(len(first) - len(second)) <= 1


def test_a_claim_grows_to_eight_seconds_of_work():
    appetite = Appetite(most=1024)
    assert appetite.rows("a") == 32
    for _ in range(20):
        appetite.took("a", rows=10, seconds=0.1)
    assert 790 <= appetite.rows("a") <= 800
    appetite.took("slow", rows=1, seconds=30.0)
    assert appetite.rows("slow") == 4
    appetite.took("fast", rows=10_000, seconds=0.001)
    assert appetite.rows("fast") == 1024


class Moody:
    """A pipeline that fails on some payloads."""

    identity = Identity("m", "c", "float32", "fake")

    def __init__(self) -> None:
        self.calls: list[list[Any]] = []

    def bake(self, rows: Sequence[Prepared], parameters: dict[str, Any], context: Context) -> list[Any]:
        payloads = [row.payload for row in rows]
        self.calls.append(payloads)
        if "memory" in payloads or ("wide" in payloads and len(rows) > 2):
            raise OutOfMemory
        if "python memory" in payloads:
            raise MemoryError
        if "lost" in payloads:
            raise DeviceLost
        if "short" in payloads:
            return []
        if "bad" in payloads:
            raise ValueError("a secret path /root")
        special = {"nan": float("nan"), "no": InputError(ErrorCode.INPUT_REJECTED, "No.")}
        return [special.get(p, p) for p in payloads]


def bake(*payloads: Any) -> tuple[list[Any], Baker]:
    baker = Baker(Moody(), {}, take=lambda _: None, wanted=lambda ids: ids, publish=lambda *_: None)  # type: ignore[arg-type]
    return baker.bake([Dough(str(i), Prepared(p, 1)) for i, p in enumerate(payloads)]), baker


def codes(answers: list[Any]) -> list[Any]:
    return [answer.code if isinstance(answer, InputError) else answer for answer in answers]


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_only_the_rows_that_break_fail(bad):
    answers, _ = bake(*["bad" if b else i for i, b in enumerate(bad)])
    assert codes(answers) == [ErrorCode.INFERENCE_FAILED if b else i for i, b in enumerate(bad)]


def test_out_of_memory_halves_until_it_fits():
    answers, baker = bake("wide", 1, 2, 3, 4, 5, 6, 7)
    assert codes(answers) == ["wide", 1, 2, 3, 4, 5, 6, 7]
    assert baker.ran_out


@pytest.mark.parametrize("payload", ["memory", "python memory"])
def test_a_row_that_does_not_fit_alone_fails_with_its_code(payload):
    answers, _ = bake(1, payload, 2)
    assert codes(answers) == [1, ErrorCode.OUT_OF_MEMORY, 2]


def test_a_lost_device_is_nobody_s_fault():
    with pytest.raises(DeviceLost):
        bake(1, "lost")


def test_nan_never_leaves_and_no_exception_text_either():
    answers, _ = bake("nan", "no", "bad", 1)
    assert codes(answers) == [ErrorCode.RESULT_NOT_FINITE, ErrorCode.INPUT_REJECTED, ErrorCode.INFERENCE_FAILED, 1]
    assert "secret" not in answers[2].message
    assert "incident" in answers[2].message


def test_an_answer_too_few_is_found_out():
    answers, _ = bake("short", 1)
    assert codes(answers) == [ErrorCode.INFERENCE_FAILED, 1]


class Loaf:
    identity = Identity("m", "c", "float32", "fake")

    def __init__(self, size: int) -> None:
        self.size, self.closed = size, False

    def nbytes(self) -> int:
        return self.size

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def loaves(monkeypatch):
    """Sizes by pipeline name; loads are counted."""
    loads: list[str] = []
    sizes: dict[str, Any] = {}

    class Backend:
        def weigh(self, spec: PipelineSpec, *, device: str, cache: Path) -> Weighed:
            size = sizes.get(spec.name, 10)
            return Weighed("c", size if isinstance(size, int) else 10)

        def load(self, spec: PipelineSpec, *, device: str, cache: Path, recent: Recent) -> Loaf:
            loads.append(spec.name)
            size = sizes.get(spec.name, 10)
            if callable(size):
                size = size()
            return Loaf(size)

    monkeypatch.setattr(shelf_module, "backend_for", lambda spec: Backend())
    return loads, sizes


def shelf_of(room_bytes: int) -> tuple[Shelf, list[dict[str, int]]]:
    seen: list[dict[str, int]] = []
    return Shelf(Place("cpu", 1, Path("/nowhere"), room_bytes), seen.append), seen


def spec(name: str, **more: Any) -> PipelineSpec:
    return PipelineSpec(name, "text-classification", backend="fake", **more)


def test_a_warm_pipeline_is_not_loaded_again(loaves):
    shelf, seen = shelf_of(100)
    first, load = shelf.get(spec("a"))
    again, none = shelf.get(spec("a"))
    assert first is again
    assert load > 0
    assert none == 0.0
    assert seen == [{"a": 10}]


def test_what_is_asked_for_less_often_goes_first(loaves):
    loads, sizes = loaves
    sizes["big"] = 25
    shelf, _ = shelf_of(40)
    for name in ("a", "b", "a", "big"):
        shelf.get(spec(name))
    assert set(shelf.sizes()) == {"a", "big"}
    assert loads == ["a", "b", "big"]


def test_one_larger_than_the_room_runs_alone(loaves):
    _, sizes = loaves
    sizes["huge"] = 1000
    shelf, _ = shelf_of(40)
    shelf.get(spec("a"))
    shelf.get(spec("huge"))
    assert set(shelf.sizes()) == {"huge"}


def test_a_changed_definition_is_loaded_again(loaves):
    loads, _ = loaves
    shelf, _ = shelf_of(100)
    old, _ = shelf.get(spec("a"))
    shelf.get(spec("a", revision="2"))
    assert old.closed
    assert loads == ["a", "a"]


def test_a_load_that_does_not_fit_gets_all_the_room_and_one_more_try(loaves):
    _, sizes = loaves
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


def test_a_broken_checkpoint_leaves_the_shelf_as_it_was(loaves):
    _, sizes = loaves

    def broken() -> int:
        raise CheckpointError(ErrorCode.CHECKPOINT_MISSING, "Not there.")

    sizes["b"] = broken
    shelf, _ = shelf_of(100)
    shelf.get(spec("a"))
    with pytest.raises(CheckpointError):
        shelf.get(spec("b"))
    assert set(shelf.sizes()) == {"a"}


def test_the_note_outlives_the_hand(tmp_path: Path):
    hand = Hand(tmp_path / "run", "cpu0")
    assert hand.read() is None
    hand.take(7, "fake", ["a", "b"], seconds=5)
    note = Hand(tmp_path / "run", "cpu0").read()
    assert note is not None
    assert (note.pid, note.pipeline, note.rows) == (7, "fake", ("a", "b"))
    hand.put_down(7)
    assert hand.read() == Note(7)
    hand.forget()
    assert hand.read() is None


def test_a_child_is_asked_to_stop_by_a_flag(tmp_path: Path):
    hand = Hand(tmp_path, "cpu0")
    assert not hand.should_stop()
    hand.ask_to_stop()
    assert hand.should_stop()
    hand.go_on()
    assert not hand.should_stop()


def test_room_is_a_share_of_the_host():
    assert room(setting=5, device="cpu", threads=0) == 5
    assert 0 < room(setting=0, device="cpu", threads=1) <= room(setting=0, device="cpu", threads=0) < host_memory()


@pytest.mark.parametrize(("threads", "part"), [(0, 1.0), (1, 0.25), (4, 1.0), (9, 1.0)])
def test_slots_share_the_memory_as_they_share_the_cores_of_their_container(monkeypatch, threads, part):
    """A container of 4 cores on a host of 64 has all of its own memory to give away."""
    monkeypatch.setattr("worker.memory.of_host", lambda: 4)
    monkeypatch.setattr("worker.memory.host_memory", lambda: 1000)
    assert room(setting=0, device="cpu", threads=threads) == int(800 * part)


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=8, max_size=64))
def test_vectors_pack_without_loss(vector):
    body, packed = pack(vector)
    assert body is None
    assert unpack(body, packed) == vector


def test_a_vector_is_stored_as_it_was_given():
    numbers = array("f", [0.5, -2.25, 1e-3])
    vector = Vector(numbers.tolist(), numbers.tobytes())
    assert finite(vector)
    assert unpack(*pack(vector)) == vector == numbers.tolist()
    assert loads(dumps(vector)) == vector


@pytest.mark.parametrize("value", [[1e300] * 9, [0.1] * 9, [1, 2], "x", {"a": [0.5]}, [True] * 9, []])
def test_what_float32_does_not_hold_stays_json(value):
    body, packed = pack(value)
    assert packed is None
    assert unpack(body, packed) == value
