"""Laying out a claim: lanes apart, people first, each row once, and a row that cannot be prepared refused alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import ErrorCode, InputError
from contract.pipelines import PipelineSpec
from contract.statuses import PRIORITY_RANK, Priority
from models.claims import Claimed
from worker.backends.backend import Identity, Prepared
from worker.planner import Limits
from worker.trays import LaidOut, Tray, Turn, lay_out

PEOPLE, BULK = PRIORITY_RANK[Priority.INTERACTIVE], PRIORITY_RANK[Priority.BULK]
SPEC = PipelineSpec("fake", "text-classification", backend="fake")
AMPLE = Limits(1 << 20, overhead=1 << 10)


class Reader:
    """Prepares texts, one token a character; some words are refused, and some break it."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Any]] = []

    def about_to(self, ids: Sequence[str]) -> None:
        self.heard.append(("about to", list(ids)))

    identity = Identity("m", "c", "none", "fake")

    def overhead(self, parameters: dict[str, Any]) -> int | None:
        return 100 if parameters.get("top_k") == 2 else None

    def repeats(self, row: dict[str, Any], parameters: dict[str, Any]) -> bool:
        return True

    def prepare(self, rows: Sequence[dict[str, Any]], parameters: dict[str, Any]) -> list[Prepared | InputError]:
        texts = [row["text"] for row in rows]
        self.heard.append(("prepare", texts))
        if "breaks" in texts:
            raise ValueError("/a/secret/path")
        if "too large" in texts and len(texts) > 1:
            raise MemoryError
        refused = InputError(ErrorCode.INPUT_REJECTED, "Too silly.")
        return [refused if text == "silly" else Prepared((text, parameters), len(text)) for text in texts]


def row(text: str, n: int = 0, **more: Any) -> Claimed:
    values = {"priority": PEOPLE, "batch_id": None, "parameters": {}, "max_group": None, **more}
    return Claimed(id=f"{text}{n}", pipeline="fake", fence=1, inputs={"text": text}, expires_at=None, **values)


def laid_out(rows: Sequence[Claimed], limits: Limits = AMPLE, *, reader: Reader | None = None) -> LaidOut:
    reader = reader or Reader()
    return lay_out(SPEC, reader, rows, limits=limits, about_to=reader.about_to)  # type: ignore[arg-type]


def ids(trays: Sequence[Tray]) -> list[list[str]]:
    return [[row.id for row in tray.rows] for tray in trays]


words = st.sampled_from(["a", "bread", "a longer loaf", "silly", "breaks", "too large"])
claims = st.lists(
    st.tuples(words, st.sampled_from([PEOPLE, BULK]), st.sampled_from([{}, {"top_k": 1}, {"top_k": 2}])), max_size=20
).map(lambda rows: [row(text, n, priority=p, parameters=given) for n, (text, p, given) in enumerate(rows)])


@given(claims, st.integers(1, 60), st.integers(1, 3))
def test_every_claimed_row_is_in_a_tray_or_refused(rows, budget, decks):
    laid = laid_out(rows, Limits(budget, 2, decks=decks))
    refused = [row for row, _ in laid.refused]
    assert sorted([i for tray in ids(laid.trays) for i in tray] + [r.id for r in refused]) == sorted(
        row.id for row in rows
    )
    assert {r.inputs["text"] for r in refused} == {r.inputs["text"] for r in rows} & {"silly", "breaks"}


@given(claims, st.integers(1, 60))
def test_what_was_prepared_stays_with_its_row(rows, budget):
    for tray in laid_out(rows, Limits(budget, 2)).trays:
        assert [loaf.prepared.payload[0] for loaf in tray.loaves for _ in loaf.rows] == [
            r.inputs["text"] for r in tray.rows
        ]


@given(claims, st.integers(1, 60))
def test_rows_of_two_lanes_never_share_a_tray(rows, budget):
    for tray in laid_out(rows, Limits(budget, 2)).trays:
        assert len({str(row.parameters) for row in tray.rows}) == 1
        assert tray.parameters == SPEC.effective(tray.rows[0].parameters)
        assert all(loaf.prepared.payload[1] == tray.parameters for loaf in tray.loaves)


