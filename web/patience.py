"""How long a request may be silent, and how slowly it may come: a thread that reads from a caller does nothing else.

Whoever sends slowly is waited for. Whoever sends nothing for too long, or a byte now and then so as not to be silent,
is answered as if the connection had broken there: what came of a resumable upload stays, of any other nothing does.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, BinaryIO

from contract.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


#: Bytes a second that pay for the time they are waited for. No line is so slow; a byte a minute is.
LEAST_RATE = 10
_TIME = "@ll"


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
            if isinstance(connection, Caller):
                connection.head_is_read()
            is_counted = "HTTP_TRANSFER_ENCODING" not in environ
            environ["wsgi.input"] = _Body(environ["wsgi.input"], connection, self._seconds, is_counted=is_counted)
        return self._app(environ, start_response)


def limit_silence(connection: socket.socket, seconds: float) -> None:
    """Reads of a blocking socket fail with BlockingIOError after so long without a byte; writes wait as before.

    The socket's own timeout would be one for answers too, and for the whole of each piece of them.
    """
    whole, part = divmod(seconds, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack(_TIME, int(whole), int(part * 1e6)))


class Caller(socket.socket):
    """A connection whose caller is waited for as long as it may be silent, and longer by what it sends meanwhile.

    Time that is spent on what came, or between two requests, is not the caller's and does not count.
    """

    _most = _left = float("inf")
    _in_head = False
    #: It was not waited for any longer before its request had a whole head: nobody is there to answer that.
    was_given_up = False

    @classmethod
    def of(cls, connection: socket.socket) -> Caller:
        """The same connection, which is not to be used under its old name again."""
        told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.calcsize(_TIME))
        whole, part = struct.unpack(_TIME, told)
        known = (connection.family, connection.type, connection.proto)
        caller = cls(*known, fileno=connection.detach())
        caller._most = whole + part / 1e6 or float("inf")
        return caller

    def begin(self) -> None:
        """A request of its own: it owes nothing for those before."""
        self._left, self._in_head = self._most, True

    def head_is_read(self) -> None:
        """From here on it is the application that reads, and answers who falls silent."""
        self._in_head = False

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        if flags:
            return super().recv(bufsize, flags)
        try:
            return self._recv(bufsize)
        except BlockingIOError:
            if not self._in_head:
                raise
            self.was_given_up = True
            # As of one that hung up: over any other error gunicorn would write its whole stack into the log.
            raise ConnectionResetError(
                errno.ECONNRESET, "Nothing, or too little, came of a request's head."
            ) from None

    def _recv(self, bufsize: int) -> bytes:
        if self._left <= 0:
            # Before anything more is taken from the connection, not after: what came is kept. And once: what is
            # left when it was shut is read then.
            self._left = self._most
            raise BlockingIOError
        began = time.monotonic()
        came = super().recv(bufsize)
        self._left = min(self._most, self._left - (time.monotonic() - began) + len(came) / LEAST_RATE)
        return came


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
        message = f"The body is cut short: nothing of it, or too little, came for {self._seconds:g} s."
        return RequestError(ErrorCode.INVALID_REQUEST, message)
