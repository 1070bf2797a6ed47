"""The gunicorn worker: what is no request of HTTP is refused in the shape of every other error, and who drips one is
not waited for.

gunicorn reads a request before the application does. By itself it says what is wrong in HTML, its parser's words
included.
"""

from __future__ import annotations

import socket
from typing import Any

from gunicorn import util
from gunicorn.http import errors
from gunicorn.workers.gthread import ThreadWorker

from contract.errors import ErrorCode
from contract.ids import new_id
from contract.jsons import dumps
from web.patience import Caller

_REFUSED = {
    errors.LimitRequestLine: ("414 URI Too Long", "The address is longer than this server takes."),
    errors.LimitRequestHeaders: ("431 Request Header Fields Too Large", "The headers are larger than allowed."),
    errors.ExpectationFailed: ("417 Expectation Failed", "The only Expect that is known is 100-continue."),
}
_OTHERWISE = ("400 Bad Request", "The request is not HTTP as it should be.")
_BROKEN = ("500 Internal Server Error", "Something went wrong here. Tell the operator the request_id.")
#: Raised over headers of the application's own making, by classes whose parents blame the caller.
_OURS = (errors.InvalidResponseHeader, errors.InvalidResponseHeaderName, errors.ConfigurationProblem)


class Gateway(ThreadWorker):  # type: ignore[misc]
    def handle(self, conn: Any) -> Any:
        """Called in a thread, once for each request of a connection, and again for one that had not begun to come."""
        if type(conn.sock) is socket.socket:
            conn.sock = Caller.of(conn.sock)
        if isinstance(conn.sock, Caller):
            conn.sock.begin()
        kept = super().handle(conn)
        if isinstance(conn.sock, Caller) and conn.sock.was_given_up:
            self.log.warning("A request was not waited for any longer: too little came of its head.")
        if kept is False:
            # Here: it lasts until the other end closes too, for up to two seconds, and by itself the one thread that
            # accepts would wait for it.
            conn.close(graceful=True)
            conn.close = _closed
        return kept

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:  # noqa: ARG002 - theirs
        """Called where a request could not be read, or its answer not be sent; the connection is closed after."""
        request_id = new_id()
        is_theirs = isinstance(exc, errors.ParseException) and not isinstance(exc, _OURS)
        if is_theirs:
            self.log.warning("A request that is no HTTP: %s (request_id %s)", type(exc).__name__, request_id)
        else:
            self.log.exception("Handling a request failed (request_id %s)", request_id)
        try:
            util.write_nonblock(client, _answer(exc, request_id) if is_theirs else _broken(request_id))
        except OSError:
            self.log.debug("Whoever sent it is gone.")


def _closed(*, graceful: bool = False) -> None:
    """Closing a connection once more."""


def _answer(error: BaseException, request_id: str) -> bytes:
    status, message = _REFUSED.get(type(error), _OTHERWISE)
    return _response(status, ErrorCode.INVALID_REQUEST, message, request_id)


def _broken(request_id: str) -> bytes:
    status, message = _BROKEN
    return _response(status, ErrorCode.INTERNAL, message, request_id)


def _response(status: str, code: ErrorCode, message: str, request_id: str) -> bytes:
    body = dumps({"error": {"code": code.value, "message": message}, "request_id": request_id}) + "\n"
    head = (
        f"HTTP/1.1 {status}",
        "Content-Type: application/json",
        f"Content-Length: {len(body.encode())}",
        f"X-Request-ID: {request_id}",
        "Connection: close",
    )
    return ("\r\n".join(head) + "\r\n\r\n" + body).encode()
