"""table-question-answering: equal to the library's pipeline, alone and among others; and what is refused."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract.errors import CheckpointError, ErrorCode, InputError
from tests import tiny
from tests.integration.beside_library import Oven

pytestmark = pytest.mark.real_model
pytest.importorskip("pandas", reason="needs pandas")

ROWS: list[dict[str, Any]] = [
    {"query": "what was baked?", "table": {"loaf": ["good", "bad", "late"], "price": ["3", "2.5", "12"]}},
    {"query": "how many in paris", "table": {"x": ["1"]}},
    {"query": "the oven", "table": {"a": ["", "lyon", "nine years"], "b": ["warm", "cold", "ten"]}},
    {"query": "Über?", "table": {"東京": ["🙂", "café"], "when": ["7 february 1967", "2020"]}},
]  # fmt: skip


@pytest.fixture(scope="module", params=[{}, {"num_aggregation_labels": 0, "aggregation_labels": None}], ids=str)
def oven(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Oven:
    root = tmp_path_factory.mktemp("tapas")
    return Oven("table-question-answering", tiny.tapas(root / "checkpoint", **request.param), root)


def by_the_library(oven: Oven, row: dict[str, Any]) -> dict[str, Any]:
    return plain(oven.library(table=dict(row["table"]), query=row["query"]))


def plain(found: dict[str, Any]) -> dict[str, Any]:
    return {**found, "coordinates": [list(map(int, place)) for place in found["coordinates"]]}


def test_answers_are_the_librarys_alone_and_in_a_batch(oven: Oven) -> None:
    expected = [by_the_library(oven, row) for row in ROWS]
    assert oven.together_and_alone(ROWS) == expected
    assert any(answer["cells"] for answer in expected)
    assert ("aggregator" in expected[0]) is bool(oven.loaded._task._operators)


@pytest.mark.parametrize("sequential", [False, True])
def test_a_list_of_questions_is_answered_as_by_the_library(oven: Oven, sequential: bool) -> None:
    rows = [{**row, "query": [row["query"], "the late bread", "what then?"]} for row in (ROWS[0], ROWS[2])]
    expected = [
        [plain(one) for one in oven.library(table=dict(row["table"]), query=row["query"], sequential=sequential)]
        for row in rows
    ]
    assert oven.together_and_alone([*rows, ROWS[1]], sequential=sequential)[:2] == expected
    [alone] = oven.run([{**ROWS[0], "query": [ROWS[0]["query"]]}], sequential=sequential)
    assert alone == [by_the_library(oven, ROWS[0])]


def test_a_question_of_a_list_that_cannot_be_read_fails_its_row(oven: Oven) -> None:
    refused, good = oven.run([{**ROWS[0], "query": ["so", "\ud800"]}, ROWS[0]])
    assert isinstance(refused, InputError)
    assert not isinstance(good, InputError)


def test_columns_of_different_lengths_are_named(oven: Oven) -> None:
    refused, good = oven.run([{"query": "x", "table": {"a": ["1", "2"], "b": ["1"]}}, ROWS[0]])
    assert refused.code is ErrorCode.INPUT_REJECTED
    assert refused.field == "inputs.table.b"
    assert refused.message.startswith("Column 'b' has 1 cells and column 'a' has 2.")
    assert not isinstance(good, InputError)


@pytest.mark.parametrize("cells", [30, 1000])
def test_too_long_is_refused_in_words_or_cut(oven: Oven, cells: int) -> None:
    row = {"query": "bread", "table": {"a": ["bread"] * cells, "b": ["late bad"] * cells}}
    [refused] = oven.run([row])
    assert refused.code is ErrorCode.INPUT_TOO_LONG
    assert "truncation: true to drop the last rows" in refused.message
    [cut] = oven.run([row], truncation=True)
    assert not isinstance(cut, InputError)


def test_a_question_that_leaves_no_room_is_refused_whatever_is_cut(oven: Oven) -> None:
    row = {"query": "bread " * 80, "table": {"a": ["1"], "b": ["2"]}}
    [refused] = oven.run([row], truncation=True)
    assert refused.code is ErrorCode.INPUT_TOO_LONG


@pytest.mark.parametrize(
    "row",
    [
        {"query": "\ud800", "table": {"a": ["1"]}},
        {"query": "x", "table": {"\ud800": ["1"]}},
        {"query": "x", "table": {"a": ["\ud800"]}},
        {"query": " \n", "table": {"a": ["1"]}},
        {"query": "\x00", "table": {"\u200b": ["\x00"]}},
    ],
)
def test_odd_unicode_harms_nobody_else(oven: Oven, row: dict[str, Any]) -> None:
    assert not isinstance(oven.run([row, ROWS[0]])[1], InputError)


def test_nan_stays_with_its_row(tmp_path: Path) -> None:
    poisoned = Oven("table-question-answering", tiny.poisoned(tmp_path / "checkpoint", tiny.tapas), tmp_path)
    first, second = poisoned.run([{"query": "so", "table": {"a": ["cold"]}}, ROWS[0]])
    assert first.code is ErrorCode.RESULT_NOT_FINITE
    assert not isinstance(second, InputError)


def test_without_pandas_the_operator_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: Callable[..., Any] = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "pandas" else found(name))
    with pytest.raises(CheckpointError, match=r"needs the package pandas; run pip install 'fournil\[tables\]'"):
        Oven("table-question-answering", tiny.tapas(tmp_path / "checkpoint"), tmp_path)
