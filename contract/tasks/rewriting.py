"""Texts that a model reads whole and writes anew: a summary, a translation, or what it was trained to write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from contract.tasks.generation import (
    ALTERNATIVES,
    BAD_WORDS,
    DO_SAMPLE,
    EARLY_STOPPING,
    LENGTH_PENALTY,
    NO_REPEATS,
    SAMPLING,
    SEED,
    SEVERAL,
    other_texts,
)
from contract.tasks.task import TEXT_SYNONYMS, TRUNCATION, JsonSchema, Task, a_number, a_whole, an_object, text_field

_WRITING: dict[str, JsonSchema] = {
    "max_new_tokens": a_whole(
        "Longest text", "Tokens to write at most. Empty: as the checkpoint says, or 256.", 1, 4096
    ),
    "min_new_tokens": a_whole("Shortest text", "Tokens to write at least.", 0, 4096),
    "num_beams": a_whole(
        "Beams",
        "Texts that are written side by side, of which the best is given. Empty: as the checkpoint says, or 4.",
        1,
        16,
    ),
    "length_penalty": LENGTH_PENALTY,
    "no_repeat_ngram_size": NO_REPEATS,
    "early_stopping": EARLY_STOPPING,
    "num_return_sequences": SEVERAL,
    "bad_words": BAD_WORDS,
    "repetition_penalty": a_number("Repetition penalty", "Above 1: repeats itself less.", 0.1, 10),
    "do_sample": DO_SAMPLE,
    **SAMPLING,
    "seed": SEED,
    "clean_up_tokenization_spaces": {
        "type": "boolean",
        "title": "Clean up spaces",
        "description": "true: no space before a full stop or a comma. Empty: as the tokenizer says.",
    },
    "truncation": TRUNCATION,
}


def _prefix(description: str) -> JsonSchema:
    return {"type": "string", "maxLength": 1000, "title": "Words before the text", "description": description}


def _language(title: str, description: str) -> JsonSchema:
    return {"type": "string", "minLength": 1, "maxLength": 40, "title": title, "description": description}


def _written(name: str) -> JsonSchema:
    text: JsonSchema = {"type": "string", "description": "What the model wrote."}
    return {"type": "object", "properties": {name: text, "alternatives": ALTERNATIVES}, "required": [name]}


def _only(name: str) -> Callable[[Any], dict[str, Any]]:
    return lambda result: {name: result[name], **other_texts(result)}


TEXT2TEXT_GENERATION = Task(
    name="text2text-generation",
    title="Text to text",
    summary="Writes what the model was trained to write for a text, such as an answer to an instruction.",
    modality="text",
    inputs=an_object({"text": text_field(description="The text to read, instructions and all.")}, required=("text",)),
    parameters=an_object(_WRITING),
    result=_written("generated_text"),
    example={
        "inputs": {"text": "Write in the plural: the baker takes the loaf out of the oven."},
        "parameters": {"max_new_tokens": 24},
    },
    example_result={"generated_text": "The bakers take the loaves out of the ovens."},
    main_field="text",
    synonyms={"text": ("text", "prompt", "instruction", *TEXT_SYNONYMS[1:])},
    columns=_only("generated_text"),
    result_columns=("generated_text", "alternatives"),
    view="written",
)

SUMMARIZATION = Task(
    name="summarization",
    title="Summarization",
    summary="Says in a few sentences what a long text says.",
    modality="text",
    inputs=an_object({"text": text_field(description="The text to summarize.")}, required=("text",)),
    parameters=an_object(
        {
            "prefix": _prefix("Put before each text. Empty: as the checkpoint says; for T5 'summarize: '."),
            **_WRITING,
        }
    ),
    result=_written("summary_text"),
    example={
        "inputs": {
            "text": "The bakery opens at six. By then the first loaves are out of the oven, and the baker, who came "
            "at two in the morning, drinks coffee. At seven the children come for rolls, and by nine all is sold."
        },
        "parameters": {"max_new_tokens": 24},
    },
    example_result={"summary_text": "The bakery opens at six, and by nine all its bread is sold."},
    main_field="text",
    synonyms={"text": ("text", "article", *TEXT_SYNONYMS[1:])},
    columns=_only("summary_text"),
    result_columns=("summary_text", "alternatives"),
    view="written",
)

TRANSLATION = Task(
    name="translation",
    title="Translation",
    summary="Says a text in another language.",
    modality="text",
    inputs=an_object({"text": text_field(description="The text to translate.")}, required=("text",)),
    parameters=an_object(
        {
            "src_lang": _language(
                "From language",
                "The text's, by the model's own code, such as en, en_XX or eng_Latn. "
                "Needed by models of many languages; others have one pair.",
            ),
            "tgt_lang": _language("Into language", "The translation's, by the model's own code."),
            "prefix": _prefix("Put before each text. Empty: what the languages ask for, as with T5."),
            **_WRITING,
        }
    ),
    result=_written("translation_text"),
    example={"inputs": {"text": "The bread is fresh this morning."}, "parameters": {"max_new_tokens": 24}},
    example_result={"translation_text": "Das Brot ist heute Morgen frisch."},
    main_field="text",
    synonyms={"text": ("text", "source", *TEXT_SYNONYMS[1:])},
    columns=_only("translation_text"),
    result_columns=("translation_text", "alternatives"),
    view="written",
)
