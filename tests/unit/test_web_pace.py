"""The rate of the recent past, as one process of the web server remembers it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from web import pace
from web.pace import Pace

START = datetime(2026, 11, 26, tzinfo=UTC)


def polled(
    seen: Pace, *, rates: list[tuple[float, float]], batch_id: str = "b", is_read: bool = True
) -> float | None:
    """What the last poll is told, of polls twice a second while rows are over at each rate for so many seconds."""
    now, done, said = START, 100.0, None
    for rate, seconds in rates:
        for _ in range(int(2 * seconds)):
            now, done = now + timedelta(seconds=0.5), done + rate / 2
            said = seen.rate(batch_id, done=int(done), now=now, is_read=is_read)
    return said


def test_an_even_pace_is_told_as_it_is():
    assert polled(Pace(), rates=[(5_000, 120)]) == 5_000


def test_a_look_or_two_say_nothing():
    assert polled(Pace(), rates=[(5_000, 2)]) is None
    assert polled(Pace(), rates=[(5_000, 2.5)]) == 5_000


def test_a_stop_of_a_second_hardly_shows():
    assert polled(Pace(), rates=[(5_000, 30), (0, 1)]) == pytest.approx(5_000, rel=0.06)


def test_what_was_long_ago_is_forgotten():
    window = pace.WINDOW.total_seconds()

    assert polled(Pace(), rates=[(9_000, 60), (5_000, window + 1)]) == 5_000


def test_polls_that_come_rarely_are_enough():
    seen = Pace()
    for minute in range(3):
        said = seen.rate("b", done=600 * (minute + 1), now=START + timedelta(minutes=minute))

    assert said == 10


def test_rows_that_a_retry_opened_again_begin_a_new_memory():
    seen = Pace()
    polled(seen, rates=[(5_000, 30)])
    later = START + timedelta(seconds=31)

    assert seen.rate("b", done=50, now=later) is None
    assert seen.rate("b", done=350, now=later + timedelta(seconds=3)) == 100


def test_the_time_before_a_file_was_read_says_nothing_of_the_time_after():
    seen = Pace()
    polled(seen, rates=[(2_500, 30)], is_read=False)

    assert polled(seen, rates=[(5_000, 1)]) is None
    assert polled(seen, rates=[(5_000, 5)]) == 5_000


def test_each_batch_has_its_own_and_the_one_that_was_asked_for_last_is_kept(monkeypatch):
    monkeypatch.setattr(pace, "_BATCHES", 2)
    seen = Pace()
    for batch_id, rate in (("a", 1_000), ("b", 2_000), ("c", 3_000)):
        assert polled(seen, rates=[(rate, 10)], batch_id=batch_id) == rate

    later = START + timedelta(seconds=11)
    assert [seen.rate(one, done=99_999, now=later) is None for one in ("a", "c")] == [True, False]
