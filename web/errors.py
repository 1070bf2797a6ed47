"""Errors: one shape on every path, with a code of the closed list, and never an exception's own text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask, Response, current_app, request
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from contract.errors import HTTP_STATUS, ErrorCode, FournilError
from contract.logs import get_logger
from web.responses import json_response, request_id

log = get_logger(__name__)

RETRY_SECONDS = 2
#: Paths that programs ask for: their errors are JSON whatever the Accept header says.
PROGRAM_PATHS = ("/api", "/hf/", "/openai/", "/replicate/", "/livez", "/readyz", "/metrics")
#: `app.extensions` key of a function that draws an error for people: (error, status) -> response.
ERROR_PAGE = "fournil.error_page"
ErrorPage = Callable[[FournilError, int], Any]

_OF_STATUS: dict[int, tuple[ErrorCode, str]] = {
    404: (ErrorCode.NOT_FOUND, "There is nothing at this address."),
    405: (ErrorCode.METHOD_NOT_ALLOWED, "This address does not take this method."),
    413: (ErrorCode.TOO_LARGE, "The request is larger than this server takes."),
    415: (ErrorCode.UNSUPPORTED_MEDIA_TYPE, "This address does not take that content type."),
    429: (ErrorCode.OVERLOADED, "Too many requests for now."),
    503: (ErrorCode.UNAVAILABLE, "Not available for now."),
}
_BROKEN = (ErrorCode.INTERNAL, "Something went wrong here. Tell the operator the request_id.")
_OTHERWISE = (ErrorCode.INVALID_REQUEST, "The request is not HTTP as it should be.")


def not_found(kind: str) -> FournilError:
    """The thing in the path is not there."""
    return FournilError(ErrorCode.NOT_FOUND, f"There is no such {kind}.")


def overloaded(message: str) -> FournilError:
    return FournilError(ErrorCode.OVERLOADED, message)


def error_body(error: FournilError) -> dict[str, Any]:
    shown: dict[str, Any] = {"code": error.code.value, "message": error.message}
    if error.field is not None:
        shown["field"] = error.field
    if error.details is not None:
        shown["details"] = error.details
    return {"error": shown, "request_id": request_id()}


def answer(error: FournilError, *, status: int | None = None) -> Response:
    """The response to `error`: JSON, or a page where a person asks."""
    status = HTTP_STATUS[error.code] if status is None else status
    page: ErrorPage | None = current_app.extensions.get(ERROR_PAGE)
    if page is not None and _wants_page():
        response = current_app.make_response(page(error, status))
        response.status_code = status
    else:
        response = json_response(error_body(error), status)
    if status in (429, 503):
        response.headers["Retry-After"] = str(RETRY_SECONDS)
    return response


def _wants_page() -> bool:
    if request.path.startswith(PROGRAM_PATHS):
        return False
    return request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"


def register(app: Flask) -> None:
    app.register_error_handler(FournilError, answer)
    app.register_error_handler(HTTPException, _http)
    for kind in (OperationalError, InterfaceError, PoolTimeout):
        app.register_error_handler(kind, _database_away)
    app.register_error_handler(Exception, _unexpected)


def _http(error: HTTPException) -> Response:
    status = error.code or 500
    theirs = error.get_response()
    if status < 400:
        # Redirects of the router are exceptions too.
        return current_app.make_response(theirs)
    code, message = _OF_STATUS.get(status, _OTHERWISE if status < 500 else _BROKEN)
    response = answer(FournilError(code, message), status=status)
    for name in ("Allow", "Content-Range"):
        if name in theirs.headers:
            response.headers[name] = theirs.headers[name]
    return response


def _database_away(error: Exception) -> Response:
    log.error("The database does not answer.", action="database_away", exc_info=error)
    return answer(FournilError(ErrorCode.UNAVAILABLE, "The database does not answer. Try again in a moment."))


def _unexpected(error: Exception) -> Response:
    log.error("A request failed in a way nobody thought of.", action="internal_error", exc_info=error)
    return answer(FournilError(*_BROKEN))
