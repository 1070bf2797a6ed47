"""What a forward pass asks and tells: errors of the house are no row's, a text that is baked again begins anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from worker.backends.backend import Context, OutOfMemory, Prepared
from worker.baking import Baker, Dough


class Writer:
    """Does with each pass what the test says, and answers with the payloads."""

    def __init__(self, during: Callable[[Context], None]) -> None:
        self.passes: list[list[Any]] = []
        self._during = during

    def bake(self, rows: Sequence[Prepared], parameters: dict[str, Any], context: Context) -> list[Any]:
        self.passes.append([row.payload for row in rows])
        self._during(context)
        return [row.payload for row in rows]


def baker_of(writer: Writer, **more: Any) -> Baker:
    given = {"take": lambda _: None, "wanted": lambda ids: ids, "publish": lambda *_, **__: None, **more}
    return Baker(writer, {}, **given)  # type: ignore[arg-type]


def dough(count: int) -> list[Dough]:
    return [Dough(f"j{n}", Prepared(n, 1)) for n in range(count)]


ASKS: dict[str, Callable[[Context], Any]] = {
    "take": lambda _context: None,
    "wanted": lambda context: context.wanted(context.job_ids),
    "publish": lambda context: context.publish(context.job_ids[0], "word "),
    "done": lambda context: context.done(context.job_ids[0], "an answer"),
}


@pytest.mark.parametrize("error", [ConnectionError("the database is away"), RuntimeError("a bug of ours")])
@pytest.mark.parametrize("asks", ASKS)
def test_what_breaks_in_the_house_passes_through_and_blames_no_row(asks: str, error: Exception) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise error

    writer = Writer(ASKS[asks])
    with pytest.raises(type(error)) as raised:
        baker_of(writer, **{asks: broken}).bake(dough(4))
    assert raised.value is error
    assert len(writer.passes) <= 1


def test_it_passes_through_from_the_halves_of_a_microbatch_too() -> None:
    error = ConnectionError("the database is away")

    def during(context: Context) -> None:
        if len(context.job_ids) > 1:
            raise OutOfMemory
        context.wanted(context.job_ids)

    def broken(_ids: Sequence[str]) -> Any:
        raise error

    with pytest.raises(ConnectionError) as raised:
        baker_of(Writer(during), wanted=broken).bake(dough(4))
    assert raised.value is error


def test_a_text_begins_once_a_pass_and_again_where_its_rows_are_baked_again() -> None:
    told: list[tuple[str, str, bool]] = []

    def during(context: Context) -> None:
        for job_id in context.job_ids:
            context.publish(job_id, "Good ")
            context.publish(job_id, "bread")
        if len(context.job_ids) > 1:
            raise OutOfMemory

    baker = baker_of(Writer(during), publish=lambda job_id, text, *, first: told.append((job_id, text, first)))
    assert baker.bake(dough(2)) == [0, 1]
    of_one = [("Good ", True), ("bread", False)]
    for job_id in ("j0", "j1"):
        assert [(text, first) for job, text, first in told if job == job_id] == of_one * 2
