"""How many rows a slot claims at once."""

from __future__ import annotations

from worker.appetite import Appetite


def test_a_claim_grows_to_eight_seconds_of_work():
    appetite = Appetite(most=1024)
    assert appetite.rows("a") == 32
    for _ in range(20):
        appetite.took("a", rows=10, seconds=0.1)
    assert 790 <= appetite.rows("a") <= 800
    appetite.took("slow", rows=1, seconds=30.0)
    assert appetite.rows("slow") == 4
    appetite.took("fast", rows=10_000, seconds=0.001)
    assert appetite.rows("fast") == 1024
