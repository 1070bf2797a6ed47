"""Which function makes scores of logits, where nobody says: what the library's pipelines choose."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("torch", reason="needs torch")

from worker.backends.tasks.scores import default_function


@pytest.mark.parametrize(
    ("problem", "labels", "of_text", "of_sound"),
    [
        ("regression", 1, "none", "none"),
        ("multi_label_classification", 3, "sigmoid", "sigmoid"),
        ("single_label_classification", 3, "softmax", "softmax"),
        (None, 3, "softmax", "softmax"),
        (None, 1, "sigmoid", "softmax"),
    ],
)
def test_the_function_follows_from_the_configuration(problem, labels, of_text, of_sound):
    config = SimpleNamespace(problem_type=problem, num_labels=labels)

    assert default_function(config, alone="sigmoid") == of_text
    assert default_function(config, alone="softmax") == of_sound
