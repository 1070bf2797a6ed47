"""Asks the web server over HTTP whether the stack is ready, from a thread of its own.

The answer may take seconds while models load; the loop that reads logs and restarts what dies must not wait for it.
"""

from __future__ import annotations

import http.client
import json
import threading
import urllib.error
import urllib.request

_PAUSE = 0.2
# The machine's proxy, if it has one, cannot reach our loopback address.
_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


class Readiness:
    """Polls GET /readyz until it answers 200; `missing` is what it said last."""

    def __init__(self, url: str) -> None:
        self.missing = "the web server does not answer yet"
        self._url = url
        self._ready = threading.Event()
        self._given_up = threading.Event()
        threading.Thread(target=self._poll, daemon=True).start()

    def __call__(self) -> bool:
        return self._ready.is_set()

    def give_up(self) -> None:
        self._given_up.set()

    def _poll(self) -> None:
        while not self._given_up.wait(_PAUSE):
            try:
                with _open(f"{self._url}/readyz", timeout=5):
                    self._ready.set()
                    return
            except urllib.error.HTTPError as error:
                self.missing = _what_is_missing(error)
            except (OSError, http.client.HTTPException):
                pass


def _what_is_missing(answer: urllib.error.HTTPError) -> str:
    try:
        return json.dumps(json.loads(answer.read()))
    except (OSError, ValueError, http.client.HTTPException):
        return f"the web server answers {answer.code}"
