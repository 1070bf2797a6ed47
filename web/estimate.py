"""How long a file would take, from how fast its pipeline has been."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from models.counts import count_open
from models.speeds import latest_completed
from models.workers import live_workers
from web.pace import whole_run

#: A file of fewer rows says more about starting than about going on.
_TELLING_ROWS = 50


def estimate(conn: sa.Connection, pipeline: str, rows: int | None, *, now: datetime) -> dict[str, Any] | None:
    """Seconds until `rows` more rows would be over; None where nothing was measured yet."""
    rate = _of_files(conn, pipeline) or _of_ovens(conn, pipeline, now)
    if rate is None or rows is None:
        return None
    before = sum(count_open(conn).get(pipeline, {}).values())
    return {"rate": rate, "rows_before": before, "seconds": round((before + rows) / rate, 1)}


def _of_files(conn: sa.Connection, pipeline: str) -> float | None:
    """Rows a second of the last file that was baked, everything around the model included."""
    for batch in latest_completed(conn, pipeline, limit=5):
        tally = batch.tally or {}
        baked = tally.get("succeeded", 0) + tally.get("failed", 0)
        if baked - (batch.resumed_with or 0) >= _TELLING_ROWS and batch.finished_at is not None:
            return whole_run(conn, batch, baked, batch.finished_at)
    return None


def _of_ovens(conn: sa.Connection, pipeline: str, now: datetime) -> float | None:
    """Rows a second in the forward passes of the ovens that live: what a file can at best come to."""
    counts = [(oven.tally or {}).get(pipeline) for oven in live_workers(conn, now=now)]
    rates = [count["rows"] / count["seconds"] for count in counts if count and count["rows"] and count["seconds"]]
    return float(f"{sum(rates):.3g}") if rates else None
