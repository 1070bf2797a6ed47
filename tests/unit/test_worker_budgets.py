"""Budgets on disk: what was measured once is there at the next start, for the same thing on the same device."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.machines import Machine
from worker.backends.backend import Context, Identity, Prepared
from worker.budget import UNMEASURED
from worker.budgets import Budgets, most_tokens

IDENTITY = Identity("m", "c0ffee", "float32", "onnx")


@dataclasses.dataclass
class Loaf:
    """A warm pipeline that bakes on a made-up machine; its example is one sequence of eight tokens."""

    machine: Machine
    identity: Identity = IDENTITY
    example: tuple[Prepared, dict[str, Any]] | None = (Prepared("an example", 8), {})
    side_by_side: bool = False
    padding: float = 1.0
    usual_budget: int = 2048
    token_bytes: int = 0
    fidelity: None = None
    contexts: list[Context] = dataclasses.field(default_factory=list)

    def bake(self, rows: list[Prepared], parameters: dict[str, Any], context: Context) -> list[str]:
        assert len(context.job_ids) == len(rows)
        self.contexts.append(context)
        self.machine.bake(sum(row.length * row.sequences for row in rows))
        return ["baked"] * len(rows)


@pytest.fixture
def machine(monkeypatch) -> Machine:
    return Machine(cache=1024).keeps_time(monkeypatch)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "budgets"


def opened(
    folder: Path, loaf: Loaf, *, place: str = "cpu", task: str = "t", fixed: int = 0, decks: int = 1
) -> Budgets:
    """What a process that just started has after the load."""
    budgets = Budgets(folder, place=place, fixed=fixed, decks=decks)
    budgets.open("a", task, loaf)  # type: ignore[arg-type]
    return budgets


def test_the_first_load_measures_and_the_next_process_need_not(machine, folder):
    first = opened(folder, Loaf(machine)).of("a")
    assert first.tokens == 1024
    again = Loaf(machine)
    second = opened(folder, again).of("a")
    assert again.contexts == []
    assert (second.tokens, second.overhead) == (first.tokens, first.overhead)


@pytest.mark.parametrize(
    "other",
    [
        {"place": "another processor"},
        {"task": "another task"},
        {"commit": "5eed"},
        {"dtype": "int8"},
        {"backend": "torch"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_what_was_measured_for_one_says_nothing_of_another(machine, folder, other):
    opened(folder, Loaf(machine)).ran_out("a", padded_tokens=64)
    of_identity = {name: other.pop(name) for name in ("commit", "dtype", "backend") if name in other}
    loaf = Loaf(machine, identity=dataclasses.replace(IDENTITY, **of_identity))
    assert opened(folder, loaf, **other).of("a").tokens == 1024
    assert loaf.contexts
    assert opened(folder, Loaf(machine)).of("a").tokens == 32


def test_the_name_of_a_pipeline_does_not_matter(machine, folder):
    opened(folder, Loaf(machine))
    renamed = Loaf(machine)
    Budgets(folder, place="cpu", fixed=0).open("b", "t", renamed)  # type: ignore[arg-type]
    assert renamed.contexts == []


def test_two_pipelines_of_a_slot_have_a_budget_each(machine, folder):
    budgets = opened(folder, Loaf(machine))
    budgets.open("b", "t", Loaf(machine, identity=dataclasses.replace(IDENTITY, commit="b")))  # type: ignore[arg-type]
    budgets.ran_out("b", padded_tokens=128)
    assert (budgets.of("a").tokens, budgets.of("b").tokens) == (1024, 64)


def test_an_out_of_memory_is_remembered_by_the_next_process(machine, folder):
    opened(folder, Loaf(machine)).ran_out("a", padded_tokens=1024)
    assert opened(folder, Loaf(machine)).of("a").tokens == 512


def test_an_out_of_memory_of_one_slot_is_not_forgotten_when_another_writes_what_it_measured(machine, folder):
    one, other = opened(folder, Loaf(machine)), opened(folder, Loaf(machine))
    one.ran_out("a", padded_tokens=1024)
    machine.now += 60
    other.took("a", padded_tokens=1024, seconds=machine.seconds(1024))
    assert other.of("a").tokens == 512
    assert opened(folder, Loaf(machine)).of("a").tokens == 512


def test_a_rehearsal_that_runs_out_of_memory_leaves_a_budget_that_fits(machine, folder):
    machine.memory = 300
    budget = opened(folder, Loaf(machine)).of("a")
    assert 128 <= budget.ceiling <= 300
    assert opened(folder, Loaf(machine)).of("a").ceiling == budget.ceiling


@pytest.mark.parametrize(("decks", "most"), [(1, 512), (2, 256)])
def test_a_rehearsal_takes_no_more_memory_than_there_is_beside_what_is_warm(machine, folder, decks, most):
    loaf = Loaf(machine, token_bytes=1000, side_by_side=True)
    budgets = Budgets(folder, place="cpu", fixed=0, decks=decks)
    budgets.open("a", "t", loaf, room=512_000)  # type: ignore[arg-type]
    assert max(machine.asked) == most
    # What was free for a moment is not remembered as what fits.
    assert budgets.of("a").ceiling > most


def test_a_microbatch_is_no_larger_than_the_memory_for_it(machine, folder):
    budgets, loaf = opened(folder, Loaf(machine, token_bytes=1000)), Loaf(machine, token_bytes=1000)
    assert most_tokens(loaf, 300_000, decks=1) == 300  # type: ignore[arg-type]
    assert most_tokens(loaf, 0, decks=2) == 1  # type: ignore[arg-type]
    assert most_tokens(Loaf(machine), 0, decks=1) is None  # type: ignore[arg-type]
    found = {budgets.limits("a", most=300, decks=1, padding=1.0).budget for _ in range(60)}
    assert found == {300}


def test_what_is_said_of_a_budget_is_what_plans_are_made_with(machine, folder):
    budgets = opened(folder, Loaf(machine))
    assert budgets.tokens("a") == 1024
    budgets.limits("a", most=300, decks=1, padding=1.0)
    assert budgets.tokens("a") == 300
    budgets.limits("a", most=None, decks=1, padding=1.0)
    assert budgets.tokens("a") == 1024


def test_what_fits_into_memory_is_not_lost_to_what_does_not(machine, folder):
    machine.memory = 5000
    machine.token = 1e-6
    assert opened(folder, Loaf(machine)).of("a").ceiling >= 2500


def test_what_an_operator_fixed_is_not_measured_and_yields_to_memory_only(machine, folder):
    loaf = Loaf(machine)
    budgets = opened(folder, loaf, fixed=4096)
    assert loaf.contexts == []
    assert budgets.of("a").tokens == 4096
    budgets.ran_out("a", padded_tokens=4096)
    assert opened(folder, Loaf(machine), fixed=4096).of("a").tokens == 2048


def test_a_pipeline_without_an_example_keeps_its_usual_budget_and_learns_what_memory_holds(machine, folder):
    budgets = opened(folder, Loaf(machine, example=None))
    for rung in (256, 512, 1024) * 3:
        budgets.took("a", padded_tokens=rung, seconds=machine.seconds(rung))
    assert {budgets.of("a").for_next_plan() for _ in range(60)} == {2048}
    budgets.ran_out("a", padded_tokens=2000)
    assert opened(folder, Loaf(machine, example=None)).of("a").tokens == 1000


def test_one_that_was_never_loaded_has_a_budget_and_no_file(folder):
    budgets = Budgets(folder, place="cpu", fixed=0)
    assert budgets.of("a").tokens == UNMEASURED
    assert Budgets(folder, place="cpu", fixed=99).of("a").tokens == 99
    budgets.took("a", padded_tokens=64, seconds=1.0)
    budgets.ran_out("a", padded_tokens=64)
    assert list(folder.iterdir()) == []


def test_microbatches_are_measured_as_they_will_be_baked(machine, folder, monkeypatch):
    """On every deck at once, where several bake side by side."""
    meeting, bake = threading.Barrier(2), Loaf.bake

    def meet(self: Loaf, *args: Any) -> list[str]:
        meeting.wait(timeout=20)
        return bake(self, *args)

    monkeypatch.setattr(Loaf, "bake", meet)
    loaf = Loaf(machine, side_by_side=True)
    opened(folder, loaf, decks=2)
    assert {context.share for context in loaf.contexts} == {2}


def test_what_cannot_bake_side_by_side_is_measured_alone(machine, folder):
    loaf = Loaf(machine, side_by_side=False)
    opened(folder, loaf, decks=2)
    assert {context.share for context in loaf.contexts} == {1}


jsons = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers(-9, 1 << 20) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
almost = st.fixed_dictionaries(
    {
        "ceiling": st.integers(-1, 4096) | jsons,
        "samples": jsons | st.dictionaries(st.integers(-2, 4096).map(str), st.lists(st.floats(-1, 1)) | jsons),
    }
)
damaged = st.binary(max_size=40) | (jsons | almost).map(lambda value: json.dumps(value).encode())


@given(damaged)
def test_whatever_stands_in_the_file_the_pipeline_bakes(content):
    with tempfile.TemporaryDirectory() as name:
        folder, loaf = Path(name), Loaf(Machine(), example=None)
        opened(folder, loaf).ran_out("a", padded_tokens=64)
        next(folder.glob("*.json")).write_bytes(content)
        budget = opened(folder, loaf).of("a")
        assert budget.tokens >= 1
        assert budget.overhead >= 0
        assert all(budget.for_next_plan() >= 1 for _ in range(50))


@pytest.mark.parametrize("keep", [0, 1, 100])
def test_a_file_that_was_cut_short_is_measured_anew_and_whole_again(machine, folder, keep):
    opened(folder, Loaf(machine))
    file = next(folder.glob("*.json"))
    file.write_bytes(file.read_bytes()[:keep])
    loaf = Loaf(machine)
    assert opened(folder, loaf).of("a").tokens == 1024
    assert loaf.contexts
    assert json.loads(file.read_bytes())


def test_nothing_but_whole_files_is_left_in_the_folder(machine, folder):
    budgets = opened(folder, Loaf(machine))
    budgets.took("a", padded_tokens=64, seconds=1.0)
    budgets.ran_out("a", padded_tokens=64)
    files = list(folder.iterdir())
    assert [file.suffix for file in files] == [".json"]
    assert json.loads(files[0].read_bytes())


def test_a_folder_that_is_gone_stops_nobody(machine, folder):
    """A budget that cannot be kept is no fault of the rows whose microbatch measured it."""
    budgets = opened(folder, Loaf(machine))
    shutil.rmtree(folder)
    budgets.took("a", padded_tokens=1024, seconds=1.0)
    budgets.ran_out("a", padded_tokens=1024)
    assert budgets.of("a").tokens == 512
    budgets.open("b", "another task", Loaf(machine))  # type: ignore[arg-type]
    assert budgets.of("b").tokens == 1024
