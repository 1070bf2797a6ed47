"""Text that a causal language model writes: a continuation, or the next turn of a chat."""

from __future__ import annotations

from typing import Any

from contract.jsons import dumps
from contract.tasks.task import TEXT_SYNONYMS, TRUNCATION, JsonSchema, Task, a_number, a_whole, an_object, text_field


def _written(result: dict[str, Any]) -> dict[str, Any]:
    """The text, whichever of the two shapes the result has."""
    others = other_texts(result)
    if "message" in result:
        return {"generated_text": result["message"]["content"], "finish_reason": result["finish_reason"], **others}
    return {"generated_text": result["generated_text"], **others}


def other_texts(result: dict[str, Any]) -> dict[str, Any]:
    """The column of alternatives, empty where one text was asked for."""
    return {"alternatives": dumps(result["alternatives"]) if "alternatives" in result else None}


ROLES: JsonSchema = {"type": "string", "enum": ["system", "user", "assistant", "tool"]}
#: What a turn has besides words, where tools are called.
CALLS: dict[str, JsonSchema] = {
    "tool_calls": {"type": "array", "minItems": 1, "maxItems": 128, "items": {"type": "object"}},
    "tool_call_id": {"type": "string", "maxLength": 200},
    "name": {"type": "string", "maxLength": 200},
}

_MESSAGES: JsonSchema = {
    "type": "array",
    "minItems": 1,
    "maxItems": 1000,
    "title": "Messages",
    "description": "A conversation so far; the model writes the next turn. What a tool gave is said by the role "
    "tool; the assistant's turn before it may have its tool_calls.",
    "items": {
        "type": "object",
        "properties": {
            "role": ROLES,
            "content": {"type": "string", "maxLength": 1_000_000},
            **CALLS,
        },
        "required": ["role", "content"],
        "additionalProperties": False,
    },
}


#: Further texts of a row, where several were asked for.
ALTERNATIVES: JsonSchema = {
    "type": "array",
    "description": "Where num_return_sequences is above 1: the further texts.",
    "items": {"type": "string"},
}
SEVERAL = a_whole(
    "Texts to return",
    "So many for each row: drawn ones, or the best of as many beams. Those after the first are its alternatives.",
    1,
    16,
)
BAD_WORDS: JsonSchema = {
    "type": "array",
    "items": {"type": "string", "minLength": 1, "maxLength": 200},
    "maxItems": 100,
    "title": "Never write",
    "description": "Words that are not written, nor others that begin with them. Upper and lower case differ.",
}
LENGTH_PENALTY = a_number("Length penalty", "With beams: above 0 prefers long texts, below 0 short.", -10, 10)
EARLY_STOPPING: JsonSchema = {
    "type": "boolean",
    "title": "Stop early",
    "description": "true: stop when there are as many finished texts as beams. Empty: as the checkpoint says.",
}


def _listed(title: str, description: str) -> JsonSchema:
    """Objects that the model's chat template writes down."""
    return {
        "type": "array",
        "items": {"type": "object", "minProperties": 1},
        "minItems": 1,
        "maxItems": 128,
        "title": title,
        "description": description,
        "x-json": True,
    }


DO_SAMPLE: JsonSchema = {
    "type": "boolean",
    "title": "Sample",
    "description": "false: always what is likeliest, the same each time. "
    "Empty: true only where one of those below is given, up to the eta cutoff.",
}
SEED = a_whole("Seed", "Makes sampling repeatable. Empty: taken from the job's id.", 0, 2**32 - 1)
#: How tokens are drawn.
SAMPLING: dict[str, JsonSchema] = {
    "temperature": a_number("Temperature", "Higher is more surprising; 0 is the likeliest token.", 0, 5),
    "top_k": a_whole("Top k", "Sample from the k likeliest tokens.", 1, 1000),
    "top_p": a_number("Top p", "Sample from the likeliest tokens that make up this share.", 0.01, 1),
    "min_p": a_number("Min p", "Sample from tokens at least so likely, as a share of the likeliest one.", 0, 1),
    "top_h": a_number("Top h", "Sample from tokens that make up this share of the uncertainty.", 0.01, 1),
    "typical_p": a_number("Typical p", "Sample from the locally typical tokens.", 0.01, 1),
    "epsilon_cutoff": a_number("Epsilon cutoff", "Sample from tokens at least so likely.", 0, 0.999),
    "eta_cutoff": a_number("Eta cutoff", "The same, and less strict where many are as likely.", 0, 0.999),
}
NO_REPEATS = a_whole("No repeats", "No so many tokens in a row are written twice; 0: any.", 0, 100)

