"""What all tasks have in common that sort something into labels: a text, an image, a recording or a video."""

from __future__ import annotations

from typing import Any

from contract.tasks.task import SCORE, JsonSchema

TOP_K: JsonSchema = {
    "type": ["integer", "null"],
    "minimum": 1,
    "maximum": 1000,
    "default": 5,
    "title": "Labels to return",
    "description": "The best k labels; null for all of them.",
}
FUNCTION_TO_APPLY: JsonSchema = {
    "type": "string",
    "enum": ["sigmoid", "softmax", "none"],
    "title": "Function applied to the scores",
    "description": "Empty: softmax, or sigmoid where labels do not exclude each other.",
}
LABEL_SCORES: JsonSchema = {
    "type": "array",
    "description": "The labels, best first.",
    "items": {
        "type": "object",
        "properties": {
            "label": {"type": "string", "description": "As the model or, for labels of your own, the job names it."},
            "score": {**SCORE, "description": f"{SCORE['description']} With function_to_apply none: any number."},
        },
        "required": ["label", "score"],
    },
}


def candidate_labels(description: str) -> JsonSchema:
    return {
        "type": "array",
        "items": {"type": "string", "minLength": 1, "maxLength": 500},
        "minItems": 1,
        "maxItems": 100,
        "title": "Candidate labels",
        "description": description,
    }


def hypothesis(default: str) -> JsonSchema:
    return {
        "type": "string",
        "pattern": r"^[^{}]*\{\}[^{}]*$",
        "maxLength": 500,
        "default": default,
        "title": "Hypothesis template",
        "description": "The sentence each label is put into, at {}.",
        "x-pattern-words": "hold {} exactly once, and no other braces",
    }


def best_label(result: list[dict[str, Any]]) -> dict[str, Any]:
    """The first (best) label and its score."""
    best = result[0] if result else {}
    return {"label": best.get("label"), "score": best.get("score")}
