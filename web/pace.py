"""How far a batch is, how fast it goes, and how long it still takes.

The rate is that of the recent past, from what callers were told before: kept in this process alone, and only for
batches that somebody looks at. With no memory of one, as after a restart, it is that of its whole run: from its first
row's turn on, not from its upload, for it may have waited behind others.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from contract.statuses import BATCH_OVER, BatchStatus
from models.batches import Batch
from models.files import find_file
from models.speeds import first_begun

WINDOW = timedelta(seconds=20)
_APART = timedelta(seconds=0.5)
#: Less says little: rows end by the microbatch.
_TELLING = timedelta(seconds=2)
_BATCHES = 1_000
_ENDED = ("succeeded", "failed", "canceled", "expired")


class Pace:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: OrderedDict[str, deque[tuple[datetime, int]]] = OrderedDict()

    def rate(self, batch_id: str, *, done: int, now: datetime) -> float | None:
        """Rows a second lately; None where that is not known."""
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
        return _per_second(done - before, now - start) if before and now - start >= _TELLING else None


#: Of this process: what it told callers before.
_pace = Pace()


def speed(conn: sa.Connection, batch: Batch, counts: dict[str, int | None], now: datetime) -> dict[str, Any]:
    """Progress from 0 to 1, rows a second, and the seconds that are left."""
    still = (counts["queued"] or 0) + (counts["running"] or 0)
    over = sum(counts[name] or 0 for name in _ENDED)
    invalid = counts["invalid"] or 0
    if batch.status in BATCH_OVER:
        baked = (counts["succeeded"] or 0) + (counts["failed"] or 0)
        rate = None if batch.finished_at is None else whole_run(conn, batch, baked, batch.finished_at)
        return {"progress": 0 if batch.status is BatchStatus.FAILED else 1, "rate": rate, "eta": None}
    if batch.started_at is None:
        return {"progress": 0, "rate": None, "eta": None}
    total = batch.total or _likely_rows(conn, batch, over + invalid + still)
    rate = _pace.rate(batch.id, done=over, now=now) or whole_run(conn, batch, over, now)
    left = max(still, total - over - invalid)
    # Rows that are over are over; but 1 is for batches that are.
    progress = min(0.9999, round((over + invalid) / total, 4)) if total else 0
    return {"progress": progress, "rate": rate, "eta": round(left / rate, 1) if rate else None}


def whole_run(conn: sa.Connection, batch: Batch, over: int, until: datetime) -> float | None:
    """Rows a second from the first row's turn on, or since a retry opened the batch again."""
    since = batch.resumed_at or first_begun(conn, batch.id) or batch.started_at
    return None if since is None else _per_second(over - (batch.resumed_with or 0), until - since)


def _likely_rows(conn: sa.Connection, batch: Batch, read: int) -> int:
    """How many rows the file has, by how far in it the reading is."""
    layout, stored = batch.layout or {}, find_file(conn, batch.file_id)
    if stored is None or not batch.cursor.offset:
        return read
    size = layout.get("size") or stored.bytes
    return max(read, layout.get("rows") or round(batch.cursor.row * size / batch.cursor.offset))


def _per_second(rows: int, time: timedelta) -> float | None:
    seconds = time.total_seconds()
    return float(f"{rows / seconds:.3g}") if seconds > 0 and rows > 0 else None
