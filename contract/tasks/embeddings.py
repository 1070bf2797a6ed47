"""Texts as vectors (feature-extraction) and how alike they are (sentence-similarity)."""

from __future__ import annotations

from typing import Any

from contract.jsons import dumps
from contract.tasks.task import TEXT_SYNONYMS, TRUNCATION, JsonSchema, Task, a_whole, an_object, text_field


def embedding(result: list[Any]) -> dict[str, Any]:
    return {"embedding": dumps(result)}


def _similarities(result: list[float]) -> dict[str, Any]:
    return {"similarities": dumps(result)}


def _pooling(*ways: str, words: str) -> JsonSchema:
    return {
        "type": "string",
        "enum": list(ways),
        "title": "Pooling",
        "description": f"{words} Empty: as the checkpoint's 1_Pooling says, else the mean.",
    }


#: One vector, or several.
VECTORS: JsonSchema = {
    "anyOf": [
        {"type": "array", "items": {"type": "number"}, "description": "The vector."},
        {
            "type": "array",
            "items": {"type": "array", "items": {"type": "number"}},
            "description": "A vector for each part that the model sees: a token, a patch.",
        },
    ]
}
_NORMALIZE: JsonSchema = {
    "type": "boolean",
    "title": "Normalize",
    "description": (
        "true: every vector has length 1, so that a dot product is the cosine. Empty: as the checkpoint's "
        "modules.json says, else false."
    ),
}
#: What both tasks take.
_SHARED: dict[str, JsonSchema] = {
    "prompt_name": {
        "type": "string",
        "maxLength": 100,
        "title": "Prompt",
        "description": (
            "Which of the checkpoint's prompts stands before each text, such as query or document. Left out: its "
            'default, where it has one. "": none.'
        ),
    },
    "dimensions": a_whole(
        "Dimensions",
        "Only the first so many numbers of each vector, for models trained to be cut (Matryoshka).",
        1,
        65536,
    ),
    "truncation": TRUNCATION,
}

FEATURE_EXTRACTION = Task(
    name="feature-extraction",
    title="Feature extraction",
    summary="Turns a text into a vector for search, clustering or a classifier of your own.",
    modality="text",
    inputs=an_object({"text": text_field(description="The text to embed.")}, required=("text",)),
    parameters=an_object(
        {
            "pooling": _pooling(
                "mean",
                "cls",
                "last",
                "none",
                words="mean, cls (the first token) or last: one vector a text. none: one vector a token.",
            ),
            "normalize": _NORMALIZE,
            **_SHARED,
        }
    ),
    result=VECTORS,
    example={"inputs": {"text": "Bread is baked in the early morning."}, "parameters": {}},
    example_result=[0.0312, -0.0475, 0.0089, 0.1204],
    main_field="text",
    synonyms={"text": TEXT_SYNONYMS},
    columns=embedding,
    result_columns=("embedding",),
    view="vector",
)

SENTENCE_SIMILARITY = Task(
    name="sentence-similarity",
    title="Sentence similarity",
    summary="Says how close in meaning each of some sentences is to one other.",
    modality="text",
    inputs=an_object(
        {
            "source_sentence": text_field("Source sentence", "The sentence the others are compared with."),
            "sentences": {
                "type": "array",
                "items": {"type": "string", "minLength": 1, "maxLength": 1_000_000},
                "minItems": 1,
                "maxItems": 1000,
                "title": "Sentences",
                "description": "The sentences to compare, one a line.",
                "x-multiline": True,
            },
        },
        required=("source_sentence", "sentences"),
    ),
    parameters=an_object(
        {"pooling": _pooling("mean", "cls", "last", words="mean, cls (the first token) or last."), **_SHARED}
    ),
    result={
        "type": "array",
        "description": "For each sentence, in order, the cosine of its vector and that of the source sentence.",
        "items": {"type": "number"},
    },
    example={
        "inputs": {
            "source_sentence": "The bread is fresh.",
            "sentences": ["This loaf was baked today.", "The train leaves at nine."],
        },
        "parameters": {},
    },
    example_result=[0.78, 0.06],
    main_field="source_sentence",
    synonyms={
        "source_sentence": ("source_sentence", "source", "query", "sentence1", "text"),
        "sentences": ("sentences", "candidates", "sentence2", "others"),
    },
    columns=_similarities,
    result_columns=("similarities",),
    view="scores",
)
