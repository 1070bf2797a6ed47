"""Words about an image: a caption, or the answer to a question."""

from __future__ import annotations

from typing import Any

from contract.tasks.generation import (
    DO_SAMPLE,
    EARLY_STOPPING,
    LENGTH_PENALTY,
    NO_REPEATS,
    SAMPLING,
    SEED,
    SEVERAL,
)
from contract.tasks.images import an_image
from contract.tasks.media import EXAMPLE_IMAGE, IMAGE_SYNONYMS, image_field
from contract.tasks.task import SCORE, JsonSchema, Task, a_number, a_whole, an_object, text_field

_BEAMS = a_whole(
    "Beams",
    "Texts that are written side by side, of which the best is given. Empty: as the checkpoint says, or 1.",
    1,
    16,
)


def _best_answer(result: list[dict[str, Any]]) -> dict[str, Any]:
    best = result[0] if result else {}
    return {"answer": best.get("answer"), "score": best.get("score")}


VISUAL_QUESTION_ANSWERING = Task(
    name="visual-question-answering",
    title="Visual question answering",
    summary="Answers a question about an image in a word or two.",
    modality="multimodal",
    inputs=an_object(
        {
            "image": image_field(description="The image that is asked about."),
            "question": text_field("Question", "What you want to know of it.", maxLength=10_000),
        },
        required=("image", "question"),
    ),
    parameters=an_object(
        {
            "top_k": {
                "type": ["integer", "null"],
                "minimum": 1,
                "maximum": 1000,
                "default": 5,
                "title": "Answers to return",
                "description": "The best k, of a model that chooses among known answers; one that writes gives one.",
            },
            "max_new_tokens": a_whole(
                "Longest answer", "Tokens to write at most, of models that write.", 1, 1024, default=20
            ),
            "num_beams": {**_BEAMS, "description": f"{_BEAMS['description']} For models that write."},
        }
    ),
    result={
        "type": "array",
        "description": "The answers, best first.",
        "items": {
            "type": "object",
            "properties": {
                "answer": {"type": "string", "description": "A word or a few."},
                "score": {
                    "type": ["number", "null"],
                    "description": f"{SCORE['description']} null where it writes its answer.",
                },
            },
            "required": ["answer", "score"],
        },
    },
    example={"inputs": {"image": EXAMPLE_IMAGE, "question": "What is on the table?"}, "parameters": {}},
    example_result=[{"answer": "bread", "score": 0.91}, {"answer": "cake", "score": 0.06}],
    main_field="question",
    synonyms={"image": IMAGE_SYNONYMS, "question": ("question", "query", "prompt", "text")},
    columns=_best_answer,
    result_columns=("answer", "score"),
    view="replies",
)


def _caption(result: list[dict[str, Any]]) -> dict[str, Any]:
    return {"generated_text": result[0]["generated_text"] if result else None}


_WRITING: dict[str, JsonSchema] = {
    "prompt": {
        "type": "string",
        "minLength": 1,
        "maxLength": 1000,
        "title": "Beginning",
        "description": "Words that the text begins with, such as: a photo of. Some models begin by themselves alone.",
    },
    "max_new_tokens": a_whole("Longest text", "Tokens to write at most.", 1, 1024, default=50),
    "min_new_tokens": a_whole("Shortest text", "Tokens to write at least.", 0, 1024),
    "num_beams": _BEAMS,
    "length_penalty": LENGTH_PENALTY,
    "early_stopping": EARLY_STOPPING,
    "num_return_sequences": {
        **SEVERAL,
        "description": "So many for each image: drawn ones, or the best of as many beams. The result lists them.",
    },
    "no_repeat_ngram_size": NO_REPEATS,
    "repetition_penalty": a_number("Repetition penalty", "Above 1: repeats itself less.", 0.1, 10),
    "do_sample": DO_SAMPLE,
    **SAMPLING,
    "seed": SEED,
}

IMAGE_TO_TEXT = Task(
    name="image-to-text",
    title="Image to text",
    summary="Describes an image in a sentence, or reads what is written in it: as the model was trained.",
    modality="image",
    inputs=an_image("The image to put into words."),
    parameters=an_object(_WRITING),
    result={
        "type": "array",
        "description": "One text, or as many as num_return_sequences asked for.",
        "items": {
            "type": "object",
            "properties": {"generated_text": {"type": "string", "description": "What the model wrote."}},
            "required": ["generated_text"],
        },
    },
    example={"inputs": {"image": EXAMPLE_IMAGE}, "parameters": {"max_new_tokens": 12}},
    example_result=[{"generated_text": "a loaf of bread on a wooden table"}],
    main_field="image",
    synonyms={"image": IMAGE_SYNONYMS},
    columns=_caption,
    result_columns=("generated_text",),
    view="caption",
)
