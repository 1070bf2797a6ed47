"""Batches: the list, and for each a page that shows how far it is, what went wrong, and the way to its results."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from flask import redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from contract.ids import is_id
from contract.statuses import BATCH_OVER, JobStatus
from contract.tasks import CATALOGUE
from models.batches import Batch, find_batch, list_batches
from models.database import reading
from models.jobs import list_batch_jobs
from models.pipelines import find_pipeline
from web.errors import not_found
from web.pages import starting
from web.pages.jobs import fragment
from web.pages.rows import summary
from web.pages.site import blueprint, check_token
from web.requests import decode_cursor, encode_cursor, wait_seconds
from web.services import services

KIND = "batches"
PAGE_ROWS = 30
FIRST_ROWS = 10
#: A batch says that it changed after every microbatch: often enough to look at for a page.
LONGEST_WAIT = 5


@blueprint.get("/batches")
def batches() -> str:
    after = decode_cursor(KIND, request.args.get("cursor") or None)
    with reading(services().engine) as conn:
        found, following = list_batches(conn, limit=PAGE_ROWS, after=after)
        rows = [starting.show_batch(conn, batch) for batch in found]
    cursor = None if following is None else encode_cursor(KIND, following)
    return render_template("batches.html", batches=rows, following=cursor, first_page=after is None)


@blueprint.get("/batches/<batch_id>")
def batch(batch_id: str) -> str:
    with reading(services().engine) as conn:
        return render_template("batch.html", **_shown(conn, batch_id))


@blueprint.get("/batches/<batch_id>/fragment")
def batch_fragment(batch_id: str) -> Response:
    """The changing part of the page; with Prefer: wait it waits for a change, for a moment."""
    known = str(request.if_none_match)
    if (wait := min(wait_seconds(), LONGEST_WAIT)) and is_id(batch_id):
        services().changes.until([batch_id], lambda: _draw_if_news(batch_id, known), wait)
    return _draw(batch_id)


def _draw_if_news(batch_id: str, known: str) -> bool | None:
    return None if _draw(batch_id).headers["ETag"] in known else True


def _draw(batch_id: str) -> Response:
    with reading(services().engine) as conn:
        shown = _shown(conn, batch_id)
    return fragment(render_template("_batch.html", **shown), status=shown["batch"]["status"])


@blueprint.post("/batches/<batch_id>/cancel")
def cancel_batch(batch_id: str) -> Response:
    check_token()
    starting.cancel_batch(services(), load(batch_id))
    return redirect(url_for("pages.batch", batch_id=batch_id), 303)


@blueprint.post("/batches/<batch_id>/retry")
def retry_batch(batch_id: str) -> Response:
    check_token()
    starting.retry_batch(services(), load(batch_id))
    return redirect(url_for("pages.batch", batch_id=batch_id), 303)


@blueprint.post("/batches/<batch_id>/delete")
def delete_batch(batch_id: str) -> Response:
    check_token()
    starting.delete_batch(services(), load(batch_id))
    return redirect(url_for("pages.batches"), 303)


def load(batch_id: str) -> Batch:
    with reading(services().engine) as conn:
        return _find(conn, batch_id)


def _find(conn: sa.Connection, batch_id: str) -> Batch:
    found = find_batch(conn, batch_id) if is_id(batch_id) else None
    if found is None:
        raise not_found("batch")
    return found


def _shown(conn: sa.Connection, batch_id: str) -> dict[str, Any]:
    """Everything the page and its fragment are drawn from."""
    found = _find(conn, batch_id)
    shown = starting.show_batch(conn, found)
    stored = find_pipeline(conn, found.pipeline)
    task = CATALOGUE.get(stored.spec.task) if stored else None
    rows = list_batch_jobs(conn, found.id, limit=FIRST_ROWS).items
    return {
        "batch": shown,
        "task": task,
        "over": found.status in BATCH_OVER,
        "parts": _parts(shown["counts"]),
        "statuses": [*JobStatus, "invalid"],
        "rows": [summary(job, task) for job in rows],
        "id_column": found.id_column,
        "again": any(shown["counts"][status] for status in ("failed", "canceled", "expired")),
    }


def _parts(counts: dict[str, int | None]) -> list[tuple[str, float]]:
    """Shares of the bar in percent; what is queued is what is left of it."""
    known = {name: count or 0 for name, count in counts.items() if name != "total"}
    whole = counts["total"] or sum(known.values()) or 1
    order = ("succeeded", "failed", "invalid", "canceled", "expired", "running")
    return [(name, 100 * known[name] / whole) for name in order]
