"""Asks the web server over HTTP whether the stack is ready, from a thread of its own.

The answer may take seconds while models load; the loop that reads logs and restarts what dies must not wait for it.
"""

from __future__ import annotations

import http.client
import json
import threading
import urllib.error
import urllib.request

from contract.statuses import PipelineState

_PAUSE = 0.2
_ACTIVE = PipelineState.ACTIVE
# The machine's proxy, if it has one, cannot reach our loopback address.
_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


class Readiness:
    """Polls GET /readyz until it answers 200.

    `missing` is what it said last; `idle` then holds a sentence for each pipeline that runs nothing.
    """

    def __init__(self, url: str) -> None:
        self.missing = "the web server does not answer yet"
        self.idle: list[str] = []
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
            if self._is_ready():
                self.idle = _idle_pipelines(self._url)
                self._ready.set()
                return

    def _is_ready(self) -> bool:
        try:
            with _open(f"{self._url}/readyz", timeout=5):
                return True
        except urllib.error.HTTPError as error:
            self.missing = _what_is_missing(error)
        except (OSError, http.client.HTTPException):
            pass
        return False


def _idle_pipelines(url: str) -> list[str]:
    try:
        with _open(f"{url}/api/v1/pipelines", timeout=5) as answer:
            pipelines = json.loads(answer.read())["data"]
    except (OSError, ValueError, KeyError, http.client.HTTPException):
        # It is only a hint for whoever started the stack.
        return []
    return [f"{one['name']} is {one['state']}: {one['reason']}" for one in pipelines if one["state"] != _ACTIVE]


def _what_is_missing(answer: urllib.error.HTTPError) -> str:
    try:
        return json.dumps(json.loads(answer.read()))
    except (OSError, ValueError, http.client.HTTPException):
        return f"the web server answers {answer.code}"
