"""Waiting and giving up, without a broker: places, looks, and the breaker of the dispatch."""

from __future__ import annotations

import threading

from contract.settings import Broker
from web.changes import Changes, log
from web.dispatch import Breaker, Dispatch

NO_BROKER = Broker(url="")


def test_it_looks_again_without_any_message():
    looks = iter([None, None, "over"])

    assert Changes(NO_BROKER, waiting=1).until(["a"], lambda: next(looks), 10) == "over"


def test_a_change_between_the_look_and_the_wait_is_seen():
    changes = Changes(NO_BROKER, waiting=1)
    with changes.watching(["a"]) as watch:
        changes._notify(["a"])

        assert watch.wait(10)


def test_a_change_of_something_else_wakes_nobody():
    changes = Changes(NO_BROKER, waiting=1)
    with changes.watching(["a"]) as watch:
        changes._notify(["b"])

        assert not watch.wait(0.01)


def test_whoever_finds_no_place_looks_once():
    changes = Changes(NO_BROKER, waiting=1)
    looks = []
    assert changes.take_place()

    assert changes.until(["a"], lambda: looks.append(1), 10) is None
    assert len(looks) == 1


def test_places_come_back_even_when_looking_fails():
    changes = Changes(NO_BROKER, waiting=1)
    for _ in range(3):
        try:
            changes.until(["a"], lambda: 1 / 0, 10)
        except ZeroDivisionError:
            continue
    assert changes.take_place()


def test_nothing_is_kept_of_waiters_that_left():
    changes = Changes(NO_BROKER, waiting=2)
    with changes.watching(["a", "b"]), changes.watching(["a"]):
        pass

    assert changes._watches == {}


def test_wait_tells_a_change_from_a_timeout():
    changes = Changes(NO_BROKER, waiting=1)
    assert not changes.wait(["a"], 0.05)
    timer = threading.Timer(0.05, lambda: changes._notify(["a"]))
    timer.start()

    assert changes.wait(["a"], 5)


class EndedMeanwhile(threading.Event):
    """Is set from the second look on."""

    def is_set(self) -> bool:
        was = super().is_set()
        self.set()
        return was


def test_a_listener_that_was_let_go_says_nothing_of_a_broker_that_is_gone(monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(log, "warning", lambda words, **_: said.append(words))
    changes = Changes(Broker(url="redis://127.0.0.1:1/0"), waiting=1)
    monkeypatch.setattr(changes, "_over", EndedMeanwhile())

    changes._listen()

    assert said == []


def test_after_a_failure_only_one_caller_probes():
    breaker = Breaker(rest=0.05)
    assert breaker.may_try()
    breaker.failed()
    assert not breaker.may_try()
    threading.Event().wait(0.06)

    assert [breaker.may_try() for _ in range(3)] == [True, False, False]
    breaker.worked()
    assert breaker.may_try()


def test_without_a_broker_nothing_is_sent_and_nothing_raised():
    dispatch = Dispatch(NO_BROKER)

    assert [dispatch.wake("p"), dispatch.ingest("b"), dispatch.cancel_batch("b"), dispatch.changed("j")] == [
        False
    ] * 4
    assert not dispatch.reachable()
    assert dispatch.tokens("j", "0-0") == []
