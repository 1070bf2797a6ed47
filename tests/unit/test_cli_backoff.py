"""Restarts: patient with what keeps dying, quick with what was healthy."""

from __future__ import annotations

from cli.stack.backoff import Backoff


def test_the_delay_doubles_up_to_half_a_minute():
    backoff = Backoff()

    assert [backoff.died(lived=0.5) for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]


def test_a_healthy_minute_starts_over():
    backoff = Backoff()
    for _ in range(4):
        backoff.died(lived=1)

    assert backoff.died(lived=60) == 1
    assert backoff.died(lived=1) == 2


def test_failures_count_deaths_in_a_row():
    backoff = Backoff()
    backoff.died(lived=1)
    backoff.died(lived=1)
    assert backoff.failures == 2

    backoff.died(lived=100)
    assert backoff.failures == 1
