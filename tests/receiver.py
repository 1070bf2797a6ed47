"""A receiver of webhooks on loopback: keeps what came, and answers what it was told to."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

#: 32 bytes that anybody may know.
SECRET = "whsec_QSBzZWNyZXQgb2YgdGhlIHRlc3RzLCAzMiBieXRlcy4="


@dataclasses.dataclass(frozen=True)
class Told:
    headers: dict[str, str]
    body: bytes

    def verified(self) -> dict[str, Any]:
        """What it says; raises where the signature is none of SECRET's."""
        found: dict[str, Any] = Webhook(SECRET).verify(self.body, self.headers)
        assert found == json.loads(self.body)
        return found


class Receiver:
    """`answers`: statuses for what comes next, in order; when they are used up, 204. A status of 0: no answer."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.told: list[Told] = []
        self.answers: list[int] = []
        self.leave = threading.Event()
        self._server = ThreadingHTTPServer((address, 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}/told?token=mine"

    def close(self) -> None:
        self.leave.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def _take(self, told: Told) -> int:
        self.told.append(told)
        status = self.answers.pop(0) if self.answers else 204
        if not status:
            self.leave.wait(30)
        return status or 204

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver._take(Told({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(status)
                if status in (301, 302, 307, 308):
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_words: object) -> None:
                return

        return Handler


@contextmanager
def receiving(address: str = "127.0.0.1") -> Iterator[Receiver]:
    receiver = Receiver(address)
    try:
        yield receiver
    finally:
        receiver.close()
