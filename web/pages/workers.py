"""Workers: which ovens there are, what each holds warm, and what is in them now."""

from __future__ import annotations

from typing import Any

from flask import render_template

from contract.times import utc_now
from models.database import reading
from models.workers import SILENT, Worker, list_workers
from web.pages.site import blueprint
from web.services import services


@blueprint.get("/workers")
def workers() -> str:
    with reading(services().engine) as conn:
        found = list_workers(conn)
    shown = [_shown(worker) for worker in found]
    # Those that are there first, each part in the order of names.
    shown.sort(key=lambda one: one["state"] in ("silent", "stopped"))
    return render_template("workers.html", workers=shown)


def _held(worker: Worker, pipeline: str) -> dict[str, Any]:
    """A pipeline on this slot: what it holds, and how its microbatches went since the slot started."""
    count = (worker.tally or {}).get(pipeline, {})
    padded, seconds = count.get("padded_tokens"), count.get("seconds")
    return {
        "name": pipeline,
        "bytes": worker.warm.get(pipeline),
        "rows": count.get("rows", 0),
        "budget": count.get("budget"),
        "waste": 100 * (1 - count["real_tokens"] / padded) if padded else None,
        "speed": count["rows"] / seconds if seconds else None,
    }


def _shown(worker: Worker) -> dict[str, Any]:
    silent = worker.state != "stopped" and utc_now() - worker.heartbeat_at > SILENT
    held = sum(worker.warm.values())
    return {
        "worker": worker,
        "state": "silent" if silent else worker.state,
        "shelf": [_held(worker, name) for name in sorted({*worker.warm, *(worker.tally or {})})],
        "held": held,
        "share": min(100.0, 100 * held / worker.memory_bytes) if worker.memory_bytes else None,
    }
