"""Equal rows: which are baked once, who is answered by it, and what the larder remembers."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import ErrorCode, InputError
from contract.pipelines import PipelineSpec
from models.claims import Claimed
from tests.unit.test_worker_trays import AMPLE, Reader, row
from worker.backends.backend import Prepared, WithFiles
from worker.larder import Larder
from worker.loaves import Loaf, keys_of
from worker.trays import LaidOut, Tray, lay_out

SPEC = PipelineSpec("fake", "text-classification", backend="fake")
TOO_LONG = InputError(ErrorCode.INPUT_TOO_LONG, "Too long.")
BROKEN = InputError(ErrorCode.INFERENCE_FAILED, "It broke.")


def laid_out(rows: list[Claimed], *, larder: Larder | None = None, reader: Any = None, **options: Any) -> LaidOut:
    reader = reader or Reader()
    spec = dataclasses.replace(SPEC, **options)
    return lay_out(spec, reader, rows, limits=AMPLE, about_to=reader.about_to, larder=larder)


def shared(laid: LaidOut) -> list[list[str]]:
    return sorted([row.id for row in loaf.rows] for tray in laid.trays for loaf in tray.loaves)


def of_batch(*texts: str, **more: Any) -> list[Claimed]:
    return [row(text, n, **{"batch_id": "b", **more}) for n, text in enumerate(texts)]


def test_equal_rows_of_a_batch_are_one_loaf_and_prepared_once():
    reader = Reader()
    assert shared(laid_out(of_batch("a", "b", "a", "a"), reader=reader)) == [["a0", "a2", "a3"], ["b1"]]
    assert reader.heard == [("about to", ["a0", "b1", "a2", "a3"]), ("prepare", ["a", "b"])]


@pytest.mark.parametrize(
    "others",
    [{"batch_id": "another"}, {"priority": 7}, {"parameters": {"top_k": 1}}, {"batch_id": None}],
    ids=lambda others: next(iter(others)),
)
def test_rows_that_differ_in_anything_else_are_not_equal(others):
    assert shared(laid_out([*of_batch("a"), row("a", 1, **{"batch_id": "b", **others})])) == [["a0"], ["a1"]]


def test_jobs_of_forms_and_programs_are_baked_for_themselves():
    assert shared(laid_out(of_batch("a", "a", batch_id=None))) == [["a0"], ["a1"]]


def test_suspects_are_baked_for_themselves():
    assert shared(laid_out(of_batch("a", "a", max_group=2))) == [["a0"], ["a1"]]


def test_it_can_be_switched_off():
    assert shared(laid_out(of_batch("a", "a"), once=False)) == [["a0"], ["a1"]]


def test_rows_of_a_pipeline_that_draws_are_baked_for_themselves():
    class Drawing(Reader):
        def repeats(self, row: dict[str, Any], parameters: dict[str, Any]) -> bool:
            return False

    assert shared(laid_out(of_batch("a", "a"), reader=Drawing())) == [["a0"], ["a1"]]


def test_what_is_wrong_with_an_input_is_wrong_with_every_equal_one():
    laid = laid_out(of_batch("silly", "silly", "a"))
    assert [row.id for row, _ in laid.refused] == ["silly0", "silly1"]


def test_when_the_first_is_canceled_the_next_stands_for_the_others():
    (tray,) = laid_out(of_batch("a", "a", "b")).trays
    assert [loaf.id for loaf in tray.keep({"a1", "b2"}).loaves] == ["a1", "b2"]
    assert [loaf.id for loaf in tray.keep({"b2"}).loaves] == ["b2"]


@pytest.mark.parametrize(("answer", "ids"), [("good", ["a0", "a1"]), (TOO_LONG, ["a0", "a1"]), (BROKEN, ["a0"])])
def test_an_answer_is_for_all_unless_it_says_nothing_of_them(answer, ids):
    assert [row.id for row in Loaf(of_batch("a", "a"), Prepared(None, 1)).answered(answer)] == ids


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([None, "x", "y"])), max_size=30))
def test_every_row_is_somewhere_once_and_with_its_own_inputs(given_rows):
    rows = [row(text, n, batch_id=batch) for n, (text, batch) in enumerate(given_rows)]
    laid, larder = laid_out(rows), Larder()
    for tray in laid.trays:
        larder.keep(tray.loaves, [loaf.prepared.payload[0] for loaf in tray.loaves])
    again = laid_out(rows, larder=larder)
    known = {row.id: answer for row, answer in again.known}
    assert known == {row.id: row.inputs["text"] for row in rows if row.batch_id}
    assert sorted([*known, *(i for ids in shared(again) for i in ids)]) == sorted(row.id for row in rows)


def baked(larder: Larder, text: str, answer: Any, **more: Any) -> Tray:
    (tray,) = laid_out(of_batch(text, **more)).trays
    larder.keep(tray.loaves, [answer])
    return tray


def test_a_tray_leaves_out_what_was_baked_since_it_was_laid_out():
    larder = Larder()
    (tray,) = laid_out(of_batch("a", "b", "a")).trays
    baked(larder, "a", None)
    left, known = tray.without_known(larder)
    assert [(row.id, answer) for row, answer in known] == [("a0", None), ("a2", None)]
    assert [loaf.id for loaf in left.loaves] == ["b1"]


@pytest.mark.parametrize("answer", [TOO_LONG, BROKEN, WithFiles({})])
def test_errors_and_files_are_not_remembered(answer):
    larder = Larder()
    baked(larder, "a", answer)
    assert laid_out(of_batch("a"), larder=larder).known == []


def test_the_larder_forgets_what_was_not_asked_for_longest():
    larder = Larder(most_bytes=2 * 270)
    for text in ("a", "b"):
        baked(larder, text, text)
    assert laid_out(of_batch("a"), larder=larder).known
    baked(larder, "c", "c")
    assert [bool(laid_out(of_batch(text), larder=larder).known) for text in "abc"] == [True, False, True]


def test_the_larder_knows_what_is_in_the_oven():
    larder, (tray,) = Larder(), laid_out(of_batch("a")).trays
    larder.into_the_oven(tray.loaves)
    assert larder.is_baking(laid_out(of_batch("b", "a")).trays[0].loaves)
    larder.out_of_the_oven(tray.loaves)
    assert not larder.is_baking(tray.loaves)


def test_keys_tell_batch_definition_weights_parameters_and_inputs_apart():
    identity = Reader.identity
    keys = {
        keys_of(spec, who, parameters)(batch, inputs)
        for spec in (SPEC, dataclasses.replace(SPEC, max_tokens=5))
        for who in (identity, dataclasses.replace(identity, commit="other"))
        for parameters in ({}, {"top_k": 1})
        for batch, inputs in (("b", '{"text":"a"}'), ("b", '{"text":"b"}'), ("c", '{"text":"a"}'))
    }
    assert len(keys) == 2 * 2 * 2 * 3
