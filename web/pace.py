"""How fast a batch goes: rows a second over the recent past, from what callers were told before.

Kept in this process alone and only for batches somebody looks at; with no memory of one, its whole run counts.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from datetime import datetime, timedelta

WINDOW = timedelta(seconds=20)
_APART = timedelta(seconds=0.5)
_BATCHES = 1_000


class Pace:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: OrderedDict[str, deque[tuple[datetime, int]]] = OrderedDict()

    def rate(self, batch_id: str, *, done: int, since: datetime, now: datetime) -> float | None:
        """Rows a second; None before there is anything to say."""
        with self._lock:
            seen = self._seen.setdefault(batch_id, deque(maxlen=64))
            self._seen.move_to_end(batch_id)
            if len(self._seen) > _BATCHES:
                self._seen.popitem(last=False)
            if seen and seen[-1][1] > done:
                # A retry opened rows again: what was seen before says nothing of now.
                seen.clear()
            if not seen or now - seen[-1][0] >= _APART:
                seen.append((now, done))
            while now - seen[0][0] > WINDOW and len(seen) > 2:
                seen.popleft()
            start, before = seen[0]
        if done > before and now - start >= timedelta(seconds=2):
            return _per_second(done - before, now - start)
        return _per_second(done, now - since) if done else None


def _per_second(rows: int, time: timedelta) -> float | None:
    seconds = time.total_seconds()
    return float(f"{rows / seconds:.3g}") if seconds > 0 else None
