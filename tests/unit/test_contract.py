"""What both sides agree on: codes of errors, statuses, ids, and JSON that holds no NaN."""

from __future__ import annotations

import pytest

from contract.errors import HTTP_STATUS, ErrorCode
from contract.ids import is_id, new_id, new_ids
from contract.jsons import finite
from contract.statuses import JOB_MOVES, JOB_OVER, JobStatus


def test_every_error_code_has_an_http_status():
    assert set(HTTP_STATUS) == set(ErrorCode)


def test_terminal_is_final_but_for_a_retry():
    assert all(JOB_MOVES[status] <= {JobStatus.QUEUED} for status in JOB_OVER)
    assert not JOB_MOVES[JobStatus.SUCCEEDED]


def test_ids_increase_and_are_urlsafe():
    ids = [new_id() for _ in range(100)] + new_ids(1000) + [new_id()]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert all(is_id(i) and i[12] == "7" and i[16] in "89ab" for i in ids)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: [0.5, x], lambda x: {"a": [{"b": x}]}, lambda x: (1, x)])
def test_finite_finds_every_nan(bad, wrap):
    assert not finite(wrap(bad))
    assert finite(wrap(0.5))
    assert finite(wrap("nan"))
