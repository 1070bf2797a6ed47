"""What an encoder-decoder writes, through the library's `generate()`: all rows of a microbatch at once, with beams.

While it writes, whoever waits for the rows is asked after, and a row whose numbers overflow is found without harm to
its neighbors. Rows that are drawn are written one by one, so that each depends on its own seed alone.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Collection, Sequence
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessor, StoppingCriteria
from transformers.generation.streamers import BaseStreamer

from worker.backends.backend import Context, Parameters
from worker.backends.choosing import SAMPLING, dice_of_the_library, samples
from worker.backends.writing import Row

#: What the library's pipelines took where neither the checkpoint nor the caller said.
USUAL_TOKENS = 256
USUAL_BEAMS = 4
_STEPS_BETWEEN_ASKING = 8
_AS_ASKED = (
    "min_new_tokens", "length_penalty", "no_repeat_ngram_size", "early_stopping", "repetition_penalty", *SAMPLING,
)  # fmt: skip

Tensors = dict[str, torch.Tensor]


def most_tokens(own: GenerationConfig, parameters: Parameters) -> int:
    """New tokens of a text at most; the token that every text starts from is none of them."""
    asked: int | None = parameters.get("max_new_tokens") or own.max_new_tokens
    if asked is None and own.max_length is not None:
        asked = max(1, own.max_length - 1)
    return asked or USUAL_TOKENS


def beams(own: GenerationConfig, parameters: Parameters) -> int:
    """Texts that are written side by side, of which one is kept."""
    asked: int = parameters.get("num_beams") or own.num_beams or USUAL_BEAMS
    return asked


def configured(own: GenerationConfig, parameters: Parameters, *, most: int, **more: Any) -> GenerationConfig:
    """The checkpoint's way of writing, with what the caller asked for, up to `most` tokens."""
    config = copy.deepcopy(own)
    asked = {name: parameters[name] for name in _AS_ASKED if name in parameters}
    draws = samples(parameters)
    if not draws:
        asked |= dict.fromkeys(SAMPLING)
    config.update(
        **asked,
        **more,
        do_sample=draws,
        num_beams=beams(own, parameters),
        max_new_tokens=most,
        max_length=None,
        num_return_sequences=parameters.get("num_return_sequences", 1),
        return_dict_in_generate=False,
    )
    return config


def write(
    model: Any, rows: Tensors, config: GenerationConfig, parameters: Parameters, context: Context, **more: Any
) -> list[list[int] | None]:
    """The tokens of each row's texts, one row after the other; None where its numbers were not finite.

    `more` goes to the library.
    """
    count = len(next(iter(rows.values())))
    job_ids = list(context.job_ids) or [""] * count
    if not config.do_sample:
        return _together(model, rows, config, job_ids, context, **more)
    found: list[list[int] | None] = []
    for number, job_id in enumerate(job_ids):
        # Of one row, a tensor may have a line for each of its images.
        alone = rows if len(job_ids) == 1 else {name: rows[name][number : number + 1] for name in rows}
        with dice_of_the_library(parameters, job_id, model.device):
            found += _together(model, alone, config, [job_id], context, **more)
    return found


def _together(
    model: Any, rows: Tensors, config: GenerationConfig, job_ids: Sequence[str], context: Context, **more: Any
) -> list[list[int] | None]:
    numbers = Numbers(len(job_ids))
    written = model.generate(
        **rows,
        **more,
        generation_config=config,
        logits_processor=[numbers],
        stopping_criteria=[Asking(job_ids, context)],
    )
    finite = [good for good in numbers.finite for _ in range(len(written) // len(job_ids))]
    return [tokens if good else None for tokens, good in zip(written.tolist(), finite, strict=True)]


class Numbers(LogitsProcessor):  # type: ignore[misc]
    """Notes rows whose scores are not numbers, and lets the others go on."""

    def __init__(self, rows: int) -> None:
        self.finite = [True] * rows

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        good = scores.amax(dim=-1).isfinite()
        if bool(good.all()):
            return scores
        each = good.view(len(self.finite), -1).all(dim=-1).tolist()
        self.finite = [before and now for before, now in zip(self.finite, each, strict=True)]
        return scores.masked_fill(~good.unsqueeze(-1), 0.0)


class Listener(BaseStreamer):  # type: ignore[misc]
    """Hears the tokens of one row as they are chosen, and publishes its words."""

    def __init__(self, row: Row, ends: Collection[int], context: Context) -> None:
        self._row = row
        self._ends = ends
        self._publish = functools.partial(context.publish, next(iter(context.job_ids), ""))
        self._has_begun = False

    def put(self, value: torch.Tensor) -> None:
        # The prompt comes first, as if it were written.
        if not self._has_begun:
            self._has_begun = True
            return
        for token in value.flatten().tolist():
            if token in self._ends:
                self._row.add_end(token)
            else:
                self._row.add(token)
        if not self._row.over and (words := self._row.new_words()):
            self._publish(words)

    def end(self) -> None:
        if rest := self._row.rest():
            self._publish(rest)


class Asking(StoppingCriteria):  # type: ignore[misc]
    """Ends rows that nobody wants any more. Asking also says that the pass goes on."""

    def __init__(self, job_ids: Sequence[str], context: Context) -> None:
        self._job_ids = job_ids
        self._context = context
        self._steps = 0
        self._unwanted = [False] * len(job_ids)

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        self._steps += 1
        if self._steps % _STEPS_BETWEEN_ASKING == 0:
            wanted = self._context.wanted(self._job_ids)
            self._unwanted = [job_id not in wanted for job_id in self._job_ids]
        over = torch.tensor(self._unwanted, device=input_ids.device)
        return over.repeat_interleave(len(input_ids) // len(self._job_ids))
