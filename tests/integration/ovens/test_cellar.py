"""Answers of earlier jobs and batches in a real oven: who is given one, and who must not be."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import pytest
import sqlalchemy as sa

from contract.media import Media
from contract.pipelines import PipelineSpec
from contract.times import utc_now
from models.database import transaction
from models.files import FileStorage
from models.pipelines import sync_pipelines
from models.workers import Worker, list_workers, put_worker
from tests.integration.ovens.conftest import House
from tests.integration.ovens.test_once import passes, put_batch
from worker.backends.backend import Binary, Identity, WithFiles
from worker.backends.fake import FakePipeline
from worker.cellar import Cellar
from worker.pantry import Pantry

__all__ = ["passes"]
IDENTITY = Identity("m", "1", "float32", "torch")


@pytest.fixture
def cellar(engine: sa.Engine) -> Cellar:
    return Cellar(engine, lambda _: None)


@pytest.fixture
def kept_house(house_of, cellar) -> House:
    house: House = house_of(cellar=cellar)
    return house


def bake(house: House, *texts: str) -> list[Any]:
    """A batch of these, baked; its jobs in the order of its file."""
    ids = put_batch(house, list(texts))
    house.oven.serve("fake")
    return [house.job(job_id) for job_id in ids]


def pipeline(house: House, **options: Any) -> None:
    sync_pipelines(house.engine, [PipelineSpec("fake", "text-classification", backend="fake", **options)], utc_now())


def test_what_one_batch_asked_the_next_is_given_without_a_pass(kept_house, passes):
    first, second = bake(kept_house, "a", "bb", "a"), bake(kept_house, "bb", "a", "ccc")
    assert passes == ["a", "bb", "ccc"]
    assert [job.result[0]["label"] for job in second] == ["even", "odd", "odd"]
    assert [bool((job.model or {}).get("cached")) for job in first + second] == [False] * 3 + [True, True, False]
    assert [job.inference_seconds == 0 for job in second] == [True, True, False]
    assert all(job.model["commit"] == "fake" for job in second)


def test_jobs_of_forms_and_programs_give_and_take(kept_house, passes):
    bake(kept_house, "a")
    jobs = [kept_house.put(text) for text in ("a", "new", "new")]
    kept_house.oven.serve("fake")
    # Two that come together are baked for themselves, as ever.
    assert passes == ["a", "new", "new"]
    assert bake(kept_house, "new")[0].model["cached"]
    assert [kept_house.job(job).model.get("cached") for job in jobs] == [True, None, None]


def test_answers_from_the_cellar_are_counted(kept_house, passes):
    now = utc_now()
    row = Worker("h/cpu0", "h", "cpu", 1, "ready", {}, None, None, started_at=now, heartbeat_at=now)
    transaction(kept_house.engine, lambda conn: put_worker(conn, row))
    bake(kept_house, "a", "b")
    bake(kept_house, "a", "a", "b", "c")
    kept_house.oven._ledger._shown_at = float("-inf")
    kept_house.oven._ledger.show()
    (worker,) = transaction(kept_house.engine, list_workers)
    assert worker.tally is not None
    assert {name: worker.tally["fake"][name] for name in ("rows", "cached", "spared")} == {
        "rows": 3, "cached": 3, "spared": 0,
    }  # fmt: skip


def test_without_room_for_them_nothing_is_kept(house, passes):
    bake(house, "a")
    bake(house, "a")
    assert passes == ["a", "a"]


@pytest.mark.parametrize("option", [{"once": False}, {"cache": False}], ids=str)
def test_a_pipeline_may_stay_out_of_it(kept_house, passes, option):
    pipeline(kept_house, **option)
    bake(kept_house, "a")
    bake(kept_house, "a")
    assert passes == ["a", "a"]


@pytest.mark.parametrize(
    "changed", [{"model": "another"}, {"defaults": {"top_k": 1}}, {"max_tokens": 9}, {"quantize": "int8"}], ids=str
)
def test_other_weights_or_parameters_or_options_are_another_question(kept_house, passes, changed):
    bake(kept_house, "a")
    pipeline(kept_house, **changed)
    bake(kept_house, "a")
    pipeline(kept_house, description="The same in other words.")
    bake(kept_house, "a")
    assert passes == ["a", "a"]


def test_another_commit_is_another_question(kept_house, passes, monkeypatch):
    bake(kept_house, "a")
    made = FakePipeline.__init__

    def at_another_commit(self: FakePipeline, spec: PipelineSpec) -> None:
        made(self, spec)
        self.identity = dataclasses.replace(self.identity, commit="another")

    monkeypatch.setattr(FakePipeline, "__init__", at_another_commit)
    pipeline(kept_house, description="Loaded again.")
    bake(kept_house, "a")
    assert passes == ["a", "a"]


def test_an_answer_that_is_drawn_is_not_kept(kept_house, passes, monkeypatch):
    monkeypatch.setattr(FakePipeline, "repeats", lambda *_: False)
    bake(kept_house, "a")
    bake(kept_house, "a")
    assert passes == ["a", "a"]


def test_a_refusal_is_found_again_and_never_kept(kept_house):
    for _ in range(2):
        (job,) = bake(kept_house, "reject")
        assert (job.error_code, job.model) == ("input_rejected", None)


def test_two_ovens_that_bake_the_same_at_once_keep_one_answer(house_of, engine, passes, monkeypatch):
    one = house_of(cellar=Cellar(engine, lambda _: None))
    other = house_of(cellar=Cellar(engine, lambda _: None), name="h/cpu1")
    theirs = put_batch(one, ["a", "b"])
    raced, bake_rows = [], FakePipeline.bake

    def race(self: FakePipeline, *given: Any) -> Any:
        # The first is in its pass when the second claims, bakes and records the same texts.
        if not raced:
            raced.extend(put_batch(other, ["b", "a"]))
            other.oven.serve("fake")
        return bake_rows(self, *given)

    monkeypatch.setattr(FakePipeline, "bake", race)
    one.oven.serve("fake")
    assert Counter(passes) == {"a": 2, "b": 2}
    assert all(one.job(job_id).result for job_id in theirs + raced)
    assert [job.model.get("cached") for job in bake(one, "a", "b")] == [True, True]


def test_files_are_named_by_what_is_in_them(engine, tmp_path):
    storage = FileStorage(tmp_path / "files")
    same, again, other = (storage.save([body], max_bytes=9)[0] for body in (b"same", b"same", b"other"))
    cellar = Cellar(engine, Pantry(storage, Media()).naming)
    key = cellar.keys(PipelineSpec("p", "keypoint-matching", model="m"), IDENTITY, {})

    def pair(*ids: str) -> bytes | None:
        return key({"images": [{"file": {"id": file_id, "bytes": 4}} for file_id in ids]}, "")

    assert pair(same, other) == pair(again, other)
    assert len({pair(same, other), pair(other, same), pair(same, same)}) == 3
    storage.delete(other)
    assert pair(same, other) is None


def test_a_result_that_holds_a_file_is_not_kept(cellar):
    from tests.unit.test_worker_trays import row
    from worker.backends.backend import Prepared
    from worker.loaves import Loaf

    loaf = Loaf([row("a", 0)], Prepared(None, 1), lasting=b"k" * 32)
    cellar.keep([loaf], [WithFiles({"image": Binary("a.png", "image/png", lambda: b"png")})])
    cellar.keep([loaf], ["x" * (1 << 20)])
    assert cellar.taken() == []
    cellar.keep([loaf], [None])
    assert [answer.body for answer in cellar.taken()] == ["null"]
