"""Counts the requests to stop, and wakes the loop for them and for the death of a child."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from types import FrameType

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """Installed once, in the main thread, before the first child."""

    def __init__(self) -> None:
        self.stops = 0
        self._reader, self._writer = socket.socketpair()
        for end in (self._reader, self._writer):
            end.setblocking(False)
        self._wakeup_before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, self._stop) for number in _STOPPING}
        # Without a handler, SIGCHLD is discarded and the wake-up descriptor hears nothing.
        self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda number, frame: None)

    def close(self) -> None:
        """Put everything back as it was."""
        signal.set_wakeup_fd(self._wakeup_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._reader.close()
        self._writer.close()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stops += 1

    def fileno(self) -> int:
        return self._reader.fileno()

    def drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self.fileno(), 4096):
                pass
