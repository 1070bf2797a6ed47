"""A result in one line of a list: what a person would say of it, whatever its shape."""

from __future__ import annotations

import pytest

from contract.tasks import CATALOGUE
from web.pages.summaries import in_one_line

#: What the catalogue's examples of results do not show.
OTHERS = [
    ("summarization", {"summary_text": "Sold.", "alternatives": ["Gone."]}, "Sold."),
    ("translation", {"alternatives": ["Gut."], "translation_text": ""}, "nothing"),
    ("text-generation", {"generated_text": " by six", "alternatives": []}, "by six"),
    ("table-question-answering", [{"answer": "120"}, {"answer": ""}], "120 · no cell"),
    ("question-answering", [{"answer": "", "score": 0.5}], "no answer · 50.0 %"),
    ("fill-mask", [[{"token_str": " a"}], [{"token_str": "b"}]], "a"),
    ("feature-extraction", [[0.5, 1.0]], "1 × 2 numbers"),
    ("object-detection", [], "0 found"),
    ("text-classification", [], "no label"),
]


@pytest.mark.parametrize("task", CATALOGUE.values(), ids=list(CATALOGUE))
def test_the_example_of_every_task_is_told_in_words(task):
    told = in_one_line(task.example_result, task)
    assert told
    assert told[0] not in "[{"


@pytest.mark.parametrize(("task", "result", "told"), OTHERS)
def test_other_shapes_are_told_too(task, result, told):
    assert in_one_line(result, CATALOGUE[task]).replace("\N{NO-BREAK SPACE}", " ") == told


@pytest.mark.parametrize("result", ["x", 5, {}, [], [[]], {"alternatives": []}, [None], {"a": {"b": []}}])
def test_a_result_of_a_shape_that_nobody_knows_breaks_no_list(result):
    for task in CATALOGUE.values():
        assert isinstance(in_one_line(result, task), str)
