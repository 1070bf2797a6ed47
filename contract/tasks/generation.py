"""Text that a causal language model writes: a continuation, or the next turn of a chat."""

from __future__ import annotations

from typing import Any

from contract.tasks.task import TEXT_SYNONYMS, TRUNCATION, JsonSchema, Task, a_number, a_whole, an_object, text_field


def _written(result: dict[str, Any]) -> dict[str, Any]:
    """The text, whichever of the two shapes the result has."""
    if "message" in result:
        return {"generated_text": result["message"]["content"], "finish_reason": result["finish_reason"]}
    return {"generated_text": result["generated_text"]}


_MESSAGES: JsonSchema = {
    "type": "array",
    "minItems": 1,
    "maxItems": 1000,
    "title": "Messages",
    "description": "A conversation so far; the model writes the next turn.",
    "items": {
        "type": "object",
        "properties": {
            "role": {"type": "string", "enum": ["system", "user", "assistant"]},
            "content": {"type": "string", "maxLength": 1_000_000},
        },
        "required": ["role", "content"],
        "additionalProperties": False,
    },
}


MIN_P = a_number("Min p", "Sample from tokens at least so likely, as a share of the likeliest one.", 0, 1)
NO_REPEATS = a_whole("No repeats", "No so many tokens in a row are written twice; 0: any.", 0, 100)

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
            "max_new_tokens": a_whole("Longest answer", "Tokens to write at most.", 1, 8192, default=256),
            "min_new_tokens": a_whole("Shortest answer", "Tokens to write at least.", 0, 8192),
            "do_sample": {
                "type": "boolean",
                "title": "Sample",
                "description": "false: always the likeliest token, the same each time. "
                "Empty: true only where temperature, top_k, top_p, min_p or typical_p is given.",
            },
            "temperature": a_number("Temperature", "Higher is more surprising; 0 is the likeliest token.", 0, 5),
            "top_k": a_whole("Top k", "Sample from the k likeliest tokens.", 1, 1000),
            "top_p": a_number("Top p", "Sample from the likeliest tokens that make up this share.", 0.01, 1),
            "min_p": MIN_P,
            "typical_p": a_number("Typical p", "Sample from the locally typical tokens.", 0.01, 1),
            "repetition_penalty": a_number("Repetition penalty", "Above 1: repeats itself less.", 0.1, 10),
            "no_repeat_ngram_size": NO_REPEATS,
            "seed": a_whole("Seed", "Makes sampling repeatable. Empty: taken from the job's id.", 0, 2**32 - 1),
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
            "truncation": TRUNCATION,
        }
    ),
    result={
        "anyOf": [
            {
                "type": "object",
                "properties": {"generated_text": {"type": "string"}},
                "required": ["generated_text"],
            },
            {
                "type": "object",
                "properties": {
                    "message": {
                        "type": "object",
                        "properties": {"role": {"const": "assistant"}, "content": {"type": "string"}},
                        "required": ["role", "content"],
                    },
                    "finish_reason": {"enum": ["stop", "length"]},
                    "usage": {
                        "type": "object",
                        "properties": {
                            "prompt_tokens": {"type": "integer"},
                            "completion_tokens": {"type": "integer"},
                            "total_tokens": {"type": "integer"},
                        },
                    },
                },
                "required": ["message", "finish_reason", "usage"],
            },
        ]
    },
    example={
        "inputs": {"messages": [{"role": "user", "content": "What is the capital of France?"}]},
        "parameters": {"max_new_tokens": 24},
    },
    main_field="text",
    synonyms={
        "text": ("text", "prompt", "question", *TEXT_SYNONYMS[1:]),
        "messages": ("messages", "conversation"),
    },
    columns=_written,
    result_columns=("generated_text", "finish_reason"),
    view="text",
    streams=True,
)
