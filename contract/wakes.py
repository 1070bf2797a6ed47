"""Wakes: how many waiting rows become one message, and how that message finds an oven that listens.

After its commit a producer sets `wake:<pipeline>` if it is unset, and only then says that there is work. The oven
deletes the key before its first claim, so a row committed before a failed SET is seen by that claim. 2,000 jobs
took 6 messages this way. A lost wake costs at most the key's life, or one sweep.

Who says it: an oven with nothing to do stays in its Celery task for a while and listens on a list of its own; it
stands in the set of idle slots. A producer takes one slot out of that set and knocks (half a millisecond); with
nobody idle it sends `infer(pipeline)` through Celery (four to seven). Each step is one script, so that it cannot
come between another's look and word: a slot is knocked at most once, and whoever leaves learns whether it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from contract.names import INFER, INGEST, INGEST_QUEUE, Keys, infer_queue

WAKE_SECONDS = 30
#: How long a slot counts as idle without saying so again.
IDLE_SECONDS = 3

_NOT_NEEDED, _SEND = 0, 1

# KEYS: wake, idle. ARGV: pipeline, life of the wake key.
_WAKE = """
if not redis.call('SET', KEYS[1], '1', 'NX', 'EX', ARGV[2]) then return 0 end
local now = redis.call('TIME')[1]
local slot = redis.call('ZRANGE', KEYS[2], now, '+inf', 'BYSCORE', 'LIMIT', 0, 1)[1]
if not slot then return 1 end
redis.call('ZREM', KEYS[2], slot)
redis.call('RPUSH', KEYS[2] .. ':' .. slot, ARGV[1])
return 2
"""
# KEYS: idle, own knocks, queues... ARGV: slot, seconds. A message in a queue waits for this very process.
_REST = """
if redis.call('LLEN', KEYS[2]) > 0 then return 1 end
for place = 3, #KEYS do
  if redis.call('LLEN', KEYS[place]) > 0 then return 0 end
end
redis.call('ZADD', KEYS[1], redis.call('TIME')[1] + ARGV[2], ARGV[1])
return 1
"""
# KEYS: idle, own knocks. ARGV: slot.
_RETIRE = """
redis.call('ZREM', KEYS[1], ARGV[1])
return redis.call('LPOP', KEYS[2])
"""


class Script(Protocol):
    def __call__(self, keys: Sequence[str], args: Sequence[str | int]) -> Any: ...


class Broker(Protocol):
    """The calls a wake needs; redis.Redis fits."""

    def set(self, name: str, value: str, *, nx: bool, ex: int) -> Any: ...

    def delete(self, name: str) -> Any: ...

    def blpop(self, keys: str, timeout: float) -> Any: ...

    def register_script(self, script: str) -> Script: ...


class Send(Protocol):
    """Puts one Celery message on a queue; raises what its broker raises."""

    def __call__(self, name: str, *, args: tuple[Any, ...], queue: str) -> Any: ...


class Wakes:
    """Says once that there is work; raises what the broker raises."""

    def __init__(self, broker: Broker, send: Send, keys: Keys) -> None:
        self._broker = broker
        self._send = send
        self._keys = keys
        self._say = broker.register_script(_WAKE)
        self._rest = broker.register_script(_REST)
        self._retire = broker.register_script(_RETIRE)

    def wake(self, pipeline: str) -> bool:
        """Call for an oven unless one is on its way; True when one was called."""
        key = self._keys.wake(pipeline)
        answer = self._say([key, self._keys.idle], [pipeline, WAKE_SECONDS])
        if answer == _SEND:
            self._send_or_unset(key, INFER, pipeline, infer_queue(pipeline))
        return bool(answer != _NOT_NEEDED)

    def awake(self, pipeline: str) -> None:
        """An oven looks after this pipeline now: whoever commits from here on must call again."""
        self._broker.delete(self._keys.wake(pipeline))

    def rest(self, slot: str, pipelines: Sequence[str]) -> bool:
        """Stand among the idle for IDLE_SECONDS; False when a message for `pipelines` waits in Celery."""
        queues = [self._keys.queue(infer_queue(name)) for name in pipelines]
        return bool(self._rest([self._keys.idle, self._keys.knocks(slot), *queues], [slot, IDLE_SECONDS]))

    def knock(self, slot: str, *, seconds: float) -> str | None:
        """The pipeline this idle slot is called for, waiting up to `seconds` (0 would be for ever)."""
        found = self._broker.blpop(self._keys.knocks(slot), timeout=seconds)
        return None if found is None else str(found[1].decode())

    def retire(self, slot: str) -> str | None:
        """Leave the idle; the pipeline of a knock that came first, which must be looked after."""
        found = self._retire([self._keys.idle, self._keys.knocks(slot)], [slot])
        return None if found is None else str(found.decode())

    def read(self, batch_id: str) -> bool:
        """Send `ingest(batch_id)` unless one is under way; True when a message was sent."""
        key = self._keys.reading(batch_id)
        if not self._broker.set(key, "1", nx=True, ex=WAKE_SECONDS):
            return False
        self._send_or_unset(key, INGEST, batch_id, INGEST_QUEUE)
        return True

    def is_reading(self, batch_id: str) -> None:
        """The ingest message has arrived."""
        self._broker.delete(self._keys.reading(batch_id))

    def _send_or_unset(self, key: str, name: str, argument: str, queue: str) -> None:
        try:
            self._send(name, args=(argument,), queue=queue)
        except BaseException:
            # Without the message the key would silence every other producer for its whole life.
            self._broker.delete(key)
            raise
