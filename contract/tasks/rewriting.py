"""Texts that a model reads whole and writes anew: a summary, a translation, or what it was trained to write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from contract.tasks.generation import MIN_P, NO_REPEATS
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
    "length_penalty": a_number("Length penalty", "With beams: above 0 prefers long texts, below 0 short.", -10, 10),
    "no_repeat_ngram_size": NO_REPEATS,
    "early_stopping": {
        "type": "boolean",
        "title": "Stop early",
        "description": "true: stop when there are as many finished texts as beams. Empty: as the checkpoint says.",
    },
    "repetition_penalty": a_number("Repetition penalty", "Above 1: repeats itself less.", 0.1, 10),
    "do_sample": {
        "type": "boolean",
        "title": "Sample",
        "description": "false: the likeliest text, the same each time. "
        "Empty: true only where temperature, top_k, top_p, min_p or typical_p is given.",
    },
    "temperature": a_number("Temperature", "Higher is more surprising; 0 is the likeliest text.", 0, 5),
    "top_k": a_whole("Top k", "Sample from the k likeliest tokens.", 1, 1000),
    "top_p": a_number("Top p", "Sample from the likeliest tokens that make up this share.", 0.01, 1),
    "min_p": MIN_P,
    "typical_p": a_number("Typical p", "Sample from the locally typical tokens.", 0.01, 1),
    "seed": a_whole("Seed", "Makes sampling repeatable. Empty: taken from the job's id.", 0, 2**32 - 1),
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
    return {"type": "object", "properties": {name: {"type": "string"}}, "required": [name]}


def _only(name: str) -> Callable[[Any], dict[str, Any]]:
    return lambda result: {name: result[name]}


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
    main_field="text",
    synonyms={"text": ("text", "prompt", "instruction", *TEXT_SYNONYMS[1:])},
    columns=_only("generated_text"),
    result_columns=("generated_text",),
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
    main_field="text",
    synonyms={"text": ("text", "article", *TEXT_SYNONYMS[1:])},
    columns=_only("summary_text"),
    result_columns=("summary_text",),
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
    main_field="text",
    synonyms={"text": ("text", "source", *TEXT_SYNONYMS[1:])},
    columns=_only("translation_text"),
    result_columns=("translation_text",),
    view="written",
)
