"""An oven with real models: the budget it finds and keeps, keys and values that must fit, texts that end early."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import torch

from contract.pipelines import PipelineSpec
from contract.settings import Inference
from contract.statuses import JobStatus
from contract.times import utc_now
from models.database import reading, transaction
from models.pipelines import sync_pipelines
from models.sweeps import cancel
from models.workers import Worker, list_workers, put_worker
from tests import tiny
from tests.databases import engine_for, sqlite_database
from tests.integration.ovens.conftest import Heard, House
from worker.budget import Budget
from worker.budgets import Budgets, most_tokens
from worker.hand import Hand
from worker.oven import Oven
from worker.shelf import Place, Shelf

pytestmark = pytest.mark.real_model
SLOT = "h/cpu0"
TEXTS = ["good bread", "the oven was cold and the bread late", "a baker in paris puts the bread into the oven"]


@dataclasses.dataclass
class Slot:
    house: House
    shelf: Shelf
    budgets: Budgets

    def bake(self, pipeline: str, *texts: str, **parameters: Any) -> list[str]:
        ids = [self.house.put(text, pipeline=pipeline, parameters=parameters) for text in texts]
        self.house.oven.serve(pipeline)
        return ids

    def statuses(self, ids: list[str]) -> set[JobStatus]:
        return {self.house.job(job_id).status for job_id in ids}

    def model(self, pipeline: str) -> Any:
        return self.shelf.held()[pipeline]._loaded.model  # type: ignore[attr-defined]

    def shown(self, pipeline: str) -> dict[str, Any]:
        """What metrics and pages have, brought up to date."""
        self.house.oven._ledger._shown_at = 0.0
        self.house.oven._ledger.show()
        with reading(self.house.engine) as conn:
            [worker] = list_workers(conn)
        return (worker.tally or {})[pipeline]  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> list[PipelineSpec]:
    folder = tmp_path_factory.mktemp("checkpoints")
    return [
        PipelineSpec("reads", "text-classification", str(tiny.classifier(folder / "reads")), backend="torch"),
        PipelineSpec("writes", "text-generation", str(tiny.writer(folder / "writes"))),
    ]


@pytest.fixture
def engine(tmp_path: Path, specs: list[PipelineSpec]) -> Iterator[sa.Engine]:
    with sqlite_database(tmp_path) as url, engine_for(url) as found:
        sync_pipelines(found, specs, utc_now())
        yield found


@pytest.fixture
def slot_of(engine: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Slot]:
    """A child that has just started; another one is its successor, with the same folders."""
    monkeypatch.setitem(Budget.rehearse.__kwdefaults__, "seconds", 0.2)

    def make(*, room: int = 10**9) -> Slot:
        now = utc_now()
        row = Worker(SLOT, "h", "cpu", 1, "ready", {}, None, None, started_at=now, heartbeat_at=now)
        transaction(engine, lambda conn: put_worker(conn, row))
        heard, hand = Heard(), Hand(tmp_path / "run", "cpu0")
        shelf = Shelf(Place("cpu", 1, tmp_path, room), lambda _: None)
        budgets = Budgets(tmp_path / "budgets", place="here", fixed=0)
        oven = Oven(
            name=SLOT, engine=engine, shelf=shelf, budgets=budgets, hand=hand, signals=heard, settings=Inference(),  # type: ignore[arg-type]
        )  # fmt: skip
        return Slot(House(engine, oven, hand, heard), shelf, budgets)

    return make


def kept(tmp_path: Path) -> dict[str, Any]:
    [file] = (tmp_path / "budgets").iterdir()
    return json.loads(file.read_bytes())  # type: ignore[no-any-return]


def measured(slot: Slot) -> int:
    return sum(map(len, slot.budgets.of("reads").samples.values()))


def test_a_budget_is_measured_at_the_first_load_corrected_as_it_bakes_and_known_to_the_next_process(
    slot_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = slot_of()
    first.house.oven._loader.load(first.house.pipeline("reads").spec)
    by_rehearsal, commit = measured(first), first.shelf.held()["reads"].identity.commit
    assert by_rehearsal >= 3
    assert first.shown("reads")["budget"] == first.budgets.tokens("reads") > 1
    about = {"place": "here", "task": "text-classification", "dtype": "float32", "backend": "torch"}
    assert kept(tmp_path)["key"] == {**about, "commit": commit}
    assert first.statuses(first.bake("reads", *TEXTS)) == {JobStatus.SUCCEEDED}
    assert measured(first) > by_rehearsal
    assert first.shown("reads")["budget"] == first.budgets.tokens("reads") > 1
    monkeypatch.setattr(Budget, "rehearse", lambda *_, **__: pytest.fail("measured once more"))
    second = slot_of()
    second.bake("reads", *TEXTS)
    assert measured(second) > 0


def test_passes_that_do_not_fit_halve_the_budget_for_this_process_and_the_next(slot_of: Any) -> None:
    slot, most = slot_of(), 64
    slot.bake("reads", TEXTS[0])

    def run_out(_module: Any, _given: Any, named: dict[str, Any]) -> None:
        if named["input_ids"].numel() > most:
            raise torch.OutOfMemoryError("CUDA out of memory")

    slot.model("reads").register_forward_pre_hook(run_out, with_kwargs=True)
    for _ in range(8):
        assert slot.statuses(slot.bake("reads", *(TEXTS * 6))) == {JobStatus.SUCCEEDED}
    found = slot.shown("reads")
    assert found["out_of_memory"] > 0
    assert slot.budgets.of("reads").ceiling <= most
    assert slot.statuses(slot.bake("reads", *(TEXTS * 6))) == {JobStatus.SUCCEEDED}
    assert slot.shown("reads")["out_of_memory"] == found["out_of_memory"]
    following = slot_of()
    following.bake("reads", TEXTS[0])
    assert following.budgets.of("reads").ceiling == slot.budgets.of("reads").ceiling


def test_texts_are_written_together_only_as_far_as_their_keys_and_values_fit(
    slot_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Less than its weights take: an eighth of it is what passes have.
    slot = slot_of(room=64_000)
    asked = {"max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False}
    slot.bake("writes", "x", **asked)
    loaded = slot.shelf.held()["writes"]
    most = most_tokens(loaded, 8_000, decks=1)
    bake, tokens = type(loaded).bake, []

    def watched(self: Any, rows: Any, *given: Any) -> Any:
        tokens.append(sum(row.length for row in rows))
        return bake(self, rows, *given)

    monkeypatch.setattr(type(loaded), "bake", watched)
    assert slot.statuses(slot.bake("writes", *"abcdefghijkl", **asked)) == {JobStatus.SUCCEEDED}
    assert len(tokens) > 1
    assert most is not None
    assert most / 2 < max(tokens) <= most
    assert slot.budgets.tokens("writes") == most < slot.budgets.of("writes").tokens


def test_a_text_that_is_canceled_leaves_the_passes_and_what_was_published_of_the_other_is_its_result(
    slot_of: Any,
) -> None:
    slot = slot_of()
    asked = {"max_new_tokens": 64, "min_new_tokens": 64, "do_sample": False}
    [alone] = slot.bake("writes", TEXTS[1], **asked)
    rows: list[int] = []
    slot.model("writes").register_forward_pre_hook(
        lambda _module, _given, named: rows.append(len(named["input_ids"])), with_kwargs=True
    )
    ids = [slot.house.put(text, pipeline="writes", parameters=asked) for text in TEXTS[:2]]
    wrote = slot.house.heard.wrote

    def cancel_the_first(job_id: str, text: str, *, first: bool) -> None:
        wrote(job_id, text, first=first)
        transaction(slot.house.engine, lambda conn: cancel(conn, ids[0], now=utc_now()))

    slot.house.heard.wrote = cancel_the_first  # type: ignore[method-assign]
    slot.house.oven.serve("writes")
    first, second = (slot.house.job(job_id) for job_id in ids)
    assert (first.status, first.result) == (JobStatus.CANCELED, None)
    assert second.result == slot.house.job(alone).result
    assert rows == sorted(rows, reverse=True)
    assert set(rows) == {2, 1}
    published = [said[1:] for what, said in slot.house.heard.said if what == "wrote" and said[0] == ids[1]]
    assert len(published) > 1
    assert "".join(text for text, _ in published) == second.result["generated_text"]
    assert [first for _, first in published] == [True] + [False] * (len(published) - 1)
