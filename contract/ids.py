"""Ids that sort by time: UUIDv7 (RFC 9562, section 5.7), as 32 hex digits.

The 12 bits of rand_a hold the fraction of the millisecond (method 3 of section 6.2), so that two processes
order their ids to about 0.25 µs; within one process they strictly increase.
"""

from __future__ import annotations

import os
import threading
import time
from datetime import datetime

_lock = threading.Lock()
_last = 0


def new_id() -> str:
    """One new id; later calls in this process sort after it."""
    return new_ids(1)[0]


def new_ids(count: int) -> list[str]:
    """`count` ids in increasing order, for rows that must keep the order of their file."""
    global _last  # the newest stamp given out, so that a clock that stands still cannot repeat one
    with _lock:
        first = max(_stamp(), _last + 1)
        _last = first + count - 1
    random = os.urandom(8 * count)
    return [_format(first + i, random[8 * i : 8 * i + 8]) for i in range(count)]


def first_id_at(moment: datetime) -> str:
    """What sorts before every id made from this moment on, and after those made before."""
    return f"{int(moment.timestamp() * 1000):012x}"


def is_id(text: str) -> bool:
    return len(text) == 32 and all(c in "0123456789abcdef" for c in text)


def _stamp() -> int:
    """Milliseconds since the epoch, with 12 bits of fraction: 60 bits."""
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    return (milliseconds << 12) | (rest << 12) // 1_000_000


def _format(stamp: int, random: bytes) -> str:
    variant = (0b10 << 62) | (int.from_bytes(random, "big") >> 2)
    return f"{stamp >> 12:012x}7{stamp & 0xFFF:03x}{variant:016x}"
