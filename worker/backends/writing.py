"""Rows that a language model is writing: each one's text so far, when it is over, and what may be shown of it.

`Writers` hears each row's next token. It ends rows (end token, stop string, nobody wants it any more), publishes
whole words, so that nothing published has to be taken back, and hands in a row that is over before others.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Collection, Iterable, Sequence

import torch

from worker.backends.backend import Context, Parameters
from worker.backends.choosing import Choice
from worker.backends.decoding import Decoder

#: New tokens of a text at most, where its caller does not say.
_USUAL_TOKENS = 256
#: What one step of writing costs whatever the number of rows, in tokens that are read: all weights go by for it.
#: SmolLM2 on two cores: 58 ms a step, 2 ms more for each row, 1.6 ms for a token of a prompt.
STEP = 32
#: Texts, and new tokens of each, on which two ways of writing are compared: a few seconds at the load.
COMPARED, TOKENS_COMPARED = 8, 32
_STEPS_BETWEEN_ASKING = 8
_LONGEST_WORD = 24
_UNFINISHED_WORD = re.compile(rf"\S{{1,{_LONGEST_WORD}}}\Z")
# Scripts that put no spaces between words.
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f]\Z")


def longest(parameters: Parameters, positions: int) -> int:
    """New tokens of a text at most: as asked for, else as usual, with half of all positions for the prompt."""
    asked = parameters.get("max_new_tokens")
    return int(asked) if asked is not None else max(1, min(_USUAL_TOKENS, positions // 2))


class Row:
    """One row's new tokens as text, a token at a time."""

    def __init__(self, decode: Callable[[list[int]], str], stops: Sequence[str]) -> None:
        self.tokens: list[int] = []
        self.over = False
        self.finish_reason = "length"
        self.finite = True
        self.wanted = True
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

    def add_all(self, tokens: Iterable[int], ends: Collection[int]) -> None:
        """Tokens that were written elsewhere, up to where the text ends; what is behind is padding."""
        for token in tokens:
            if token in ends:
                self.add_end(token)
            else:
                self.add(token)
            if self.over:
                return

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


class Writers:
    """The rows of one microbatch, and who waits for them. `over` hears a row's number when others still write."""

    def __init__(
        self,
        rows: Sequence[Row],
        job_ids: Sequence[str],
        context: Context,
        *,
        ends: frozenset[int],
        over: Callable[[int], None],
    ) -> None:
        self.rows = rows
        self._job_ids = job_ids
        self._context = context
        self._ends = ends
        self._over = over

    def write(
        self,
        decoder: Decoder,
        numbers: Sequence[int],
        prompts: Sequence[Sequence[int]],
        choice: Choice,
        dice: Sequence[random.Random],
        most: int,
    ) -> None:
        """Write the rows of these numbers to their ends, `most` tokens each at most."""
        live = list(numbers)
        throwers = dict(zip(numbers, dice, strict=True))
        sheet = decoder.start(prompts)
        for written in range(most):
            scores = sheet.scores()
            self._stop_where_not_finite(live, scores)
            thrown = [throwers[number] for number in live]
            chosen = choice.next_tokens(sheet.own_tokens(), sheet.mask, scores, written=written, dice=thrown)
            for number, token in zip(live, chosen, strict=True):
                self._take(number, token)
            if written % _STEPS_BETWEEN_ASKING == _STEPS_BETWEEN_ASKING - 1:
                self._drop_unwanted(live)
            kept = [place for place, number in enumerate(live) if not self.rows[number].over]
            if not kept:
                break
            sheet.write(chosen)
            if len(kept) < len(live):
                sheet.keep(kept)
                live = self._hand_in(live)
        for number in live:
            self._publish_rest(number)

    def _stop_where_not_finite(self, live: Sequence[int], scores: torch.Tensor) -> None:
        """A row whose scores are not numbers is over, and harms no other row."""
        finite = scores.amax(dim=-1).isfinite()
        if bool(finite.all()):
            return
        for number, good in zip(live, finite.tolist(), strict=True):
            if not good:
                self.rows[number].finite, self.rows[number].over = False, True
        scores.masked_fill_(~finite.unsqueeze(-1), 0.0)

    def _take(self, number: int, token: int) -> None:
        row = self.rows[number]
        if row.over:
            return
        if token in self._ends:
            row.add_end(token)
            return
        row.add(token)
        if not row.over and (piece := row.new_words()):
            self._context.publish(self._job_ids[number], piece)

    def _drop_unwanted(self, live: Sequence[int]) -> None:
        writing = [number for number in live if not self.rows[number].over]
        wanted = self._context.wanted([self._job_ids[number] for number in writing])
        for number in writing:
            if self._job_ids[number] not in wanted:
                self.rows[number].wanted, self.rows[number].over = False, True

    def _hand_in(self, live: Sequence[int]) -> list[int]:
        """Those still written; the others need not wait for them."""
        for number in live:
            if self.rows[number].over:
                self._publish_rest(number)
                if self.rows[number].wanted:
                    self._over(number)
        return [number for number in live if not self.rows[number].over]

    def _publish_rest(self, number: int) -> None:
        if self.rows[number].finite and (piece := self.rows[number].rest()):
            self._context.publish(self._job_ids[number], piece)
