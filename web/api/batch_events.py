"""Server-Sent Events of a batch: a whole snapshot whenever it has changed, and the end.

An event's id is the tag of what its reader then knows. A reader that comes back with it, after a cut or a restart of
the server, gets a snapshot if anything happened meanwhile; nothing need be remembered here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response, request

from contract.statuses import BATCH_OVER
from contract.times import utc_now
from models.batches import find_batch
from models.database import reading
from web.api.batches import VOLATILE, load
from web.batches import show_batch
from web.operations import Answer, operation
from web.responses import tag_of
from web.services import Services, services
from web.streams import BEAT_SECONDS, LAST_EVENT_ID, LONGEST_SECONDS, event, event_stream, reader_is_gone

blueprint = Blueprint("batch_events", __name__, url_prefix="/api/v1")

#: Seconds between two snapshots of a stream, at least.
APART = 0.5


@blueprint.get("/batches/<batch_id>/events")
@operation(
    "Follow a batch",
    tag="batches",
    description="Each `batch` event carries the whole batch as JSON, at most two a second; `done` is the last. "
    "A comment line comes every 15 seconds. With Last-Event-ID a snapshot that you have is not sent again.",
    headers=(LAST_EVENT_ID,),
    answers={200: Answer("The events.", {"type": "string"}, media="text/event-stream")},
    errors=(404, 429),
)
def follow(batch_id: str) -> Response:
    batch, here = load(batch_id), services()
    known = request.headers.get("Last-Event-ID", "")
    return event_stream(_events(here, batch["id"], known, request.environ), here)


def _events(here: Services, batch_id: str, known: str, environ: dict[str, Any]) -> Iterator[str]:
    yield "retry: 2000\n\n"
    beat = time.monotonic()
    end = beat + LONGEST_SECONDS
    with here.changes.watching([batch_id]) as watch:
        # Registered first, read then: no change falls between.
        while (batch := _read(here, batch_id)) is not None and time.monotonic() < end:
            if (news := tag_of(batch, VOLATILE)) != known:
                known, beat = news, time.monotonic()
                yield event("batch", news, batch)
            if batch["status"] in BATCH_OVER:
                yield event("done", news, batch)
                return
            if time.monotonic() - beat >= BEAT_SECONDS:
                beat = time.monotonic()
                yield ": still here\n\n"
            looked = time.monotonic()
            watch.wait(BEAT_SECONDS)
            # A busy batch changes a hundred times a second; nobody reads that fast.
            time.sleep(max(0.0, looked + APART - time.monotonic()))
            if reader_is_gone(environ):
                return


def _read(here: Services, batch_id: str) -> dict[str, Any] | None:
    """The batch as it is now; None when it was deleted."""
    with reading(here.engine) as conn:
        found = find_batch(conn, batch_id)
        return None if found is None else show_batch(conn, found, now=utc_now())
