"""Wakes and the doorbell on a real Valkey: one call for many rows, to an oven that listens where there is one."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from contract.names import Keys
from contract.wakes import Wakes
from worker.doorbell import Doorbell
from worker.hand import Hand
from worker.signals import Signals


class Told:
    """Stands for Celery: remembers the messages, and lets them lie in their queue."""

    def __init__(self, broker: redis.Redis, keys: Keys) -> None:
        self.messages: list[tuple[str, Any, str]] = []
        self._broker = broker
        self._keys = keys

    def __call__(self, name: str, *, args: Any, queue: str) -> None:
        self.messages.append((name, args, queue))
        self._broker.lpush(self._keys.queue(queue), "a message")


@pytest.fixture
def keys() -> Keys:
    return Keys(f"t{uuid.uuid4().hex[:8]}")


@pytest.fixture
def broker(valkey: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(valkey) as client:
        yield client


@pytest.fixture
def told(broker: redis.Redis, keys: Keys) -> Told:
    return Told(broker, keys)


@pytest.fixture
def wakes(broker: redis.Redis, told: Told, keys: Keys) -> Wakes:
    return Wakes(broker, told, keys)


def test_waiting_rows_collapse_into_one_message(wakes, told):
    assert wakes.wake("a")
    assert not wakes.wake("a")
    wakes.awake("a")
    assert wakes.wake("a")
    assert wakes.read("b1")
    assert told.messages == [("fournil.infer", ("a",), "infer.a")] * 2 + [("fournil.ingest", ("b1",), "ingest")]


def test_a_message_that_was_not_sent_silences_nobody(broker, keys, told):
    def broken(*_: object, **__: object) -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        Wakes(broker, broken, keys).wake("a")
    assert Wakes(broker, told, keys).wake("a")


def test_an_idle_slot_is_knocked_once_and_the_next_call_goes_through_celery(wakes, told):
    assert wakes.rest("h/cpu0", ["a", "b"])
    assert wakes.wake("a")
    assert wakes.wake("b")
    assert wakes.knock("h/cpu0", seconds=0.01) == "a"
    assert [queue for _, _, queue in told.messages] == ["infer.b"]


def test_a_slot_does_not_rest_while_celery_has_a_message_for_it(wakes):
    wakes.wake("a")
    assert not wakes.rest("h/cpu0", ["b", "a"])
    assert wakes.rest("h/cpu1", ["b"])


def test_a_slot_that_was_knocked_is_not_idle_again_before_it_has_listened(wakes, told):
    wakes.rest("h/cpu0", ["a", "b"])
    wakes.wake("a")
    assert wakes.rest("h/cpu0", ["a", "b"])
    wakes.wake("b")
    assert [queue for _, _, queue in told.messages] == ["infer.b"]


def test_whoever_leaves_learns_of_a_knock_that_came_first(wakes, told):
    wakes.rest("h/cpu0", ["a"])
    assert wakes.retire("h/cpu0") is None
    wakes.rest("h/cpu0", ["a"])
    wakes.wake("a")
    assert wakes.retire("h/cpu0") == "a"
    wakes.awake("a")
    wakes.wake("a")
    assert [queue for _, _, queue in told.messages] == ["infer.a"]


def test_a_slot_that_fell_silent_is_not_called(wakes, told, broker, keys):
    wakes.rest("h/cpu0", ["a"])
    broker.zadd(keys.idle, {"h/cpu0": 1})
    wakes.wake("a")
    assert [queue for _, _, queue in told.messages] == ["infer.a"]


@pytest.fixture
def hand(tmp_path: Path) -> Hand:
    return Hand(tmp_path, "cpu0")


@pytest.fixture
def doorbell(broker, keys, hand) -> Doorbell:
    signals = Signals(Celery("t", broker="memory://"), broker, keys)
    return Doorbell(signals, hand, slot="h/cpu0", pipelines=["a", "b"])


def test_the_doorbell_rings_for_each_knock_until_celery_has_a_message(doorbell, wakes, broker, keys):
    heard = []
    rings = doorbell.rings()
    wakes.rest("h/cpu0", ["a", "b"])
    wakes.wake("a")
    for pipeline in rings:
        heard.append(pipeline)
        wakes.wake("b")  # while the oven bakes, nobody is idle
    assert heard == ["a"]
    assert broker.zcard(keys.idle) == 0


def test_a_request_to_stop_ends_the_rest(doorbell, hand, broker, keys):
    rested = threading.Thread(target=lambda: list(doorbell.rings()))
    rested.start()
    while not broker.zcard(keys.idle):
        pass
    hand.ask_to_stop()
    rested.join(5)
    assert not rested.is_alive()
    assert broker.zcard(keys.idle) == 0


def test_an_oven_is_told_when_nobody_knocks(broker, keys, hand):
    quiet = []

    def heard() -> None:
        quiet.append(len(quiet))
        hand.ask_to_stop()

    signals = Signals(Celery("t", broker="memory://"), broker, keys)
    doorbell = Doorbell(signals, hand, slot="h/cpu0", pipelines=["a"], quiet=heard)
    assert list(doorbell.rings()) == []
    assert quiet == [0]


def test_a_broker_that_is_away_ends_the_rest(hand):
    signals = Signals(Celery("t", broker="memory://"), redis.Redis(host="127.0.0.1", port=9), Keys("x"))
    assert list(Doorbell(signals, hand, slot="h/cpu0", pipelines=["a"]).rings()) == []


def test_a_text_that_is_written_once_more_begins_anew_and_behind_what_was_read(broker, keys):
    signals = Signals(Celery(), broker, keys)
    for text, first in (("Old ", True), ("words ", False)):
        signals.wrote("j", text, first=first)
    [*_, (last, _)] = broker.xrange(keys.tokens("j"))
    for text, first in (("New ", True), ("bread", False)):
        signals.wrote("j", text, first=first)
    found = broker.xrange(keys.tokens("j"))
    assert [fields for _, fields in found] == [{b"text": b"New ", b"first": b"1"}, {b"text": b"bread"}]
    assert broker.xrange(keys.tokens("j"), min=b"(" + last) == found
    assert 0 < broker.ttl(keys.tokens("j")) <= 600
