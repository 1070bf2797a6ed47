"""Responses: JSON as the contract writes it, request ids, validators of representations, security headers."""

from __future__ import annotations

import hashlib
import logging
import re
import time
from typing import Any

import structlog
from flask import Flask, Response, g, request

from contract.ids import new_id
from contract.jsons import dumps
from contract.logs import get_logger

log = get_logger(__name__)

_SANE_ID = re.compile(r"^[A-Za-z0-9._-]{1,64}$")
_HEADERS = {
    # Styles may be inline: the documentation's interface sets them as attributes. Scripts may not.
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def json_response(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(dumps(body) + "\n", status, headers, mimetype="application/json")


def no_content() -> Response:
    response = Response(status=204)
    del response.headers["Content-Type"]
    return response


def request_id() -> str:
    """The caller's X-Request-ID when it is a sane one, else one of ours."""
    if "request_id" not in g:
        given = request.headers.get("X-Request-ID", "")
        g.request_id = given if _SANE_ID.match(given) else new_id()
    found: str = g.request_id
    return found


def tagged(
    body: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None, *, volatile: tuple[str, ...] = ()
) -> Response:
    """`body` with its tag, a weak one where fields are left out of it, or 304 when the caller has it."""
    response = json_response(body, status, headers)
    response.set_etag(tag_of(body, volatile), weak=bool(volatile))
    response.headers["Cache-Control"] = "private, no-cache"
    if request.method in ("GET", "HEAD"):
        response.make_conditional(request)
    return response


def tag_of(body: dict[str, Any], volatile: tuple[str, ...] = ()) -> str:
    """What tells one state of a job or batch from the next; fields that change with the clock alone are no news.

    It begins with the status, so that a long poll knows which one its caller saw last.
    """
    news = {name: value for name, value in body.items() if name not in volatile}
    return f"{body['status']}.{hashlib.sha256(dumps(news).encode()).hexdigest()[:24]}"


def seen_statuses() -> set[str]:
    """The statuses that the ETags of If-None-Match stand for."""
    return {tag.partition(".")[0] for tag in request.if_none_match.as_set(include_weak=True)}


def time_left(seconds: float) -> float:
    """Of `seconds` that the caller gave this request, how many are left: storing the job took some."""
    began: float = g.began
    return seconds - (time.perf_counter() - began)


def waited(seconds: int) -> dict[str, str]:
    """The header that says for how long, at most, the answer was held as the caller prefers."""
    return {"Preference-Applied": f"wait={seconds}"} if seconds else {}


def register(app: Flask) -> None:
    app.before_request(_begin)
    app.after_request(_finish)


def _begin() -> None:
    g.began = time.perf_counter()
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=request_id())


def _finish(response: Response) -> Response:
    response.headers["X-Request-ID"] = request_id()
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    level = logging.DEBUG if response.status_code < 400 else logging.INFO
    # Asked first: structlog would write the whole line before the standard library drops it.
    if logging.getLogger(__name__).isEnabledFor(level):
        _note(level, response.status_code)
    return response


def _note(level: int, status: int) -> None:
    seconds = round(time.perf_counter() - g.get("began", time.perf_counter()), 4)
    about = {"method": request.method, "path": request.path, "status": status, "seconds": seconds}
    log.log(level, "Answered.", action="request", **about)
