"""How long a request may be silent in the middle of its body: a thread that reads from a caller does nothing else.

Whoever sends slowly is waited for, byte by byte. Whoever sends nothing for too long is answered as if the connection
had broken there: what came of a resumable upload stays, of any other nothing does.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, BinaryIO

from contract.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class Patience:
    """WSGI: an application whose callers' bodies may pause for `seconds`."""

    def __init__(self, app: WSGIApplication, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # Only gunicorn shows its socket. Elsewhere, in tests of one process, nobody is waited for.
        connection: socket.socket | None = environ.get("gunicorn.socket")
        if connection is not None and _has_body(environ):
            limit_silence(connection, self._seconds)
            is_counted = "HTTP_TRANSFER_ENCODING" not in environ
            environ["wsgi.input"] = _Body(environ["wsgi.input"], connection, self._seconds, is_counted=is_counted)
        return self._app(environ, start_response)


def limit_silence(connection: socket.socket, seconds: float) -> None:
    """Reads of a blocking socket fail with BlockingIOError after so long without a byte; writes wait as before.

    The socket's own timeout would be one for answers too, and for the whole of each piece of them.
    """
    whole, part = divmod(seconds, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", int(whole), int(part * 1e6)))


def _has_body(environ: WSGIEnvironment) -> bool:
    return environ.get("CONTENT_LENGTH", "0") not in ("", "0") or "HTTP_TRANSFER_ENCODING" in environ


class _Body:
    """A request's body as the server hands it on, read in pieces: all that werkzeug asks of it.

    `is_counted`: its length was announced, so what the server holds of it can be had after all. Of a body in chunks
    it cannot: asked again, the server takes it for whole.
    """

    def __init__(self, body: BinaryIO, connection: socket.socket, seconds: float, *, is_counted: bool) -> None:
        self._body = body
        self._connection = connection
        self._seconds = seconds
        self._is_counted = is_counted
        self._fell_silent = False

    def read(self, size: int = -1) -> bytes:
        return self._within_time(lambda: self._body.read(size))

    def readline(self, size: int = -1) -> bytes:
        return self._within_time(lambda: self._body.readline(size))

    def _within_time(self, read: Callable[[], bytes]) -> bytes:
        if self._fell_silent:
            raise self._silence()
        try:
            return read()
        except BlockingIOError:
            self._fell_silent = True
        # As if it had ended here: else the server would wait for more once again, to be polite.
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RD)
        if self._is_counted and (held := read()):
            return held
        raise self._silence()

    def _silence(self) -> RequestError:
        message = f"The body is cut short: nothing of it came for {self._seconds:g} s."
        return RequestError(ErrorCode.INVALID_REQUEST, message)
