"""How far a batch is, how fast it goes, and how long it still takes.

The rate is that of the recent past, from what callers were told before: kept in this process alone, and only for
batches that somebody looks at. With no memory of one, as after a restart, it is that of its whole run: from its first
row's turn on, not from its upload, for it may have waited behind others.

While a file is read the ovens share the machine with the reading, and are slower than they will be: on two cores, at
half their speed. So nothing is foretold until the file is read, and then from what ran since; unless the reading is
what they wait for.
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
from models.speeds import begun, last_queued

WINDOW = timedelta(seconds=20)
_APART = timedelta(seconds=0.5)
#: Less says little: rows end by the microbatch.
_TELLING = timedelta(seconds=2)
_BATCHES = 1_000
#: Where reading is at most so much further than baking, it sets the pace.
_CLOSE = 0.8
#: Shares of what is over that are left out until the rest was begun after the file was read.
_LEFT_OUT = (0.0, 0.5, 0.75)
_ENDED = ("succeeded", "failed", "canceled", "expired")


class Pace:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: OrderedDict[tuple[str, bool], deque[tuple[datetime, int]]] = OrderedDict()

    def rate(self, batch_id: str, *, done: int, now: datetime, is_read: bool = True) -> float | None:
        """Rows a second lately, of the time before or after its file was read; None where that is not known."""
        with self._lock:
            key = (batch_id, is_read)
            seen = self._seen.setdefault(key, deque(maxlen=64))
            self._seen.move_to_end(key)
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
    """Progress from 0 to 1, rows a second (0 where none is known), and the seconds that are left."""
    still = (counts["queued"] or 0) + (counts["running"] or 0)
    over = sum(counts[name] or 0 for name in _ENDED)
    invalid = counts["invalid"] or 0
    if batch.status in BATCH_OVER:
        baked = (counts["succeeded"] or 0) + (counts["failed"] or 0)
        rate = None if batch.finished_at is None else whole_run(conn, batch, baked, batch.finished_at)
        return {"progress": 0 if batch.status is BatchStatus.FAILED else 1, "rate": rate or 0, "eta": None}
    if batch.started_at is None:
        return {"progress": 0, "rate": 0, "eta": None}
    likely = batch.total or _likely_rows(conn, batch)
    total = max(likely or 0, over + invalid + still)
    lately = _pace.rate(batch.id, done=over, now=now, is_read=batch.ingested)
    rate = lately or whole_run(conn, batch, over, now)
    if batch.ingested:
        foretold = lately or _since_read(conn, batch, over, invalid, now)
    else:
        foretold = rate if likely and over + invalid >= _CLOSE * batch.cursor.row else None
    left = max(still, total - over - invalid)
    # Rows that are over are over; but 1 is for batches that are.
    progress = min(0.9999, round((over + invalid) / total, 4)) if total else 0
    return {"progress": progress, "rate": rate or 0, "eta": round(left / foretold, 1) if foretold else None}


def whole_run(conn: sa.Connection, batch: Batch, over: int, until: datetime) -> float | None:
    """Rows a second from the first row's turn on, or since a retry opened the batch again."""
    since = batch.resumed_at or begun(conn, batch.id) or batch.started_at
    return None if since is None else _per_second(over - (batch.resumed_with or 0), until - since)


def _since_read(conn: sa.Connection, batch: Batch, over: int, invalid: int, now: datetime) -> float | None:
    """Rows a second of the last rows that are over, as many as were begun since the file was read; about, for rows
    are begun nearly in their order."""
    if batch.resumed_at is not None:
        return whole_run(conn, batch, over, now)
    read = last_queued(conn, batch.id)
    for share in _LEFT_OUT:
        since = begun(conn, batch.id, row=int(share * (over + invalid)))
        if since is not None and read is not None and since >= read:
            return _per_second(over - int(share * over), now - since)
    return None


def _likely_rows(conn: sa.Connection, batch: Batch) -> int | None:
    """How many rows the file has, by how far in it the reading is; None where that says nothing."""
    layout, cursor = batch.layout or {}, batch.cursor
    if rows := layout.get("rows"):
        return int(rows)
    stored = find_file(conn, batch.file_id)
    # The file of a dataset is as long as what was read of it.
    if stored is None or not cursor.offset or layout.get("dataset"):
        return None
    return round(cursor.row * (layout.get("size") or stored.bytes) / cursor.offset)


def _per_second(rows: int, time: timedelta) -> float | None:
    seconds = time.total_seconds()
    return float(f"{rows / seconds:.3g}") if seconds > 0 and rows > 0 else None
