"""Decisions as a page draws them: for each question its answer, and the options by how likely they are."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Decided:
    name: str
    #: What was asked, where it is a text.
    asked: str
    answer: str
    #: `(option, probability)` in the order to show them.
    options: list[tuple[str, float]]


def decided(inputs: Any, result: dict[str, dict[str, Any]]) -> list[Decided]:
    questions = inputs.get("questions", {})
    return [_one(name, questions.get(name) or {}, answer) for name, answer in result.items()]


def _one(name: str, question: dict[str, Any], answer: dict[str, Any]) -> Decided:
    said = question.get("instructions")
    return Decided(name, said if isinstance(said, str) else "", in_words(answer), _options(answer))


def in_words(answer: dict[str, Any]) -> str:
    if answer["type"] == "noul":
        return "yes" if answer["noul"] >= 0.5 else "no"
    return str(answer["choice"]) if answer["type"] == "choice" else f"{answer['score']:.2f}"


def _options(answer: dict[str, Any]) -> list[tuple[str, float]]:
    if answer["type"] == "noul":
        return [("yes", answer["noul"]), ("no", 1 - answer["noul"])]
    listed = list(answer.get("probabilities", {}).items())
    if answer["type"] == "choice":
        return sorted(listed, key=lambda option: -option[1])
    legend = answer.get("legend", {})
    return [(f"{level}: {told}" if isinstance(told := legend.get(level), str) else level, p) for level, p in listed]
