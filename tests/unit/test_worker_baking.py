"""A microbatch that breaks: only the rows that break it fail, each with its code, and nothing else leaks out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import ErrorCode, InputError
from worker.backends.backend import Context, DeviceLost, Identity, OutOfMemory, Prepared
from worker.baking import Baker, Dough


class Moody:
    """A pipeline that fails on some payloads."""

    identity = Identity("m", "c", "float32", "fake")

    def __init__(self) -> None:
        self.calls: list[list[Any]] = []

    def bake(self, rows: Sequence[Prepared], parameters: dict[str, Any], context: Context) -> list[Any]:
        payloads = [row.payload for row in rows]
        self.calls.append(payloads)
        if "memory" in payloads or ("wide" in payloads and len(rows) > 2):
            raise OutOfMemory
        if "python memory" in payloads:
            raise MemoryError
        if "lost" in payloads:
            raise DeviceLost
        if "short" in payloads:
            return []
        if "bad" in payloads:
            raise ValueError("a secret path /root")
        special = {"nan": float("nan"), "no": InputError(ErrorCode.INPUT_REJECTED, "No.")}
        return [special.get(p, p) for p in payloads]


def bake(*payloads: Any) -> tuple[list[Any], Baker]:
    baker = Baker(Moody(), {}, take=lambda _: None, wanted=lambda ids: ids, publish=lambda *_, **__: None)  # type: ignore[arg-type]
    return baker.bake([Dough(str(i), Prepared(p, 1)) for i, p in enumerate(payloads)]), baker


def codes(answers: list[Any]) -> list[Any]:
    return [answer.code if isinstance(answer, InputError) else answer for answer in answers]


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_only_the_rows_that_break_fail(bad):
    answers, _ = bake(*["bad" if b else i for i, b in enumerate(bad)])
    assert codes(answers) == [ErrorCode.INFERENCE_FAILED if b else i for i, b in enumerate(bad)]


def test_out_of_memory_halves_until_it_fits():
    answers, baker = bake("wide", 1, 2, 3, 4, 5, 6, 7)
    assert codes(answers) == ["wide", 1, 2, 3, 4, 5, 6, 7]
    assert baker.ran_out


@pytest.mark.parametrize("payload", ["memory", "python memory"])
def test_a_row_that_does_not_fit_alone_fails_with_its_code(payload):
    answers, _ = bake(1, payload, 2)
    assert codes(answers) == [1, ErrorCode.OUT_OF_MEMORY, 2]


def test_a_lost_device_is_nobody_s_fault():
    with pytest.raises(DeviceLost):
        bake(1, "lost")


def test_nan_never_leaves_and_no_exception_text_either():
    answers, _ = bake("nan", "no", "bad", 1)
    assert codes(answers) == [ErrorCode.RESULT_NOT_FINITE, ErrorCode.INPUT_REJECTED, ErrorCode.INFERENCE_FAILED, 1]
    assert "secret" not in answers[2].message
    assert "incident" in answers[2].message


def test_an_answer_too_few_is_found_out():
    answers, _ = bake("short", 1)
    assert codes(answers) == [ErrorCode.INFERENCE_FAILED, 1]
