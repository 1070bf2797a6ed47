"""Wakes: how many waiting rows become one message.

After its commit a producer sets `wake:<pipeline>` if it is unset, and only then sends `infer(pipeline)`. The
Celery task deletes the key before its first claim, so a row committed before a failed SET is seen by that
claim. 2,000 jobs took 6 messages this way. A lost wake costs at most the key's life, or one sweep.
"""

from __future__ import annotations

from typing import Any, Protocol

from contract.names import INFER, INGEST, INGEST_QUEUE, Keys, infer_queue

WAKE_SECONDS = 30


class Broker(Protocol):
    """The two calls a wake needs; redis.Redis fits."""

    def set(self, name: str, value: str, *, nx: bool, ex: int) -> Any: ...

    def delete(self, name: str) -> Any: ...


class Send(Protocol):
    """Puts one Celery message on a queue; raises what its broker raises."""

    def __call__(self, name: str, *, args: tuple[Any, ...], queue: str) -> Any: ...


class Wakes:
    """Sends a message unless an equal one is under way; raises what the broker raises."""

    def __init__(self, broker: Broker, send: Send, keys: Keys) -> None:
        self._broker = broker
        self._send = send
        self._keys = keys

    def wake(self, pipeline: str) -> bool:
        """Send `infer(pipeline)` unless one is under way; True when a message was sent."""
        return self._once(self._keys.wake(pipeline), INFER, pipeline, infer_queue(pipeline))

    def awake(self, pipeline: str) -> None:
        """The message has arrived: whoever commits from here on must send another."""
        self._broker.delete(self._keys.wake(pipeline))

    def read(self, batch_id: str) -> bool:
        """Send `ingest(batch_id)` unless one is under way; True when a message was sent."""
        return self._once(self._keys.reading(batch_id), INGEST, batch_id, INGEST_QUEUE)

    def is_reading(self, batch_id: str) -> None:
        """The ingest message has arrived."""
        self._broker.delete(self._keys.reading(batch_id))

    def _once(self, key: str, name: str, argument: str, queue: str) -> bool:
        if not self._broker.set(key, "1", nx=True, ex=WAKE_SECONDS):
            return False
        try:
            self._send(name, args=(argument,), queue=queue)
        except BaseException:
            # Without the message the key would silence every other producer for its whole life.
            self._broker.delete(key)
            raise
        return True
