"""Answers found on the pages of a document: a picture of one, or a PDF."""

from __future__ import annotations

from typing import Any

from contract.tasks.media import IMAGE_SYNONYMS, a_file
from contract.tasks.task import SCORE, JsonSchema, Task, a_whole, an_object, text_field

#: An invoice of one page with a text layer.
_EXAMPLE_PDF = (
    "JVBERi0xLjcKMSAwIG9iago8PC9UeXBlL0NhdGFsb2cvUGFnZXMgMiAwIFI+PgplbmRvYmoKMiAwIG9iago8PC9UeXBlL1BhZ2VzL0tp"
    "ZHNbNCAwIFJdL0NvdW50IDE+PgplbmRvYmoKMyAwIG9iago8PC9UeXBlL0ZvbnQvU3VidHlwZS9UeXBlMS9CYXNlRm9udC9IZWx2ZXRp"
    "Y2E+PgplbmRvYmoKNCAwIG9iago8PC9UeXBlL1BhZ2UvUGFyZW50IDIgMCBSL01lZGlhQm94WzAgMCAyMDAgMjAwXS9Sb3RhdGUgMC9S"
    "ZXNvdXJjZXM8PC9Gb250PDwvRjEgMyAwIFI+Pj4+L0NvbnRlbnRzIDUgMCBSPj4KZW5kb2JqCjUgMCBvYmoKPDwvTGVuZ3RoIDIyOT4+"
    "c3RyZWFtCkJUIC9GMSAxMiBUZiAyMCAxNzAgVGQgKEludm9pY2UgMTcpIFRqIEVUCkJUIC9GMSAxMiBUZiAyMCAxMzAgVGQgKDEyIGxv"
    "YXZlcyBvZiByeWUgYnJlYWQpIFRqIEVUCkJUIC9GMSAxMiBUZiAyMCAxMTAgVGQgKDMgYnJpb2NoZXMpIFRqIEVUCkJUIC9GMSAxMiBU"
    "ZiAyMCA3MCBUZCAoVG90YWw6IDYxLjUwIEVVUikgVGogRVQKQlQgL0YxIDEyIFRmIDIwIDQwIFRkIChQYWlkIG9uIDMgTWF5KSBUaiBF"
    "VAoKZW5kc3RyZWFtCmVuZG9iagp4cmVmCjAgNgowMDAwMDAwMDAwIDY1NTM1IGYgCjAwMDAwMDAwMDkgMDAwMDAgbiAKMDAwMDAwMDA1"
    "NCAwMDAwMCBuIAowMDAwMDAwMTA1IDAwMDAwIG4gCjAwMDAwMDAxNjggMDAwMDAgbiAKMDAwMDAwMDI4OSAwMDAwMCBuIAp0cmFpbGVy"
    "PDwvU2l6ZSA2L1Jvb3QgMSAwIFI+PgpzdGFydHhyZWYKNTY2CiUlRU9GCg=="
)

_BOX: JsonSchema = {
    "type": "array",
    "items": {"type": "integer", "minimum": 0, "maximum": 1000},
    "minItems": 4,
    "maxItems": 4,
    "description": "Left, top, right and bottom in thousandths of the page.",
}
_WORD_BOXES: JsonSchema = {
    "type": "array",
    "title": "Words and their places",
    "description": "What OCR found on the page: [[word, [left, top, right, bottom]], …] in thousandths of the page, "
    "in reading order. Needed by models of the LayoutLM family for a picture; a text layer of a PDF brings its own. "
    "They are of one page: not for a PDF of several.",
    "maxItems": 50_000,
    "x-multiline": True,
    "items": {
        "type": "array",
        "prefixItems": [{"type": "string", "maxLength": 1000}, _BOX],
        "items": False,
        "minItems": 2,
        "x-words": "be a list of a word and its box: [word, [left, top, right, bottom]]",
    },
}


def _best_answer(result: list[dict[str, Any]]) -> dict[str, Any]:
    best = result[0] if result else {}
    return {name: best.get(name) for name in ("answer", "score", "page")}


DOCUMENT_QUESTION_ANSWERING = Task(
    name="document-question-answering",
    title="Document question answering",
    summary="Finds the answer to a question on the pages of a document.",
    modality="multimodal",
    inputs=an_object(
        {
            "image": a_file("document", "Document", "A picture of a page, or a PDF."),
            "question": text_field("Question", "What you want to know of it.", maxLength=10_000),
            "word_boxes": _WORD_BOXES,
        },
        required=("image", "question"),
    ),
    parameters=an_object(
        {
            "top_k": a_whole("Answers to return", "The best k, of all pages together.", 1, 100, default=1),
            "max_answer_len": a_whole("Longest answer", "Tokens of an answer at most.", 1, 512, default=15),
            "max_question_len": a_whole(
                "Longest question", "Tokens of the question that are read; the rest is cut off.", 1, 512, default=64
            ),
            "max_seq_len": a_whole("Window", "Tokens that are read at a time. Empty: all the model takes.", 16, 8192),
            "doc_stride": a_whole("Overlap", "Tokens that two windows share. Empty: half a window.", 1, 4096),
            "handle_impossible_answer": {
                "type": "boolean",
                "default": False,
                "title": "May have no answer",
                "description": "true: an empty answer is among the answers, scored like the others.",
            },
            "max_new_tokens": a_whole(
                "Longest text", "Tokens to write at most, of models that write their answer.", 1, 1024
            ),
        }
    ),
    result={
        "type": "array",
        "description": "The answers of all pages, best first.",
        "items": {
            "type": "object",
            "properties": {
                "answer": {"type": "string", "description": "Empty: there is none."},
                "score": {
                    "type": ["number", "null"],
                    "description": f"{SCORE['description']} null where it writes its answer.",
                },
                "start": {"type": "integer", "description": "The first word of the answer on its page, from 0."},
                "end": {"type": "integer", "description": "The last one."},
                "page": {"type": "integer", "minimum": 1, "description": "Of a PDF, from 1."},
                "box": {**_BOX, "description": "Around the answer: left, top, right, bottom, in thousandths."},
            },
            "required": ["answer", "score"],
        },
    },
    example={
        "inputs": {"image": {"data": _EXAMPLE_PDF}, "question": "What is the total?"},
        "parameters": {},
    },
    example_result=[
        {"answer": "61.50 EUR", "score": 0.93, "start": 10, "end": 11, "page": 1, "box": [150, 620, 480, 680]}
    ],
    main_field="question",
    synonyms={
        "image": ("document", "pdf", "page", "scan", *IMAGE_SYNONYMS),
        "question": ("question", "query", "prompt", "text"),
        "word_boxes": ("word_boxes", "words", "ocr"),
    },
    columns=_best_answer,
    result_columns=("answer", "score", "page"),
    view="found",
)
