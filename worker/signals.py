"""What a worker tells others after a commit: wakes for workers, changes for whoever polls. Best effort, bounded.

The rows are the truth and a sweep repairs whatever is not said here, so no failure of the broker passes this line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import redis
from celery import Celery
from kombu.exceptions import OperationalError

from contract.brokers import direct
from contract.logs import get_logger
from contract.names import DELIVER, UPKEEP_QUEUE, Keys
from contract.wakes import Wakes

T = TypeVar("T")
log = get_logger(__name__)

_DOWN = (redis.RedisError, OperationalError, OSError)
_TOKENS_LIVE = 600  # seconds
_MOST_TOKENS = 20_000
#: Seconds that a message may wait in the node that will handle it; what is later is the sweep's.
_LONGEST_AWAY = 60.0


class Signals:
    def __init__(self, app: Celery, client: redis.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._send = Sender(app)
        self._wakes = Wakes(client, self._send, keys)

    def wake(self, pipeline: str) -> None:
        self._try("wake", lambda: self._wakes.wake(pipeline))

    def awake(self, pipeline: str) -> None:
        self._try("awake", lambda: self._wakes.awake(pipeline))

    def rest(self, slot: str, pipelines: Sequence[str]) -> bool:
        """Stand among the idle slots; False when Celery has a message for us, or the broker is away."""
        return bool(self._try("rest", lambda: self._wakes.rest(slot, pipelines)))

    def knock(self, slot: str, *, seconds: float) -> str | None:
        """The pipeline that this idle slot is called for within `seconds`."""
        return self._try("knock", lambda: self._wakes.knock(slot, seconds=seconds))

    def retire(self, slot: str) -> str | None:
        """Leave the idle slots; the pipeline of a knock that came first."""
        return self._try("retire", lambda: self._wakes.retire(slot))

    def read(self, batch_id: str) -> None:
        self._try("read", lambda: self._wakes.read(batch_id))

    def is_reading(self, batch_id: str) -> None:
        self._try("is_reading", lambda: self._wakes.is_reading(batch_id))

    def changed(self, ids: Iterable[str]) -> None:
        """Say which jobs and batches have a new row."""
        if message := " ".join(ids):
            self._try("changed", lambda: self._client.publish(self._keys.changes, message))

    def deliver(self, ids: Sequence[str], *, after: float = 0.0) -> None:
        """Ask for the webhooks of these jobs and batches to be sent, in `after` seconds."""
        if ids and after <= _LONGEST_AWAY:
            self._try("deliver", lambda: self._send(DELIVER, args=(list(ids),), queue=UPKEEP_QUEUE, countdown=after))

    def wrote(self, job_id: str, text: str, *, first: bool) -> None:
        """Publish a piece of a running generation; `first`: it begins the text, whatever was published before."""

        def publish() -> None:
            key = self._keys.tokens(job_id)
            pipe = self._client.pipeline(transaction=first)
            if first:
                # Trimmed and not deleted: places in the stream go on growing for whoever reads on from one.
                pipe.xtrim(key, maxlen=0, approximate=False)
            entry: dict[Any, Any] = {"text": text, "first": "1"} if first else {"text": text}
            pipe.xadd(key, entry, maxlen=_MOST_TOKENS, approximate=True)
            pipe.expire(key, _TOKENS_LIVE)
            pipe.publish(self._keys.changes, job_id)
            pipe.execute()

        self._try("wrote", publish)

    def _try(self, what: str, call: Callable[[], T]) -> T | None:
        try:
            return call()
        except _DOWN:
            log.warning("The broker did not take a message; the next sweep makes up for it.", what=what)
            return None


class Sender:
    """contract.wakes.Send over a Celery app."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def __call__(self, name: str, *, args: tuple[Any, ...], queue: str, countdown: float = 0.0) -> Any:
        return self._app.send_task(name, args=args, queue=direct(queue), countdown=countdown or None)


def connect(url: str) -> redis.Redis:
    """A client that gives up soon: a broker that hangs must not hold a microbatch."""
    return redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2, health_check_interval=30)