_CONTINUATION: JsonSchema = {
    "type": "object",
    "description": "For a text.",
    "properties": {
        "generated_text": {"type": "string", "description": "What the model wrote."},
        "alternatives": ALTERNATIVES,
    },
    "required": ["generated_text"],
}
_TURN: JsonSchema = {
    "type": "object",
    "description": "For messages.",
    "properties": {
        "message": {
            "type": "object",
            "description": "The next turn.",
            "properties": {
                "role": {"const": "assistant", "description": "Who speaks."},
                "content": {"type": "string", "description": "What the model wrote."},
            },
            "required": ["role", "content"],
        },
        "alternatives": ALTERNATIVES,
        "finish_reason": {
            "enum": ["stop", "length"],
            "description": "stop: it came to its end. length: it was cut at max_new_tokens.",
        },
        "usage": {
            "type": "object",
            "description": "What it took.",
            "properties": {
                "prompt_tokens": {"type": "integer", "description": "Tokens that were read."},
                "completion_tokens": {"type": "integer", "description": "Tokens that were written."},
                "total_tokens": {"type": "integer", "description": "Both."},
            },
        },
    },
    "required": ["message", "finish_reason", "usage"],
}

TEXT_GENERATION = Task(
    name="text-generation",
    title="Text generation",
    summary="Continues a text, or answers in a conversation.",
    modality="text",
    inputs=an_object(
        {"text": text_field("Prompt", "The text to continue."), "messages": _MESSAGES},
        oneOf=[{"required": ["text"]}, {"required": ["messages"]}],
    ),
    parameters=an_object(
        {
            "max_new_tokens": a_whole(
                "Longest answer",
                "Tokens to write at most. Empty: 256, and no more than half of what the model takes.",
                1,
                8192,
            ),
            "min_new_tokens": a_whole("Shortest answer", "Tokens to write at least.", 0, 8192),
            "do_sample": DO_SAMPLE,
            **SAMPLING,
            "repetition_penalty": a_number("Repetition penalty", "Above 1: repeats itself less.", 0.1, 10),
            "no_repeat_ngram_size": NO_REPEATS,
            "num_beams": a_whole(
                "Beams",
                "Texts that are written side by side, of which the best is given, and shown at its end. Empty: 1.",
                1,
                16,
            ),
            "length_penalty": LENGTH_PENALTY,
            "early_stopping": EARLY_STOPPING,
            "num_return_sequences": SEVERAL,
            "seed": SEED,
            "bad_words": BAD_WORDS,
            "stop": {
                "type": "array",
                "items": {"type": "string", "minLength": 1, "maxLength": 200},
                "maxItems": 16,
                "title": "Stop at",
                "description": "Stop as soon as one of these texts is written; it is left out of the answer.",
            },
            "return_full_text": {
                "type": "boolean",
                "default": False,
                "title": "Repeat the prompt",
                "description": "true: the result begins with the prompt. Not for messages.",
            },
            "continue_final_message": {
                "type": "boolean",
                "default": False,
                "title": "Go on with the last message",
                "description": "true: the model goes on with the last message, which is the assistant's, and the "
                "result is what it adds. For messages alone.",
            },
            "skip_special_tokens": {
                "type": "boolean",
                "default": True,
                "title": "Leave out special tokens",
                "description": "false: tokens that are marks and no words, such as those around a call of a tool, "
                "are left in the text. The one that ends it is not.",
            },
            "tools": _listed(
                "Tools",
                "Functions that the model may ask for, each as JSON Schema, for its chat template: "
                '[{"type": "function", "function": {"name", "description", "parameters"}}, …]. What it asks for is '
                "part of its answer's text. For messages alone.",
            ),
            "documents": _listed(
                "Documents",
                'What the model may go by, for its chat template: mostly [{"title", "text"}, …]. For messages alone.',
            ),
            "truncation": TRUNCATION,
        }
    ),
    result={"anyOf": [_CONTINUATION, _TURN]},
    example={
        "inputs": {"messages": [{"role": "user", "content": "What is the capital of France?"}]},
        "parameters": {"max_new_tokens": 24},
    },
    example_result={
        "message": {"role": "assistant", "content": "The capital of France is Paris."},
        "finish_reason": "stop",
        "usage": {"prompt_tokens": 14, "completion_tokens": 8, "total_tokens": 22},
    },
    main_field="text",
    synonyms={
        "text": ("text", "prompt", "question", *TEXT_SYNONYMS[1:]),
        "messages": ("messages", "conversation"),
    },
    columns=_written,
    result_columns=("generated_text", "finish_reason", "alternatives"),
    view="text",
    streams=True,
)
