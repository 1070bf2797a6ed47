"""Server-Sent Events: what every stream of them is made of, and how one ends whose reader has gone.

A stream holds a thread for as long as it lasts, and a place among those who wait (web/changes.py).
"""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Iterator
from typing import Any

from flask import Response

from contract.jsons import dumps
from web.errors import overloaded
from web.operations import Header
from web.services import Services

BEAT_SECONDS = 15.0
#: A reader that is still there after this long comes back with Last-Event-ID.
LONGEST_SECONDS = 3600.0
LAST_EVENT_ID = Header("Last-Event-ID", {"type": "string"}, "The `id` of the last event you have; the rest follows.")


def reader_is_gone(environ: dict[str, Any]) -> bool:
    """Whether the other end has closed: a stream writes too seldom to find out by itself, and holds a thread.

    Only gunicorn shows its socket; elsewhere the next comment line finds out.
    """
    connection: socket.socket | None = environ.get("gunicorn.socket")
    if connection is None:
        return False
    watcher = select.poll()
    watcher.register(connection, select.POLLIN | select.POLLHUP)
    if not watcher.poll(0):
        return False
    # Readable with nothing to read is the end; with something, it is the next request, which is not ours to take.
    return not isinstance(connection, ssl.SSLSocket) and connection.recv(1, socket.MSG_PEEK) == b""


def event_stream(events: Iterator[str], here: Services) -> Response:
    """A response that sends `events` as they come; it has a waiter's place while it lasts. 429 where none is left."""
    if not here.changes.take_place():
        raise overloaded("Too many callers wait at once. Poll, or come back in a moment.")
    response = Response(events, mimetype="text/event-stream")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    response.call_on_close(here.changes.give_place_back)
    return response


def event(kind: str, event_id: str, data: Any) -> str:
    return f"id: {event_id}\nevent: {kind}\ndata: {dumps(data)}\n\n"
