"""Calls that come while another is under way are answered together by the next: no delay, no thread of its own.

Sixty callers that submit at once cost one transaction and one flush to the disk instead of sixty; a single one waits
for nobody. The same idea as the oven's: groups form by waiting, not by waiting for a group.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class _Call(Generic[K, V]):
    def __init__(self, item: K) -> None:
        self.item = item
        self.answer: V
        self.error: Exception | None = None
        self.over = False


class Together(Generic[K, V]):
    """`work` answers a list of items in order, in at most `most` at once; what it raises reaches all of them."""

    def __init__(self, work: Callable[[list[K]], list[V]], *, most: int = 256) -> None:
        self._work = work
        self._most = most
        self._waiting: list[_Call[K, V]] = []
        self._turn = threading.Lock()

    def __call__(self, item: K) -> V:
        call: _Call[K, V] = _Call(item)
        self._waiting.append(call)
        while not call.over:
            with self._turn:
                # Whoever had the turn before us may have taken us along.
                if not call.over:
                    self._take_turn()
        if call.error is not None:
            raise call.error
        return call.answer

    def _take_turn(self) -> None:
        calls = self._waiting[: self._most]
        del self._waiting[: len(calls)]
        try:
            answers = self._work([call.item for call in calls])
            for call, answer in zip(calls, answers, strict=True):
                call.answer = answer
        except Exception as error:  # noqa: BLE001 - each caller handles it as its own
            for call in calls:
                call.error = error
        finally:
            for call in calls:
                call.over = True
