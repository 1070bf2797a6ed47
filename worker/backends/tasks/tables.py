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
from worker.backends.tasks.task import Answer, TaskModel
from worker.backends.weights import Loaded

_NAMES = ("input_ids", "attention_mask", "token_type_ids")
#: Rows and columns are numbered from 1 by tokens that the model has so many of.
_ROWS = 255

Table = dict[str, list[str]]


@dataclasses.dataclass(frozen=True)
class Asked:
    table: Table
    encoding: Encoding


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

    def _prepare(self, query: str, table: Table, *, cut: bool) -> Prepared | InputError:
        if refusal := _flaw(query, table):
            return refusal
        # Every cell has a token, so that what cannot fit is known without reading it.
        most = min(_ROWS, self._limit // len(table) - 1)
        rows = len(next(iter(table.values())))
        if rows > most and not cut:
            return self._too_long((rows + 1) * len(table))
        encoding = self._encode(query, {name: cells[: max(1, most)] for name, cells in table.items()}, cut=cut)
        if isinstance(encoding, InputError):
            return encoding
        return Prepared(Asked(table, encoding), len(encoding["input_ids"]))

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
        output = self._model(**self._padded([row.payload.encoding for row in rows]))
        logits = output.logits.float().cpu()
        operators = output.logits_aggregation.float().cpu() if self._operators else [None] * len(rows)
        return [
            self._answer(row.payload, scores[: row.length], operator)
            for row, scores, operator in zip(rows, logits, operators, strict=True)
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

    def _answer(self, asked: Asked, logits: torch.Tensor, operator: torch.Tensor | None) -> Answer:
        if not logits.isfinite().all() or (operator is not None and not operator.isfinite().all()):
            return refusals.not_finite()
        data = {name: torch.tensor([asked.encoding[name]]) for name in _NAMES}
        # One row at a time: the library leaves rows without a table out, and those after them would move up.
        found = self._tokenizer.convert_logits_to_predictions(
            data, logits.unsqueeze(0), None if operator is None else operator.unsqueeze(0)
        )
        places = [[int(row), int(column)] for each in found[0] for row, column in each]
        columns = list(asked.table.values())
        cells = [columns[column][row] for row, column in places]
        answer = {"answer": ", ".join(cells), "coordinates": places, "cells": cells}
        return answer if self._operators is None else self._with_operator(answer, int(found[1][0]))

    def _with_operator(self, answer: dict[str, Any], operator: int) -> dict[str, Any]:
        assert self._operators is not None
        word = str(self._operators[operator])
        prefix = "" if operator == self._no_operator else f"{word} > "
        return {**answer, "answer": prefix + answer["answer"], "aggregator": word}


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