@given(claims, st.integers(1, 60))
def test_people_s_trays_come_first_whatever_their_lane(rows, budget):
    priorities = [[row.priority for row in tray.rows] for tray in laid_out(rows, Limits(budget, 2)).trays]
    assert all(len(set(found)) == 1 for found in priorities)
    assert priorities == sorted(priorities, key=lambda found: found[0])


def test_parameters_in_another_order_are_the_same_lane():
    rows = [row("a", 0, parameters={"top_k": 1, "x": 2}), row("a", 1, parameters={"x": 2, "top_k": 1})]
    assert ids(laid_out(rows).trays) == [["a0", "a1"]]


@pytest.mark.parametrize("text", ["breaks", "silly"])
def test_one_bad_row_is_refused_alone(text):
    laid = laid_out([row("a", 0), row(text, 1), row("b", 2)])
    assert [(r.id, error.code) for r, error in laid.refused] == [(f"{text}1", ErrorCode.INPUT_REJECTED)]
    assert ids(laid.trays) == [["a0", "b2"]]


def test_a_row_that_broke_its_preparation_is_told_nothing_of_our_insides():
    (_, error) = laid_out([row("a"), row("breaks", 1)]).refused[0]
    assert "secret" not in error.message
    assert error.message.endswith(".")


def test_rows_that_are_too_large_together_are_prepared_one_by_one():
    laid = laid_out([row("a", 0), row("too large", 1)])
    assert laid.refused == []
    assert sorted(i for tray in ids(laid.trays) for i in tray) == ["a0", "too large1"]


def test_a_lane_is_prepared_in_one_call_and_named_before_it():
    """A process that dies while it prepares leaves a note with exactly these rows."""
    reader = Reader()
    rows = [row("a", 0), row("b", 1, parameters={"top_k": 1}), row("c", 2)]
    laid_out(rows, reader=reader)
    assert reader.heard == [
        ("about to", ["a0", "c2"]),
        ("prepare", ["a", "c"]),
        ("about to", ["b1"]),
        ("prepare", ["b"]),
    ]


@pytest.mark.parametrize("most", [1, 2, 3])
def test_suspects_go_in_groups_of_their_size(most):
    trays = laid_out([row("a", n, max_group=most) for n in range(7)]).trays
    assert max(len(tray.rows) for tray in trays) == most


def test_a_claim_of_nothing_but_refused_rows_has_no_tray():
    laid = laid_out([row("silly", n) for n in range(3)])
    assert laid.trays == []
    assert len(laid.refused) == 3


def test_rows_that_nobody_wants_any_more_leave_the_tray_with_what_was_prepared():
    (tray,) = laid_out([row("one", 0), row("three", 1), row("four", 2)]).trays
    kept = tray.keep({"one0", "four2"})
    assert [(loaf.id, loaf.prepared.payload[0]) for loaf in kept.loaves] == [
        ("one0", "one"),
        ("four2", "four"),
    ]
    assert kept.parameters == tray.parameters
    assert (tray.real_tokens, tray.padded_tokens) == (12, 15)
    assert (kept.real_tokens, kept.padded_tokens) == (7, 8)
    assert tray.keep(set()).rows == []


def test_a_turn_knows_the_batches_of_its_rows():
    rows = [row("a", 0, batch_id="one"), row("a", 1, batch_id="two"), row("a", 2), row("a", 3, batch_id="one")]
    turn = Turn(SPEC, Reader(), 0.0, rows, [], full=False, since=0.0)  # type: ignore[arg-type]
    assert turn.batches() == {"one", "two"}


def test_a_lane_is_planned_with_what_its_model_says_a_pass_costs():
    cheap, dear = ([row(text, n, parameters={"top_k": k}) for n, text in enumerate(("a", "bread"))] for k in (1, 2))
    laid = laid_out([*cheap, *dear], Limits(1 << 20, overhead=2))
    assert sorted(map(len, ids(laid.trays))) == [1, 1, 2]
