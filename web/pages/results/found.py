"""Answers found on a document's pages: what they are called, and where the best one is."""

from __future__ import annotations

from typing import Any


def best_place(result: list[dict[str, Any]]) -> dict[str, int] | None:
    """Where the best answer is, in thousandths of its page; None where nobody knows."""
    if not result or "box" not in result[0]:
        return None
    left, top, right, bottom = result[0]["box"]
    return {"x": left, "y": top, "width": max(1, right - left), "height": max(1, bottom - top)}


def name_of(answer: dict[str, Any]) -> str:
    """The answer, and its page where there are several."""
    words = str(answer["answer"] or "no answer")
    return f"{words} (page {answer['page']})" if answer.get("page", 1) > 1 else words
