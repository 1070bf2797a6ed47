"""A line to a server that is cut after so many bytes, one connection after the other.

with cutting(server_url, [1_000, 50_000]) as line:
    httpx.get(line.url)      # breaks after 1,000 bytes of the answer; the third connection stays whole
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from urllib.parse import urlsplit

_PIECE = 1 << 14


class Line:
    def __init__(self, url: str, cuts: Sequence[int], on_cut: Callable[[], object] | None) -> None:
        split = urlsplit(url)
        self._target = (str(split.hostname), int(split.port or 80))
        self._cuts = list(cuts)
        self._on_cut = on_cut
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        #: What the heads of requests began with, one a connection.
        self.asked: list[str] = []
        self.cuts = 0

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                caller, _ = self._listening.accept()
                left = self._cuts.pop(0) if self._cuts else None
                thread = threading.Thread(target=self._join, args=(caller, left), daemon=True)
                self._threads.append(thread)
                thread.start()

    def close(self) -> None:
        # A thread that waits in accept() hears of it only so.
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(5)

    def _join(self, caller: socket.socket, left: int | None) -> None:
        with caller, contextlib.suppress(OSError), socket.socket() as server:
            # Small, so that a server that is cut off has much left to send.
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _PIECE)
            server.connect(self._target)
            request = caller.recv(1 << 16)
            self.asked.append(request.partition(b"\r\n")[0].decode())
            server.sendall(request)
            self._answer(server, caller, left)

    def _answer(self, server: socket.socket, caller: socket.socket, left: int | None) -> None:
        while left is None or left > 0:
            piece = server.recv(_PIECE if left is None else min(_PIECE, left))
            if not piece:
                return
            caller.sendall(piece)
            left = None if left is None else left - len(piece)
        self.cuts += 1
        if self._on_cut is not None:
            self._on_cut()


@contextlib.contextmanager
def cutting(url: str, cuts: Sequence[int], *, on_cut: Callable[[], object] | None = None) -> Iterator[Line]:
    """`cuts`: after how many bytes of an answer the first connections break; `on_cut` is called before each does."""
    line = Line(url, cuts, on_cut)
    accepting = threading.Thread(target=line.serve, daemon=True)
    accepting.start()
    try:
        yield line
    finally:
        line.close()
        accepting.join(5)
