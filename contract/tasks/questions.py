"""Answers found in what is sent along with the question: a text (question-answering) or a table."""

from __future__ import annotations

from typing import Any

from contract.jsons import dumps
from contract.tasks.task import SCORE, TRUNCATION, JsonSchema, Task, a_whole, an_object, text_field

_ANSWER: JsonSchema = {
    "type": "object",
    "description": "The answer.",
    "properties": {
        "answer": {"type": "string", "description": "Words of the text. Empty: it has no answer."},
        "score": SCORE,
        "start": {"type": "integer", "description": "Where in the text it begins, in characters from 0."},
        "end": {"type": "integer", "description": "Where it ends: the first character behind it."},
    },
    "required": ["answer", "score", "start", "end"],
}


def _best_answer(result: Any) -> dict[str, Any]:
    """The best answer, whether one or several were asked for."""
    best = result[0] if isinstance(result, list) else result
    return {key: best[key] for key in ("answer", "score", "start", "end")}


QUESTION_ANSWERING = Task(
    name="question-answering",
    title="Question answering",
    summary="Finds the words of a text that answer a question about it.",
    modality="text",
    inputs=an_object(
        {
            "question": text_field("Question", "What to look for."),
            "context": text_field("Text", "Where to look. It may be long: it is read in windows that overlap."),
        },
        required=("question", "context"),
    ),
    parameters=an_object(
        {
            "top_k": a_whole("Answers to return", "The best k answers; more than 1 gives a list.", 1, 100, default=1),
            "handle_impossible_answer": {
                "type": "boolean",
                "default": False,
                "title": "There may be no answer",
                "description": "true: an empty answer may win. Only for models that were trained for it.",
            },
            "max_answer_len": a_whole("Longest answer", "Tokens of an answer at most.", 1, 512, default=15),
            "align_to_words": {
                "type": "boolean",
                "default": True,
                "title": "Whole words",
                "description": "true: an answer begins and ends with a word. For languages without spaces: false.",
            },
            "max_seq_len": a_whole(
                "Length of a window",
                "Tokens of question and text that are read at once. Empty: 384, or what the model takes.",
                16,
                32_768,
            ),
            "doc_stride": a_whole(
                "Overlap of windows",
                "Tokens that one window shares with the next. Empty: 128, or half a short window.",
                0,
                16_384,
            ),
            "max_question_len": a_whole(
                "Longest question", "Tokens of the question that are read; the rest is cut.", 1, 512, default=64
            ),
        }
    ),
    result={
        "anyOf": [
            _ANSWER,
            {
                "type": "array",
                "description": "The answers, best first, where top_k is above 1.",
                "items": _ANSWER,
                "minItems": 1,
            },
        ]
    },
    example={
        "inputs": {
            "question": "Where did Marie bake?",
            "context": "Marie baked in Lyon for ten years. Then she opened an oven of her own in Paris.",
        },
        "parameters": {},
    },
    example_result={"answer": "Lyon", "score": 0.81, "start": 15, "end": 19},
    main_field="question",
    synonyms={
        "question": ("question", "query", "q", "prompt"),
        "context": ("context", "passage", "paragraph", "document", "article", "text", "content", "body"),
    },
    columns=_best_answer,
    result_columns=("answer", "score", "start", "end"),
    view="answers",
)


_TABLE: JsonSchema = {
    "type": "object",
    "minProperties": 1,
    "maxProperties": 100,
    "propertyNames": {"minLength": 1, "maxLength": 1000},
    "additionalProperties": {
        "type": "array",
        "items": {"type": "string", "maxLength": 10_000},
        "minItems": 1,
        "maxItems": 1000,
    },
    "title": "Table",
    "description": "An object of column names, each with the list of its cells as texts, numbers too.",
    "x-type-words": "be an object of column names, each with a list of texts",
}


_CELLS: JsonSchema = {
    "type": "object",
    "description": "The answer to the question.",
    "properties": {
        "answer": {
            "type": "string",
            "description": "The cells with commas between, behind what is to be done with them: SUM > 1, 2.",
        },
        "coordinates": {
            "type": "array",
            "description": "Row and column of each cell, from 0.",
            "items": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
        },
        "cells": {"type": "array", "description": "What stands in each.", "items": {"type": "string"}},
        "aggregator": {
            "type": "string",
            "description": "Of models that know some: what is to be done with the cells, mostly NONE, SUM, AVERAGE "
            "or COUNT.",
        },
    },
    "required": ["answer", "coordinates", "cells"],
}


def _cells(result: Any) -> dict[str, Any]:
    """One answer as it is; of several, lists of each."""
    if isinstance(result, list):
        return {name: dumps([one.get(name) for one in result]) for name in ("answer", "cells", "aggregator")}
    return {"answer": result["answer"], "cells": dumps(result["cells"]), "aggregator": result.get("aggregator")}


TABLE_QUESTION_ANSWERING = Task(
    name="table-question-answering",
    title="Table question answering",
    summary="Finds the cells of a table that answer a question, and whether to count, add or average them.",
    modality="text",
    inputs=an_object(
        {
            "query": text_field(
                "Question",
                "What to look for in the table; or a list of questions about it.",
                type=["string", "array"],
                items={"type": "string", "minLength": 1, "maxLength": 10_000},
                minItems=1,
                maxItems=100,
            ),
            "table": _TABLE,
        },
        required=("query", "table"),
    ),
    parameters=an_object(
        {
            "sequential": {
                "type": "boolean",
                "default": False,
                "title": "One after the other",
                "description": "true: each question of a list is read with the answers before it, as models of "
                "conversations about tables (SQA) were trained.",
            },
            "truncation": {
                **TRUNCATION,
                "title": "Cut a table that is too long",
                "description": "true: drop the last rows. false: such a job fails with input_too_long.",
            },
        }
    ),
    result={
        "anyOf": [
            _CELLS,
            {
                "type": "array",
                "description": "An answer for each question, where a list of them was sent.",
                "items": _CELLS,
                "minItems": 1,
            },
        ]
    },
    example={
        "inputs": {
            "query": "How many loaves were baked in Lyon?",
            "table": {"Town": ["Paris", "Lyon", "Nice"], "Loaves": ["300", "120", "80"]},
        },
        "parameters": {},
    },
    example_result={"answer": "SUM > 120", "coordinates": [[1, 1]], "cells": ["120"], "aggregator": "SUM"},
    main_field="query",
    synonyms={"query": ("query", "question", "q", "text"), "table": ("table", "data", "rows")},
    columns=_cells,
    result_columns=("answer", "cells", "aggregator"),
    view="table",
)
