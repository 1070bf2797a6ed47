"""The larder: answers of batches that were baked a moment ago, for rows further down that ask the same.

Bounded, in memory, and of one process: a file with few different rows is baked in one claim's worth of passes,
whatever its size. It holds answers and never rows, so that nothing it forgets or gives can lose or mix up a row.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

from contract.errors import InputError
from models.vectors import pack, unpack
from worker.backends.backend import WithFiles
from worker.loaves import Loaf

#: Of answers as they are stored. What an entry costs besides is about as much again where answers are short.
_MOST_BYTES = 32 << 20
_ENTRY_BYTES = 250

Packed = tuple[str | None, bytes | None]


class Larder:
    """`most_bytes` of answers; the ones that were not asked for longest go first."""

    def __init__(self, *, most_bytes: int = _MOST_BYTES) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[bytes, Packed] = OrderedDict()
        self._baking: set[bytes] = set()
        # Decks put in what the threads that lay out and plan look for.
        self._lock = threading.Lock()

    def find(self, key: bytes | None) -> list[Any]:
        """The answer in a list, or an empty one: any answer may be null."""
        with self._lock:
            packed = None if key is None else self._kept.get(key)
            if key is None or packed is None:
                return []
            self._kept.move_to_end(key)
        return [unpack(*packed)]

    def keep(self, loaves: Sequence[Loaf], answers: Sequence[Any | InputError]) -> None:
        """Remember results. Errors are found again in no time, and files belong to one job each."""
        packed = [
            (loaf.key, pack(answer))
            for loaf, answer in zip(loaves, answers, strict=True)
            if loaf.key is not None and not isinstance(answer, InputError | WithFiles)
        ]
        with self._lock:
            for key, answer in packed:
                if key not in self._kept:
                    self._kept[key] = answer
                    self._bytes += _size(answer)
            while self._bytes > self._most:
                self._bytes -= _size(self._kept.popitem(last=False)[1])

    def is_baking(self, loaves: Iterable[Loaf]) -> bool:
        """Whether the answer of one of these is in the oven now."""
        with self._lock:
            return any(loaf.key in self._baking for loaf in loaves)

    def into_the_oven(self, loaves: Iterable[Loaf]) -> None:
        with self._lock:
            self._baking.update(loaf.key for loaf in loaves if loaf.key is not None)

    def out_of_the_oven(self, loaves: Iterable[Loaf]) -> None:
        with self._lock:
            self._baking.difference_update(loaf.key for loaf in loaves if loaf.key is not None)


def _size(packed: Packed) -> int:
    return _ENTRY_BYTES + len(packed[0] or packed[1] or "")
