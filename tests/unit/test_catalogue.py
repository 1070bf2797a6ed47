"""The catalogue of tasks: each holds together, and what does not fit its schemas is named in words."""

from __future__ import annotations

import pytest

from contract.schemas import checker, from_text
from contract.tasks import CATALOGUE


def _says_all(rule: dict) -> bool:
    """Whether a property says what it is for, of which type it is, and how much of it is taken."""
    kinds = set([rule["type"]] if isinstance(rule.get("type"), str) else rule.get("type", ()))
    needed = {"description"}
    needed |= {"minimum", "maximum"} if kinds & {"integer", "number"} else set()
    needed |= {"maxItems"} if kinds == {"array"} else set()
    needed |= {"maxLength"} if kinds == {"string"} and "enum" not in rule else set()
    return needed <= rule.keys() and bool(rule["description"]) and bool(kinds or "enum" in rule or "oneOf" in rule)


@pytest.mark.parametrize("task", CATALOGUE.values(), ids=lambda task: task.name)
def test_every_task_holds_together(task):
    assert not checker(task.inputs).problems(task.example["inputs"], at="inputs")
    assert not checker(task.parameters).problems(task.example["parameters"], at="parameters")
    assert task.main_field in task.inputs["properties"]
    assert set(task.synonyms) <= set(task.inputs["properties"])
    for schema in (task.inputs, task.parameters):
        assert schema["additionalProperties"] is False
        assert all(rule.get("title") for rule in schema["properties"].values())
        assert [name for name, rule in schema["properties"].items() if not _says_all(rule)] == []
    for name, rule in task.parameters["properties"].items():
        if "default" in rule:
            partial = {**task.parameters, "required": []}
            assert not checker(partial).problems({name: rule["default"]}, at="parameters")


@pytest.mark.parametrize(
    ("task", "inputs", "field", "words"),
    [
        ("text-classification", {"text": 5}, "inputs.text", "must be a text"),
        ("text-classification", {}, "inputs.text", "is missing"),
        ("text-classification", {"text": ""}, "inputs.text", "must not be empty"),
        ("text-classification", {"txt": "a", "text": "a"}, "inputs.txt", "Did you mean text?"),
        ("text-generation", {}, "inputs", "Give either text or messages"),
        (
            "text-generation",
            {"messages": [{"role": "b", "content": "x"}]},
            "inputs.messages.0.role",
            "one of system",
        ),
        ("text-generation", {"messages": [{"role": "user"}]}, "inputs.messages.0.content", "is missing"),
        ("sentence-similarity", {"source_sentence": "a", "sentences": []}, "inputs.sentences", "must not be empty"),
    ],
)
def test_bad_inputs_are_named_in_words(task, inputs, field, words):
    problem = checker(CATALOGUE[task].inputs).problems(inputs, at="inputs")[0]
    assert problem.field == field
    assert words in problem.message


def test_a_template_with_attribute_access_is_refused():
    bad = {"candidate_labels": ["a"], "hypothesis_template": "{0.__class__}"}
    problem = checker(CATALOGUE["zero-shot-classification"].parameters).problems(bad, at="parameters")[0]
    assert "hold {} exactly once" in problem.message


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "string"}, " a ", " a "),
        ({"type": "integer"}, "5", 5),
        ({"type": "integer"}, "5.5", "5.5"),
        ({"type": "integer"}, "7.0", 7),
        ({"type": "integer"}, "inf", "inf"),
        ({"type": "number"}, "0.5", 0.5),
        ({"type": "number"}, "nan", "nan"),
        ({"type": ["integer", "null"]}, "", None),
        ({"type": "boolean"}, "TRUE", True),
        ({"type": "boolean"}, "perhaps", "perhaps"),
        ({"type": "array"}, "a, b", ["a", "b"]),
        ({"type": "array"}, "a, b\nc", ["a, b", "c"]),
        ({"type": "array"}, '["a,b"]', ["a,b"]),
        ({"type": "array"}, "[broken", "[broken"),
    ],
)
def test_text_becomes_what_its_schema_asks_for(schema, text, value):
    assert from_text(schema, text) == value


@pytest.mark.parametrize(
    ("questions", "field"),
    [
        ({}, "inputs.questions"),
        ([], "inputs.questions"),
        ({"a": 5}, "inputs.questions.a"),
        ({"a": {}}, "inputs.questions.a.type"),
        ({"a": {"type": "guess"}}, "inputs.questions.a.type"),
        ({"a": {"type": "choice"}}, "inputs.questions.a.criteria"),
        ({"a": {"type": "choice", "criteria": ["x"]}}, "inputs.questions.a.criteria"),
        ({"a": {"type": "choice", "criteria": {}}}, "inputs.questions.a.criteria"),
        ({"a": {"type": "choice", "criteria": {"x": 5}}}, "inputs.questions.a.criteria.x"),
        ({"a": {"type": "score", "criteria": {"x": "y"}}}, "inputs.questions.a.criteria"),
        ({"a": {"type": "score", "criteria": [None]}}, "inputs.questions.a.criteria.0"),
        ({"a": {"type": "noul", "criteria": {"maybe": "x"}}}, "inputs.questions.a.criteria.maybe"),
        ({"a": {"type": "noul", "more": 1}}, "inputs.questions.a.more"),
    ],
    ids=str,
)
def test_questions_that_make_no_sense_are_named(questions, field):
    problems = checker(CATALOGUE["decision"].inputs).problems({"state": "x", "questions": questions}, at="inputs")

    assert problems[0].field == field
    assert problems[0].message.endswith(".")
