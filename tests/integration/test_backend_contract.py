"""What every backend promises the worker: the same claims for the fake one and the real one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract.errors import InputError
from contract.pipelines import PipelineSpec
from contract.schemas import checker
from worker.backends.backend import Context, LoadedPipeline, Prepared, nothing_recent
from worker.backends.registry import backend_for

GOOD = ["the bread is good", "late", "a baker puts the bread into the oven"]


@dataclasses.dataclass
class Case:
    spec: PipelineSpec
    loaded: LoadedPipeline
    #: A text that this backend refuses.
    refused: str

    def prepare(self, texts: list[str]) -> list[Prepared | InputError]:
        return self.loaded.prepare([{"text": text} for text in texts], self.spec.effective({}))

    def bake(self, texts: list[str]) -> list[Any]:
        rows = self.prepare(texts)
        return self.loaded.bake(rows, self.spec.effective({}), Context())


def fake(cache: Path) -> Case:
    return _loaded(PipelineSpec(name="fake", task="text-classification", backend="fake"), cache, "reject this")


def torch(cache: Path) -> Case:
    return _real(cache, backend="torch")


def onnx(cache: Path) -> Case:
    return _real(cache, backend="onnx")


def _real(cache: Path, **options: Any) -> Case:
    from tests import tiny
    from worker.backends.device import configure

    configure(1, "cpu")
    folder = tiny.classifier(cache / "checkpoint")
    spec = PipelineSpec(name="real", task="text-classification", model=str(folder), **options)
    return _loaded(spec, cache, "\ud800")


def _loaded(spec: PipelineSpec, cache: Path, refused: str) -> Case:
    return Case(spec, backend_for(spec).load(spec, device="cpu", cache=cache, recent=nothing_recent), refused)


@pytest.fixture(
    scope="module",
    params=[fake, *(pytest.param(make, marks=pytest.mark.real_model) for make in (torch, onnx))],
    ids=lambda make: make.__name__,
)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    make: Callable[[Path], Case] = request.param
    return make(tmp_path_factory.mktemp("cache"))


def test_prepare_gives_one_entry_a_row(case: Case) -> None:
    rows = case.prepare(GOOD)
    assert all(isinstance(row, Prepared) for row in rows)
    assert len(rows) == len(GOOD)


def test_a_prepared_row_says_what_it_costs(case: Case) -> None:
    short, long = case.prepare([GOOD[1], GOOD[2]])
    assert 0 < short.length < long.length
    assert short.sequences == 1


def test_a_refused_row_stays_in_its_place(case: Case) -> None:
    rows = case.prepare([GOOD[0], case.refused, GOOD[1]])
    assert [isinstance(row, InputError) for row in rows] == [False, True, False]


def test_a_refusal_is_a_sentence(case: Case) -> None:
    [refused] = case.prepare([case.refused])
    assert refused.message.endswith(".")
    assert "Error" not in refused.message


def test_bake_gives_one_answer_a_row_in_order(case: Case) -> None:
    alone = [case.bake([text])[0] for text in GOOD]
    assert [_rounded(answer) for answer in case.bake(GOOD)] == [_rounded(answer) for answer in alone]


def _rounded(answer: Any) -> list[tuple[str, float]]:
    return [(each["label"], round(each["score"], 4)) for each in answer]


def test_answers_have_the_shape_of_the_catalogue(case: Case) -> None:
    check = checker(case.spec.catalogue.result)
    assert [check.problems(answer, at="result") for answer in case.bake(GOOD)] == [[], [], []]


def test_no_rows_have_no_answers(case: Case) -> None:
    assert case.prepare([]) == []
    assert case.bake([]) == []


def test_its_identity_says_id_commit_dtype_and_backend(case: Case) -> None:
    assert all(dataclasses.asdict(case.loaded.identity).values())


def test_equal_rows_have_equal_answers_where_it_says_so(case: Case) -> None:
    assert case.loaded.repeats({"text": GOOD[0]}, case.spec.effective({}))
    first, *others = case.bake([GOOD[0]] * 3)
    assert [[found["label"] for found in other] for other in others] == [[found["label"] for found in first]] * 2


def test_it_says_what_it_holds(case: Case) -> None:
    assert case.loaded.nbytes() > 0


def test_it_is_weighed_as_what_it_loads(case: Case, tmp_path: Path) -> None:
    weighed = backend_for(case.spec).weigh(case.spec, device="cpu", cache=tmp_path)
    assert weighed.commit == case.loaded.identity.commit
    assert weighed.nbytes > 0
