"""Typed questions about a state of things, each answered with a probability for every option."""

from __future__ import annotations

from typing import Any

from contract.jsons import dumps
from contract.tasks.task import JsonSchema, Task, an_object

_LONGEST = 1_000_000
_CONTENT: JsonSchema = {"type": ["string", "object", "array", "null"], "maxLength": _LONGEST}


def _asks(kind: str, then: JsonSchema) -> JsonSchema:
    """What a question of one type must have besides."""
    return {"if": {"properties": {"type": {"const": kind}}, "required": ["type"]}, "then": then}


_QUESTION: JsonSchema = {
    **an_object(
        {
            "type": {"type": "string", "enum": ["choice", "score", "noul"]},
            "instructions": {**_CONTENT, "maxLength": 100_000},
            "criteria": {"type": ["object", "array", "null"]},
        },
        required=("type",),
    ),
    "allOf": [
        _asks(
            "choice",
            {
                "required": ["criteria"],
                "properties": {
                    "criteria": {
                        "type": "object",
                        "minProperties": 1,
                        "maxProperties": 200,
                        "additionalProperties": _CONTENT,
                    }
                },
            },
        ),
        _asks(
            "score",
            {
                "required": ["criteria"],
                "properties": {
                    "criteria": {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": 200,
                        "items": {**_CONTENT, "type": ["string", "object", "array"]},
                    }
                },
            },
        ),
        _asks(
            "noul",
            {
                "properties": {
                    "criteria": {
                        "type": ["object", "null"],
                        "properties": {"true": _CONTENT, "false": _CONTENT},
                        "additionalProperties": False,
                    }
                }
            },
        ),
    ],
}


_ANSWER: JsonSchema = {
    "type": "object",
    "description": "The answer to the question of this name.",
    "properties": {
        "type": {"enum": ["choice", "score", "noul"], "description": "That of its question."},
        "choice": {"type": "string", "description": "Of a choice: the likeliest option."},
        "score": {"type": "number", "description": "Of a score: the mean of the levels, the lowest being 0."},
        "noul": {"type": "number", "description": "Of a noul: how likely the answer is yes, from 0 to 1."},
        "legend": {
            "type": "object",
            "description": "Of a score: what each level means.",
            "additionalProperties": {
                "type": ["string", "object", "array"],
                "description": "As the question has it.",
            },
        },
        "confidence": {
            "type": "number",
            "description": "Of a choice or a score: 0 where all options are as likely, 1 where there is no doubt.",
        },
        "probabilities": {
            "type": "object",
            "description": "Of a choice or a score.",
            "additionalProperties": {"type": "number", "description": "How likely the option or level is."},
        },
    },
    "required": ["type"],
}


def decided(answer: dict[str, Any]) -> Any:
    """What one question came to: the option, the score, or how likely yes is."""
    return answer[answer["type"]]


def _first(result: dict[str, dict[str, Any]]) -> dict[str, Any]:
    first = next(iter(result.values()), None)
    return {
        "answer": decided(first) if first else None,
        "confidence": first.get("confidence") if first else None,
        "answers": dumps(result),
    }


DECISION = Task(
    name="decision",
    title="Decision",
    summary="Answers questions about a message or a record, with a probability for every option.",
    modality="text",
    inputs=an_object(
        {
            "state": {
                "type": ["string", "object", "array"],
                "title": "State",
                "description": "What is to be judged: a text, or any JSON.",
                "minLength": 1,
                "maxLength": _LONGEST,
                "x-json": True,
            },
            "questions": {
                "type": "object",
                "title": "Questions",
                "description": "By name: type choice (criteria: options with descriptions), score (criteria: levels, "
                "lowest first) or noul (yes or no), and instructions, which say what is asked.",
                "minProperties": 1,
                "maxProperties": 50,
                "additionalProperties": _QUESTION,
                "x-json": True,
            },
        },
        required=("state", "questions"),
    ),
    parameters=an_object({}),
    result={
        "type": "object",
        "description": "An answer for each question, by its name.",
        "additionalProperties": _ANSWER,
    },
    example={
        "inputs": {
            "state": "I was charged twice for my bread and want my money back today.",
            "questions": {
                "refund": {"type": "noul", "instructions": "Is a refund asked for?"},
                "tone": {
                    "type": "choice",
                    "instructions": "What is the tone?",
                    "criteria": {"calm": "Polite and patient", "angry": None},
                },
                "urgency": {
                    "type": "score",
                    "instructions": "How urgent is it?",
                    "criteria": ["Can wait", "This week", "Today"],
                },
            },
        },
        "parameters": {},
    },
    example_result={
        "refund": {"type": "noul", "noul": 0.97},
        "tone": {
            "type": "choice",
            "choice": "angry",
            "confidence": 0.72,
            "probabilities": {"calm": 0.14, "angry": 0.86},
        },
        "urgency": {
            "type": "score",
            "score": 1.8,
            "legend": {"0": "Can wait", "1": "This week", "2": "Today"},
            "confidence": 0.79,
            "probabilities": {"0": 0.05, "1": 0.1, "2": 0.85},
        },
    },
    main_field="state",
    synonyms={
        "state": ("state", "text", "message", "content", "body", "record"),
        "questions": ("questions", "question"),
    },
    columns=_first,
    result_columns=("answer", "confidence", "answers"),
    view="decisions",
)
