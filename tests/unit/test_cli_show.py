"""Results for people: labels, texts, and anything else as JSON that fits the screen."""

from __future__ import annotations

import pytest

from cli import show


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        ([{"label": "good", "score": 0.75}], "0.7500  good"),
        ([{"entity_group": "PER", "word": "Ada", "score": 0.9}], "0.9000  PER, Ada"),
        ([{"token_str": "bread", "score": 0.5, "token": 7}], "0.5000  bread"),
        ([{"score": 0.5, "box": 1}], '0.5000  {"score":0.5,"box":1}'),
        ({"generated_text": "Once upon a time"}, "Once upon a time"),
        ({"message": {"role": "assistant", "content": "Paris."}, "finish_reason": "stop"}, "Paris."),
        ([0.1, 0.2], "[0.1,0.2]"),
        ([], "[]"),
    ],
)
def test_each_kind_of_result_is_drawn(result, shown):
    assert show.result(result) == shown


def test_a_long_vector_is_cut():
    assert len(show.result([0.123456] * 384)) == 400


def test_counts_leave_out_what_is_empty():
    assert show.counts({"total": 1200, "queued": 1000, "failed": 0, "succeeded": 200}) == (
        "1,200 in all: 1,000 queued, 200 succeeded"
    )
    assert show.counts({"total": 0, "queued": 0}) == "0 in all"
