"""Rows that a language model is writing: each one's text so far, when it is over, and what may be shown of it.

`Watch` is called once a token for all rows of a bake. It ends rows (end token, stop string, nobody wants it any
more) and publishes whole words, so that nothing published has to be taken back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import torch

from worker.backends.backend import Context

_STEPS_BETWEEN_ASKING = 8
_LONGEST_WORD = 24
_UNFINISHED_WORD = re.compile(rf"\S{{1,{_LONGEST_WORD}}}\Z")
# Scripts that put no spaces between words.
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f]\Z")


class Row:
    """One row's new tokens as text, a token at a time."""

    def __init__(self, decode: Callable[[list[int]], str], stops: Sequence[str]) -> None:
        self.tokens: list[int] = []
        self.over = False
        self.finish_reason = "length"
        self.finite = True
        self._decode = decode
        self._stops = stops
        self._end_tokens = 0
        self._text = ""
        self._shown = 0
        # Tokens before _read are in _text; those from _context on give the decoder what it needs to space the next.
        self._context = 0
        self._read = 0

    def add(self, token: int) -> None:
        """A token of text; ends the row where it completes a stop string."""
        self.tokens.append(token)
        before = self._decode(self.tokens[self._context : self._read])
        text = self._decode(self.tokens[self._context :])
        # A replacement character at the end is most likely the first bytes of a character to come.
        if len(text) <= len(before) or text.endswith("\ufffd"):
            return
        self._context, self._read = self._read, len(self.tokens)
        longest = max(map(len, self._stops), default=0)
        searched = self._text[len(self._text) - longest :] if longest else ""
        piece = text[len(before) :]
        self._text += piece
        if any(stop in searched + piece for stop in self._stops):
            self.stop()

    def add_end(self, token: int) -> None:
        """The end token: counted, but no text."""
        self.tokens.append(token)
        self._end_tokens = 1
        self.stop()

    def stop(self) -> None:
        self.over = True
        self.finish_reason = "stop"

    def text(self) -> str:
        """All that was written, up to a stop string."""
        text = self._decode(self.tokens[: len(self.tokens) - self._end_tokens])
        places = [text.find(stop) for stop in self._stops]
        return text[: min((place for place in places if place >= 0), default=len(text))]

    def new_words(self) -> str:
        """What can be shown for the first time: no unfinished word, nothing that may become a stop string."""
        end = self._settled()
        piece = self._text[self._shown : end]
        self._shown = max(self._shown, end)
        return piece

    def rest(self) -> str:
        piece = self.text()[self._shown :]
        self._shown += len(piece)
        return piece

    def _settled(self) -> int:
        tail = self._text[-_LONGEST_WORD - 1 :]
        end = len(self._text)
        word = _UNFINISHED_WORD.search(tail)
        if word and not _UNSPACED.search(tail) and (word.start() > 0 or len(tail) <= _LONGEST_WORD):
            end -= len(word.group())
        begun = [_begun(self._text, stop) for stop in self._stops]
        return min(end, len(self._text) - max(begun, default=0))


def _begun(text: str, stop: str) -> int:
    """How many characters at the end of `text` are the beginning of `stop`."""
    return next((size for size in range(len(stop) - 1, 0, -1) if text.endswith(stop[:size])), 0)


class Watch:
    """A stopping criterion of generate(): one call a step, True for every row that is over."""

    def __init__(
        self, rows: Sequence[Row], job_ids: Sequence[str], context: Context, end_tokens: frozenset[int]
    ) -> None:
        self._rows = list(zip(rows, job_ids, strict=True))
        self._context = context
        self._end_tokens = end_tokens
        self._steps = 0

    def __call__(self, input_ids: torch.Tensor, _scores: Any, **_: Any) -> torch.Tensor:
        for (row, job_id), token in zip(self._rows, input_ids[:, -1].tolist(), strict=True):
            if not row.over:
                self._take(row, job_id, token)
        self._steps += 1
        if self._steps % _STEPS_BETWEEN_ASKING == 0:
            self._drop_unwanted()
        return torch.tensor([row.over for row, _ in self._rows], device=input_ids.device)

    def _take(self, row: Row, job_id: str, token: int) -> None:
        if token in self._end_tokens:
            row.add_end(token)
            return
        row.add(token)
        if not row.over and (piece := row.new_words()):
            self._context.publish(job_id, piece)

    def _drop_unwanted(self) -> None:
        for row, job_id in self._rows:
            if not row.over and not self._context.wanted(job_id):
                row.over = True

    def publish_rest(self) -> None:
        """The last words of every row, once generate() has returned."""
        for row, job_id in self._rows:
            if row.finite and (piece := row.rest()):
                self._context.publish(job_id, piece)


class FiniteRows:
    """A logits processor of generate(): a row whose scores are not numbers is over, and harms no other row."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows

    def __call__(self, _input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        finite = scores.amax(dim=-1).isfinite()
        if bool(finite.all()):
            return scores
        for row, good in zip(self._rows, finite.tolist(), strict=True):
            if not good and not row.over:
                row.finite, row.over = False, True
        return scores.masked_fill(~finite.unsqueeze(-1), 0.0)
