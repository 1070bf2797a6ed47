"""Dispatch: the hints the web sends after a commit. The row is the truth, so a hint that fails is only logged.

A broker that is gone must not slow every request down: after a failure nothing is tried for a moment, and then
by one request alone. What was not sent meanwhile, the sweep sends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import redis
from celery import Celery

from contract.brokers import direct
from contract.logs import get_logger
from contract.names import CANCEL_BATCH, UPKEEP_QUEUE, Keys
from contract.settings import Broker
from contract.wakes import Wakes
from web.broker import connect, producer

REST_SECONDS = 5.0
log = get_logger(__name__)


class Piece(NamedTuple):
    """Words of a text that is being written, and their place in its stream."""

    place: str
    text: str
    #: They begin it: what was written before, and lost, is void.
    first: bool


class Dispatch:
    """Best effort, never raises; with no broker configured it does nothing."""

    def __init__(self, broker: Broker) -> None:
        self.keys = Keys(broker.prefix)
        self._redis: redis.Redis | None = connect(broker.url) if broker.url else None
        self._celery: Celery | None = producer(broker) if broker.url else None
        self._wakes = Wakes(self._redis, self._send, self.keys) if self._redis else None
        self._breaker = Breaker(REST_SECONDS)

    def wake(self, pipeline: str) -> bool:
        """Ask some worker to look for rows of `pipeline`."""
        return self._try("wake", lambda: self._calls().wake(pipeline), pipeline=pipeline)

    def ingest(self, batch_id: str) -> bool:
        """Ask for a batch's file to be read on."""
        return self._try("ingest", lambda: self._calls().read(batch_id), batch=batch_id)

    def cancel_batch(self, batch_id: str) -> bool:
        """Ask for the open rows of a canceling batch to be canceled."""
        return self._try(
            "cancel_batch", lambda: self._send(CANCEL_BATCH, args=(batch_id,), queue=UPKEEP_QUEUE), batch=batch_id
        )

    def changed(self, *ids: str) -> bool:
        """Tell whoever waits for these jobs or batches to look again."""
        return self._try("changed", lambda: self._client().publish(self.keys.changes, " ".join(ids)))

    def reachable(self) -> bool:
        """Whether the broker answers now; asked by readiness, which must not trust an old answer."""
        if self._redis is None:
            return False
        try:
            return bool(self._redis.ping())
        except redis.RedisError:
            return False

    def tokens(self, job_id: str, after: str) -> list[Piece]:
        """What a generation has written after the place `after`."""
        key = self.keys.tokens(job_id)
        found: list[Piece] = []
        self._try("tokens", lambda: found.extend(_entries(self._client().xread({key: after}, count=500))))
        return found

    def _client(self) -> redis.Redis:
        assert self._redis is not None
        return self._redis

    def _calls(self) -> Wakes:
        assert self._wakes is not None
        return self._wakes

    def _send(self, name: str, *, args: tuple[Any, ...], queue: str) -> None:
        assert self._celery is not None
        self._celery.send_task(name, args=args, queue=direct(queue))

    def _try(self, action: str, do: Callable[[], Any], **about: str) -> bool:
        if self._redis is None or not self._breaker.may_try():
            return False
        try:
            do()
        except Exception as error:  # noqa: BLE001 - kombu and redis-py raise what they like; a hint is never worth a 500
            self._breaker.failed()
            log.warning("A message could not be sent; the sweep will.", action=action, error=repr(error), **about)
            return False
        self._breaker.worked()
        return True


class Breaker:
    """Closed while things work; after a failure open for `rest` seconds, then one caller may try."""

    def __init__(self, rest: float) -> None:
        self._rest = rest
        self._lock = threading.Lock()
        self._open_until = 0.0

    def may_try(self) -> bool:
        with self._lock:
            now = time.monotonic()
            if now < self._open_until:
                return False
            if self._open_until:
                # Whoever asks first probes; the others go on without, until it has worked.
                self._open_until = now + self._rest
            return True

    def failed(self) -> None:
        with self._lock:
            self._open_until = time.monotonic() + self._rest

    def worked(self) -> None:
        with self._lock:
            self._open_until = 0.0


def _entries(answer: Any) -> list[Piece]:
    """The entries of the one stream that was asked for; RESP3 nests them once more than RESP2."""
    streams = answer.values() if isinstance(answer, dict) else [entries for _, entries in answer or []]
    flat = [entry for entries in streams for entry in _flatten(entries)]
    return [Piece(place.decode(), fields.get(b"text", b"").decode(), b"first" in fields) for place, fields in flat]


def _flatten(entries: Any) -> list[Any]:
    return entries[0] if entries and isinstance(entries[0], list) else entries
