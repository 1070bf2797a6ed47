"""What the catalogue says of results is complete, and no text of a request is without an end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from contract.docs import tasks_page
from contract.schemas import checker
from contract.shapes import fields_of
from contract.tasks import CATALOGUE, Task

every_task = pytest.mark.parametrize("task", CATALOGUE.values(), ids=list(CATALOGUE))


@every_task
def test_every_field_of_a_result_says_what_it_is(task: Task):
    fields = list(fields_of(task.result, "result"))
    assert [field.path for field in fields[1:] if len(field.words) < 5] == []
    assert all(field.kind for field in fields)


@every_task
def test_the_example_of_a_result_has_its_shape_and_its_columns(task: Task):
    assert not checker(_closed(task.result)).problems(task.example_result, at="result")
    assert set(task.columns(task.example_result)) <= set(task.result_columns)


def _closed(rule: Any) -> Any:
    """The same schema, which refuses fields that it does not name."""
    if isinstance(rule, list):
        return [_closed(one) for one in rule]
    if not isinstance(rule, dict):
        return rule
    closed = {name: _closed(one) for name, one in rule.items()}
    return {"additionalProperties": False, **closed} if "properties" in rule else closed


def test_several_shapes_and_names_of_all_kinds_are_rows():
    fill_mask = [(field.path, field.kind) for field in fields_of(CATALOGUE["fill-mask"].result, "result")]
    assert ("result", "array of objects") in fill_mask
    assert ("result", "array of arrays of objects") in fill_mask
    assert ("result[][].token_str", "string") in fill_mask

    decision = {field.path: field for field in fields_of(CATALOGUE["decision"].result, "result")}
    assert decision["result.NAME.type"].kind == "`choice` or `score` or `noul`"
    assert decision["result.NAME.probabilities.NAME"].words
    assert (decision["result.NAME.type"].always, decision["result.NAME.noul"].always) == (True, False)


def test_the_docs_cut_the_bytes_of_files_and_nothing_else():
    page = tasks_page()
    assert '"image":{"data":"iVBORw0KGgoAAAANSUhEUgAA…"}' in page
    assert max(map(len, page.splitlines())) < 2_000


@every_task
def test_every_text_of_a_request_is_bounded(task: Task):
    assert list(_endless(task.inputs, "inputs")) == []
    assert list(_endless(task.parameters, "parameters")) == []


def _endless(rule: Any, path: str) -> Iterator[str]:
    """Where in a schema a string may be of any length."""
    if isinstance(rule, list):
        for place, one in enumerate(rule):
            yield from _endless(one, f"{path}.{place}")
    elif isinstance(rule, dict):
        if "string" in rule.get("type", ()) and not {"maxLength", "enum"} & rule.keys():
            yield path
        for name, one in rule.items():
            yield from _endless(one, f"{path}.{name}")
