"""Several texts for one row of a microbatch: written side by side, handed in together."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Sequence
from typing import Any

from worker.backends.backend import Context, Parameters
from worker.backends.choosing import seed_of
from worker.backends.writing import Row


def side_by_side(parameters: Parameters) -> int:
    """Texts that are written for a row at once."""
    return max(int(parameters.get("num_beams", 1)), int(parameters.get("num_return_sequences", 1)))


class Several:
    """The texts of all rows in one list, which `Writers` write: a row's texts are neighbors there."""

    def __init__(self, texts: Sequence[Sequence[Row]], context: Context, answer: Callable[[int], Any]) -> None:
        self.texts = [text for each in texts for text in each]
        #: The row that each of them belongs to.
        self.owners = [number for number, each in enumerate(texts) for _ in each]
        self.job_ids = [context.job_ids[owner] for owner in self.owners]
        # Words of several texts cannot be told apart by who listens: they are shown at the end.
        self.context = context if len(self.texts) == len(texts) else dataclasses.replace(context, publish=_nowhere)
        self._each = texts
        self._answer = answer
        self._handed_in: set[int] = set()

    def places(self, rows: Sequence[int]) -> list[int]:
        """Where the texts of these rows are."""
        wanted = set(rows)
        return [place for place, owner in enumerate(self.owners) if owner in wanted]

    def dice(self, place: int, parameters: Parameters) -> random.Random:
        """A row's first text is the one that it would have alone."""
        seed = parameters.get("seed", seed_of(self.job_ids[place]))
        copy = place - self.owners.index(self.owners[place])
        return random.Random(seed if copy == 0 else f"{seed}/{copy}")

    def hand_in(self, place: int) -> None:
        """A text is over; with the last of its row's the row is."""
        owner = self.owners[place]
        if owner not in self._handed_in and all(text.over for text in self._each[owner]):
            self._handed_in.add(owner)
            self.context.done(self.job_ids[place], self._answer(owner))


def next_turn(texts: Sequence[Row], asked: int) -> dict[str, Any]:
    """The result of a conversation whose prompt has so many tokens, of one text or several."""
    first, *others = texts
    written = sum(len(text.tokens) for text in texts)
    return {
        "message": {"role": "assistant", "content": first.text()},
        "finish_reason": first.finish_reason,
        "usage": {"prompt_tokens": asked, "completion_tokens": written, "total_tokens": asked + written},
        **alternatives([text.text() for text in others]),
    }


def alternatives(texts: Sequence[str]) -> dict[str, Any]:
    """What a result has besides its first text."""
    return {"alternatives": list(texts)} if texts else {}


def _nowhere(_job: str, _text: str) -> None:
    pass
