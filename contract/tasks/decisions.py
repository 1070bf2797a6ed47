"""Typed questions about a state of things, each answered with a probability for every option."""

from __future__ import annotations

from typing import Any

from contract.jsons import dumps
from contract.tasks.task import JsonSchema, Task, an_object

_CONTENT = ["string", "object", "array", "null"]
_LONGEST = 1_000_000


def _asks(kind: str, then: JsonSchema) -> JsonSchema:
    """What a question of one type must have besides."""
    return {"if": {"properties": {"type": {"const": kind}}, "required": ["type"]}, "then": then}


_QUESTION: JsonSchema = {
    **an_object(
        {
            "type": {"type": "string", "enum": ["choice", "score", "noul"]},
            "instructions": {"type": _CONTENT, "maxLength": 100_000},
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
                        "additionalProperties": {"type": _CONTENT},
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
                        "items": {"type": ["string", "object", "array"]},
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
                        "properties": {"true": {"type": _CONTENT}, "false": {"type": _CONTENT}},
                        "additionalProperties": False,
                    }
                }
            },
        ),
    ],
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
        "additionalProperties": {
            "type": "object",
            "properties": {
                "type": {"enum": ["choice", "score", "noul"]},
                "choice": {"type": "string"},
                "score": {"type": "number"},
                "noul": {"type": "number", "description": "How likely the answer is yes."},
                "legend": {"type": "object"},
                "confidence": {"type": "number"},
                "probabilities": {"type": "object", "additionalProperties": {"type": "number"}},
            },
            "required": ["type"],
        },
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
    main_field="state",
    synonyms={
        "state": ("state", "text", "message", "content", "body", "record"),
        "questions": ("questions", "question"),
    },
    columns=_first,
    result_columns=("answer", "confidence", "answers"),
    view="decisions",
)
