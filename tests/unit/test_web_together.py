"""Calls that come while another is under way are answered together, each with its own answer."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from web.together import Together


def test_a_caller_alone_is_answered_at_once():
    assert Together(lambda items: [item * 2 for item in items])(21) == 42


def test_those_who_come_meanwhile_share_the_next_turn():
    groups: list[list[int]] = []
    first_is_in, go_on = threading.Event(), threading.Event()

    def work(items: list[int]) -> list[int]:
        groups.append(items)
        first_is_in.set()
        assert go_on.wait(10)
        return [item + 100 for item in items]

    together = Together(work)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(together, 0)
        assert first_is_in.wait(10)
        rest = [pool.submit(together, n) for n in range(1, 8)]
        while len(together._waiting) < 7:
            pass
        go_on.set()
        assert [call.result(10) for call in [first, *rest]] == [n + 100 for n in range(8)]
    assert [len(group) for group in groups] == [1, 7]


def test_a_group_is_bounded():
    sizes: list[int] = []
    gate = threading.Event()

    def work(items: list[int]) -> list[int]:
        sizes.append(len(items))
        assert gate.wait(10)
        return items

    together = Together(work, most=2)
    with ThreadPoolExecutor(5) as pool:
        calls = [pool.submit(together, n) for n in range(5)]
        gate.set()
        assert sorted(call.result(10) for call in calls) == [0, 1, 2, 3, 4]
    assert max(sizes) <= 2


def test_an_error_reaches_those_it_concerns_and_the_next_turn_works():
    def work(items: list[str]) -> list[str]:
        if "bad" in items:
            raise ValueError("bad")
        return items

    together = Together(work)
    with pytest.raises(ValueError, match="bad"):
        together("bad")
    assert together("good") == "good"
