"""Labels for parts of a text (token-classification) and words for a gap in it (fill-mask)."""

from __future__ import annotations

from typing import Any

from contract.jsons import dumps
from contract.tasks.task import SCORE, TEXT_SYNONYMS, TRUNCATION, JsonSchema, Task, an_object, text_field


def _entities(result: list[dict[str, Any]]) -> dict[str, Any]:
    return {"entities": dumps(result)}


def _best_filling(result: list[Any]) -> dict[str, Any]:
    """The best word of the first gap; the sequence with it put in."""
    first = result[0] if result and isinstance(result[0], list) else result
    best = first[0] if first else {}
    return {key: best.get(key) for key in ("token_str", "score", "sequence")}


_ENTITIES: JsonSchema = {
    "type": "array",
    "description": "What was found, in the order of the text.",
    "items": {
        "type": "object",
        "properties": {
            "entity_group": {"type": "string", "description": "Its label, where tokens are joined to entities."},
            "entity": {"type": "string", "description": "Its label, where they are not: aggregation_strategy none."},
            "score": SCORE,
            "word": {"type": "string", "description": "The words, or the token, as the tokenizer writes them."},
            "start": {
                "type": ["integer", "null"],
                "description": "Where in the text it begins, in characters from 0; null where the tokenizer does "
                "not say.",
            },
            "end": {"type": ["integer", "null"], "description": "The first character behind it; null likewise."},
            "index": {"type": "integer", "description": "Which token it is, where they are not joined."},
        },
        "required": ["score", "word", "start", "end"],
    },
}

TOKEN_CLASSIFICATION = Task(
    name="token-classification",
    title="Token classification",
    summary="Marks the names, places and other things that a text speaks of.",
    modality="text",
    inputs=an_object(
        {
            "text": text_field(description="The text to mark."),
            "words": {
                "type": "array",
                "items": {"type": "string", "minLength": 1, "maxLength": 10_000},
                "minItems": 1,
                "maxItems": 100_000,
                "title": "Words",
                "description": "The text as its words, where something else has parted them.",
                "x-multiline": True,
            },
        },
        oneOf=[{"required": ["text"]}, {"required": ["words"]}],
    ),
    parameters=an_object(
        {
            "aggregation_strategy": {
                "type": "string",
                "enum": ["none", "simple", "first", "average", "max"],
                "default": "simple",
                "title": "How tokens become entities",
                "description": "none: one entry a token. The others join tokens of one entity.",
            },
            "ignore_labels": {
                "type": "array",
                "items": {"type": "string", "maxLength": 200},
                "maxItems": 100,
                "default": ["O"],
                "title": "Labels to leave out",
                "description": "Entities with these labels are not returned.",
            },
            "stride": {
                "type": "integer",
                "minimum": 1,
                "maximum": 4096,
                "title": "Overlap of windows",
                "description": "Read a text that is too long in windows that overlap by so many tokens; "
                "needs an aggregation strategy.",
            },
            "delimiter": {
                "type": "string",
                "maxLength": 10,
                "default": " ",
                "title": "Between words",
                "description": "What stands between words that were sent as words: start and end of an entity are "
                "counted in the text that they make with it.",
            },
            "truncation": TRUNCATION,
        }
    ),
    result=_ENTITIES,
    example={"inputs": {"text": "Marie baked in Lyon for ten years."}, "parameters": {}},
    example_result=[
        {"entity_group": "PER", "score": 0.99, "word": "Marie", "start": 0, "end": 5},
        {"entity_group": "LOC", "score": 0.98, "word": "Lyon", "start": 15, "end": 19},
    ],
    main_field="text",
    synonyms={"text": TEXT_SYNONYMS, "words": ("words", "tokens")},
    columns=_entities,
    result_columns=("entities",),
    view="entities",
)

_FILLINGS: JsonSchema = {
    "type": "array",
    "description": "Words for the gap, best first.",
    "items": {
        "type": "object",
        "properties": {
            "score": SCORE,
            "token": {"type": "integer", "description": "Its number in the model's vocabulary."},
            "token_str": {"type": "string", "description": "The word, or the piece of one."},
            "sequence": {"type": "string", "description": "The text with the word in its place."},
        },
        "required": ["score", "token", "token_str", "sequence"],
    },
}

FILL_MASK = Task(
    name="fill-mask",
    title="Fill mask",
    summary="Finds the words that fit a gap in a sentence.",
    modality="text",
    inputs=an_object(
        {"text": text_field(description="A text with the model's mask token in it, such as [MASK].")},
        required=("text",),
    ),
    parameters=an_object(
        {
            "top_k": {
                "type": "integer",
                "minimum": 1,
                "maximum": 1000,
                "default": 5,
                "title": "Words to return",
                "description": "The best k words for each gap.",
            },
            "targets": {
                "type": "array",
                "items": {"type": "string", "minLength": 1, "maxLength": 200},
                "minItems": 1,
                "maxItems": 1000,
                "title": "Words to choose from",
                "description": "Score only these words; a word the model has no single token for is refused.",
            },
            "truncation": TRUNCATION,
        }
    ),
    result={
        "anyOf": [
            _FILLINGS,
            {"type": "array", "description": "Such a list for each of several gaps.", "items": _FILLINGS},
        ]
    },
    example={"inputs": {"text": "The baker puts the [MASK] into the oven."}, "parameters": {"top_k": 3}},
    example_result=[
        {"score": 0.62, "token": 7852, "token_str": "bread", "sequence": "The baker puts the bread into the oven."},
        {"score": 0.21, "token": 18149, "token_str": "dough", "sequence": "The baker puts the dough into the oven."},
        {"score": 0.05, "token": 9850, "token_str": "cake", "sequence": "The baker puts the cake into the oven."},
    ],
    main_field="text",
    synonyms={"text": TEXT_SYNONYMS},
    columns=_best_filling,
    result_columns=("token_str", "score", "sequence"),
    view="tokens",
)
