"""Batches: the list, and for each a page that shows how far it is, what went wrong, and the way to its results."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from flask import redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from contract.statuses import BATCH_OVER, JobStatus
from contract.tasks import CATALOGUE
from contract.times import seconds_between, utc_now
from models.batches import list_batches
from models.database import reading
from models.jobs import list_batch_jobs
from web import batches as store
from web.api.batches import VOLATILE, load
from web.pages.fragments import fragment, is_news
from web.pages.site import blueprint, check_token
from web.pages.summaries import summary
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
        now = utc_now()
        rows = [store.show_batch(conn, batch, now=now) for batch in found]
    cursor = None if following is None else encode_cursor(KIND, following)
    return render_template("batches.html", batches=rows, following=cursor, first_page=after is None)


@blueprint.get("/batches/<batch_id>")
def batch(batch_id: str) -> str:
    with reading(services().engine) as conn:
        return render_template("batch.html", **_shown(conn, batch_id))


@blueprint.get("/batches/<batch_id>/fragment")
def batch_fragment(batch_id: str) -> Response:
    """The changing part of the page; with Prefer: wait it waits for a change, for a moment."""
    load(batch_id)
    if wait := min(wait_seconds(), LONGEST_WAIT):
        services().changes.until([batch_id], lambda: is_news(load(batch_id), VOLATILE), wait)
    with reading(services().engine) as conn:
        shown = _shown(conn, batch_id)
    return fragment("_batch.html", shown, shown["batch"], VOLATILE)


@blueprint.post("/batches/<batch_id>/cancel")
def cancel_batch(batch_id: str) -> Response:
    check_token()
    store.cancel_batch(services(), batch_id)
    return redirect(url_for("pages.batch", batch_id=batch_id), 303)


@blueprint.post("/batches/<batch_id>/retry")
def retry_batch(batch_id: str) -> Response:
    check_token()
    store.retry_batch(services(), batch_id)
    return redirect(url_for("pages.batch", batch_id=batch_id), 303)


@blueprint.post("/batches/<batch_id>/delete")
def delete_batch(batch_id: str) -> Response:
    check_token()
    store.delete_batch(services(), batch_id)
    return redirect(url_for("pages.batches"), 303)


def _shown(conn: sa.Connection, batch_id: str) -> dict[str, Any]:
    """Everything the page and its fragment are drawn from."""
    found = store.load_batch(conn, batch_id)
    shown = store.show_batch(conn, found, now=utc_now())
    task = CATALOGUE.get(shown["task"] or "")
    rows = list_batch_jobs(conn, found.id, limit=FIRST_ROWS).items
    return {
        "batch": shown,
        "task": task,
        "over": found.status in BATCH_OVER,
        "seconds": seconds_between(found.started_at, found.finished_at),
        "shares": _shares(shown["counts"]),
        "statuses": [*JobStatus, "invalid"],
        "rows": [summary(job, task) for job in rows],
        "again": any(shown["counts"][status] for status in ("failed", "canceled", "expired")),
        "refusal": store.why_not_again(conn, found),
    }


def _shares(counts: dict[str, int | None]) -> list[tuple[str, float]]:
    """Shares of the bar in percent; what is queued is what is left of it."""
    known = {name: count or 0 for name, count in counts.items() if name != "total"}
    whole = counts["total"] or sum(known.values()) or 1
    order = ("succeeded", "failed", "invalid", "canceled", "expired", "running")
    return [(name, 100 * known[name] / whole) for name in order]
