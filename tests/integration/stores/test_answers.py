"""Answers that are kept: once each, found by their keys, and forgotten oldest first."""

from __future__ import annotations

import threading
from datetime import timedelta

import sqlalchemy as sa

from contract.cache import Cache
from models.answers import Answer, find_answers, keep_answers, trim
from models.database import reading, transaction
from tests.integration.conftest import NOW
from worker.cellar import CellarKeeper

HOUR = timedelta(hours=1)


def key(number: int) -> bytes:
    return bytes([number]) * 32


def keep(engine: sa.Engine, *numbers: int, hours: int = 0, body: str = '"kept"') -> None:
    answers = [Answer(key(number), body, None) for number in numbers]
    transaction(engine, lambda conn: keep_answers(conn, answers, now=NOW + hours * HOUR))


def kept(engine: sa.Engine) -> list[int]:
    with reading(engine) as conn:
        found = find_answers(conn, [key(number) for number in range(20)])
    return sorted(answer.key[0] for answer in found)


def test_what_is_kept_is_found_as_it_was_and_the_first_of_two_stays(engine):
    first = [Answer(key(1), '"\\u0000 é"', None), Answer(key(2), None, b"\0\xff")]
    transaction(engine, lambda conn: keep_answers(conn, first, now=NOW))
    keep(engine, 1, 2, 3)
    with reading(engine) as conn:
        found = {answer.key: answer for answer in find_answers(conn, [key(1), key(2), key(3), key(9)])}
    assert found == {one.key: one for one in (*first, Answer(key(3), '"kept"', None))}


def test_the_oldest_go_when_there_are_too_many_or_they_are_too_large_or_old(engine):
    for hour in range(10):
        keep(engine, hour, hours=hour)
    bounds = {"most_rows": 100, "most_bytes": 10**6, "before": NOW}
    assert trim(engine, **bounds) == 0
    assert trim(engine, **{**bounds, "before": NOW + 2 * HOUR}) == 2
    assert kept(engine) == list(range(2, 10))
    # Of six there may be five: a little below the bound, so that the next one does not pass it again.
    assert trim(engine, **{**bounds, "most_rows": 6}) == 3
    assert kept(engine) == list(range(5, 10))
    assert trim(engine, **{**bounds, "most_bytes": 330}) == 3
    assert kept(engine) == [8, 9]


def test_with_no_room_at_all_everything_goes(engine):
    keep(engine, 1, 2, 3)
    keeper = CellarKeeper(engine, Cache(days=36_500))
    assert [keeper.look(), keeper.look()] == [3, 0]
    assert kept(engine) == []


def test_two_that_keep_the_same_at_once_wait_for_each_other_and_nobody_fails(engine):
    started, failed = threading.Barrier(2), []

    def work(numbers: list[int]) -> None:
        started.wait(10)
        try:
            for _ in range(5):
                keep(engine, *numbers)
        except Exception as error:  # noqa: BLE001 - any is the test's failure
            failed.append(error)

    threads = [threading.Thread(target=work, args=(numbers,)) for numbers in (list(range(9)), list(range(9))[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    assert kept(engine) == list(range(9))
