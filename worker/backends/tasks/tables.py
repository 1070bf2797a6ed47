"""Answers from a table: which of its cells, and what is to be done with them (TAPAS)."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import torch

from contract.errors import ErrorCode, InputError
from worker.backends import refusals
from worker.backends.backend import Context, Inputs, Parameters, Prepared
from worker.backends.encoder import Encoding
from worker.backends.tasks.task import Answer, TaskModel, spans
from worker.backends.weights import Loaded

_NAMES = ("input_ids", "attention_mask", "token_type_ids")
#: Rows and columns are numbered from 1 by tokens that the model has so many of.
_ROWS = 255

Table = dict[str, list[str]]
#: By column and row from 1, whether a cell is part of an answer.
Cells = dict[tuple[int, int], bool]


@dataclasses.dataclass(frozen=True)
class Asked:
    """One row: its table beside each of its questions, as the model reads them."""

    table: Table
    #: The table with each question.
    encodings: list[Encoding]
    #: Whether a list of answers is wanted, of however many questions.
    listed: bool


class TableQuestionAnswering(TaskModel):
    auto_class = "AutoModelForTableQuestionAnswering"
    # Its tokenizer takes nothing but data frames.
    package, extra = "pandas", "tables"

    def __init__(self, loaded: Loaded) -> None:
        self._model = loaded.model
        self._tokenizer = loaded.tokenizer
        self._limit = loaded.limit
        config = loaded.model.config
        self._operators = config.aggregation_labels if config.num_aggregation_labels else None
        self._no_operator = config.no_aggregation_label_index

    def prepare(self, rows: Sequence[Inputs], parameters: Parameters) -> list[Prepared | InputError]:
        return [self._prepare(row["query"], row["table"], cut=parameters["truncation"]) for row in rows]

    def _prepare(self, query: str | list[str], table: Table, *, cut: bool) -> Prepared | InputError:
        questions = [query] if isinstance(query, str) else query
        encodings: list[Encoding] = []
        for question in questions:
            encoding = self._encoded(question, table, cut=cut)
            if isinstance(encoding, InputError):
                return encoding
            encodings.append(encoding)
        longest = max(len(encoding["input_ids"]) for encoding in encodings)
        return Prepared(Asked(table, encodings, isinstance(query, list)), longest, len(encodings))

    def _encoded(self, query: str, table: Table, *, cut: bool) -> Encoding | InputError:
        if refusal := _flaw(query, table):
            return refusal
        # Every cell has a token, so that what cannot fit is known without reading it.
        most = min(_ROWS, self._limit // len(table) - 1)
        rows = len(next(iter(table.values())))
        if rows > most and not cut:
            return self._too_long((rows + 1) * len(table))
        return self._encode(query, {name: cells[: max(1, most)] for name, cells in table.items()}, cut=cut)

    def _encode(self, query: str, table: Table, *, cut: bool) -> Encoding | InputError:
        import pandas

        frame = pandas.DataFrame(table, dtype=object)
        if not cut:
            encoding = self._tokenizer(table=frame, queries=query)
            tokens = len(encoding["input_ids"])
            return self._too_long(tokens) if tokens > self._limit else _bare(encoding)
        try:
            return _bare(
                self._tokenizer(table=frame, queries=query, truncation="drop_rows_to_fit", max_length=self._limit)
            )
        except ValueError:
            return InputError(
                ErrorCode.INPUT_TOO_LONG,
                f"The question and the names of the columns alone have more than the {self._limit} tokens that the "
                "model takes. Shorten them or leave columns out.",
                field="inputs",
            )

    def _too_long(self, tokens: int) -> InputError:
        return InputError(
            ErrorCode.INPUT_TOO_LONG,
            f"This table and its question have {tokens} tokens or more; the model takes {self._limit}. Leave rows or "
            "columns out, or send truncation: true to drop the last rows.",
            field="inputs.table",
            details={"tokens": tokens, "limit": self._limit},
        )

    def bake(self, rows: Sequence[Prepared], parameters: Parameters, context: Context) -> list[Answer]:
        asked: list[Asked] = [row.payload for row in rows]
        answers = self._in_turn(asked) if parameters["sequential"] else self._at_once(asked)
        return [_told(one, found) for one, found in zip(asked, answers, strict=True)]

    def _at_once(self, asked: Sequence[Asked]) -> list[list[Answer]]:
        encodings = [encoding for one in asked for encoding in one.encodings]
        tables = [one.table for one in asked for _ in one.encodings]
        found = [
            self._answer(table, encoding, *scores)
            for table, encoding, scores in zip(tables, encodings, self._scores(encodings), strict=True)
        ]
        return [found[span] for span in spans(len(one.encodings) for one in asked)]

    def _in_turn(self, asked: Sequence[Asked]) -> list[list[Answer]]:
        """Every row's first question in one pass, then every row's second one with what the first was answered, …"""
        answers: list[list[Answer]] = [[] for _ in asked]
        before: list[Cells] = [{} for _ in asked]
        for turn in range(max(len(one.encodings) for one in asked)):
            places = [place for place, one in enumerate(asked) if turn < len(one.encodings)]
            encodings = [_knowing(asked[place].encodings[turn], before[place]) for place in places]
            for place, encoding, scores in zip(places, encodings, self._scores(encodings), strict=True):
                answers[place].append(self._answer(asked[place].table, encoding, *scores))
                before[place] = _chosen(encoding, scores[0])
        return answers

    def _scores(self, encodings: Sequence[Encoding]) -> list[tuple[torch.Tensor, torch.Tensor | None]]:
        """One pass: of each sequence the logits of its tokens, and of the operators where the model has some."""
        output = self._model(**self._padded(encodings))
        logits = output.logits.float().cpu()
        operators = output.logits_aggregation.float().cpu() if self._operators else [None] * len(encodings)
        return [
            (scores[: len(encoding["input_ids"])], operator)
            for encoding, scores, operator in zip(encodings, logits, operators, strict=True)
        ]

    def _padded(self, encodings: Sequence[Encoding]) -> dict[str, torch.Tensor]:
        """Tensors as wide as the longest; padding is all zeros, as the mask is there."""
        width = max(len(encoding["input_ids"]) for encoding in encodings)
        padded = {}
        for name in _NAMES:
            tensors = [torch.tensor(encoding[name]) for encoding in encodings]
            whole = tensors[0].new_zeros((len(tensors), width, *tensors[0].shape[1:]))
            for place, tensor in enumerate(tensors):
                whole[place, : len(tensor)] = tensor
            padded[name] = whole.to(self._model.device)
        return padded

    def _answer(
        self, table: Table, encoding: Encoding, logits: torch.Tensor, operator: torch.Tensor | None
    ) -> Answer:
        if not logits.isfinite().all() or (operator is not None and not operator.isfinite().all()):
            return refusals.not_finite()
        data = {name: torch.tensor([encoding[name]]) for name in _NAMES}
        # One row at a time: the library leaves rows without a table out, and those after them would move up.
        found = self._tokenizer.convert_logits_to_predictions(
            data, logits.unsqueeze(0), None if operator is None else operator.unsqueeze(0)
        )
        places = [[int(row), int(column)] for each in found[0] for row, column in each]
        columns = list(table.values())
        cells = [columns[column][row] for row, column in places]
        answer = {"answer": ", ".join(cells), "coordinates": places, "cells": cells}
        return answer if self._operators is None else self._with_operator(answer, int(found[1][0]))

    def _with_operator(self, answer: dict[str, Any], operator: int) -> dict[str, Any]:
        assert self._operators is not None
        word = str(self._operators[operator])
        prefix = "" if operator == self._no_operator else f"{word} > "
        return {**answer, "answer": prefix + answer["answer"], "aggregator": word}


def _chosen(encoding: Encoding, logits: torch.Tensor) -> Cells:
    """Which cells of a table an answer is made of, as the library tells the next question."""
    found: dict[tuple[int, int], list[float]] = {}
    for (segment, column, row, *_), chance in zip(encoding["token_type_ids"], logits.sigmoid().tolist(), strict=True):
        if segment == 1 and column > 0 and row > 0:
            found.setdefault((column, row), []).append(chance)
    return {cell: sum(chances) / len(chances) > 0.5 for cell, chances in found.items()}


def _knowing(encoding: Encoding, before: Cells) -> Encoding:
    """The same with the cells that the question before was answered with."""
    if not before:
        return encoding
    types = [
        [segment, column, row, int(segment == 1 and before.get((column, row), False)), *more]
        for segment, column, row, _, *more in encoding["token_type_ids"]
    ]
    return {**encoding, "token_type_ids": types}


def _told(asked: Asked, answers: Sequence[Answer]) -> Answer:
    refused = next((answer for answer in answers if isinstance(answer, InputError)), None)
    if refused is not None:
        return refused
    return list(answers) if asked.listed else answers[0]


def _bare(encoding: Any) -> Encoding:
    return {name: encoding[name] for name in _NAMES}


def _flaw(query: str, table: Table) -> InputError | None:
    """What makes this no table."""
    names = list(table)
    texts = itertools.chain([query], names, *table.values())
    if not all(refusals.is_unicode(text) for text in texts):
        return refusals.half_a_character()
    rows = len(table[names[0]])
    uneven = next((name for name in names if len(table[name]) != rows), None)
    if uneven is not None:
        return refusals.rejected(
            f"Column '{uneven[:60]}' has {len(table[uneven])} cells and column '{names[0][:60]}' has {rows}. "
            "Every column needs as many; an empty text stands for no value.",
            f"inputs.table.{uneven[:60]}",
        )
    return None if query.strip() else refusals.nothing_left()
