"""Encoders that leave padding out: the same numbers, side by side on two threads, and untouched where they differ."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests import tiny

pytestmark = pytest.mark.real_model

PADDED = ([5, 6, 7, 8, 9, 10], [5, 6], [5, 6, 7])


def batch(*rows: list[int]) -> dict[str, Any]:
    import torch

    longest = max(map(len, rows))
    return {
        "input_ids": torch.tensor([row + [0] * (longest - len(row)) for row in rows]),
        "attention_mask": torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows]),
    }


def read(model: Any, given: dict[str, Any]) -> list[float]:
    """What is read of an output: nothing where padding stands."""
    import torch

    with torch.inference_mode():
        found = model(**given)[0]
    numbers: list[float] = (found[given["attention_mask"].bool()] if found.ndim == 3 else found).flatten().tolist()
    return numbers


def widths(model: Any) -> list[tuple[int, ...]]:
    """Grows by the shape of what the first layer is given in each pass."""
    seen: list[tuple[int, ...]] = []
    stack = getattr(model.base_model, "encoder", None) or model.base_model.transformer
    stack.layer[0].register_forward_pre_hook(lambda _, given: seen.append(tuple(given[0].shape[:2])))
    return seen


@pytest.fixture(params=["classifier", "tagger", "distilbert", "roberta"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    import transformers

    if request.param == "classifier":
        path = tiny.classifier(tmp_path / "checkpoint")
        return transformers.AutoModelForSequenceClassification.from_pretrained(path).eval()
    if request.param == "tagger":
        path = tiny.MAKERS["token-classification"](tmp_path / "checkpoint")
        return transformers.AutoModelForTokenClassification.from_pretrained(path).eval()
    if request.param == "distilbert":
        config = transformers.DistilBertConfig(vocab_size=99, dim=32, n_layers=2, n_heads=2, hidden_dim=64)
        return transformers.DistilBertModel(config).eval()
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    return transformers.RobertaModel(transformers.RobertaConfig(vocab_size=99, pad_token_id=0, **small)).eval()


def test_numbers_stay_and_padding_is_not_computed(model: Any) -> None:
    from worker.backends.packing import pack

    expected = read(model, batch(*PADDED))
    assert pack(model, [batch(*PADDED)])
    seen = widths(model)
    assert read(model, batch(*PADDED)) == pytest.approx(expected, abs=1e-5)
    assert seen == [(1, 11)], "eleven real tokens in one row"


def test_rows_of_like_length_are_computed_as_before(model: Any) -> None:
    from worker.backends.packing import pack

    alike = batch([5, 6, 7], [8, 9, 10])
    expected = read(model, alike)
    assert pack(model, [batch(*PADDED)])
    seen = widths(model)
    assert read(model, alike) == pytest.approx(expected, abs=1e-6)
    assert seen == [(2, 3)]


def test_two_threads_pack_beside_each_other(model: Any) -> None:
    from worker.backends.packing import pack

    several = [batch(*PADDED), batch([9, 8, 7, 6, 5, 4, 3], [5], [6, 7], [8]), batch([5, 6], [7, 8])] * 20
    expected = [read(model, one) for one in several]
    assert pack(model, [batch(*PADDED)])
    with ThreadPoolExecutor(2) as decks:
        found = list(decks.map(lambda one: read(model, one), several))
    for one, same in zip(found, expected, strict=True):
        assert one == pytest.approx(same, abs=1e-5)


def test_a_pass_that_fails_leaves_nothing_behind(model: Any) -> None:
    from worker.backends.packing import pack

    alike = batch([5, 6, 7], [8, 9, 10])
    expected = read(model, alike)
    assert pack(model, [batch(*PADDED)])
    broken = batch(*PADDED)
    broken["input_ids"] = broken["input_ids"] + 10_000
    with pytest.raises(IndexError):
        read(model, broken)
    assert read(model, alike) == pytest.approx(expected, abs=1e-6)


def test_layers_that_need_more_than_their_tokens_stay_as_they_are() -> None:
    """MPNet adds the distance of two tokens to their attention."""
    import transformers

    from worker.backends.packing import pack

    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    model = transformers.MPNetModel(transformers.MPNetConfig(vocab_size=99, **small)).eval()
    expected, how = read(model, batch(*PADDED)), model.config._attn_implementation
    assert not pack(model, [batch(*PADDED)])
    assert model.config._attn_implementation == how
    assert read(model, batch(*PADDED)) == pytest.approx(expected, abs=1e-6)


def test_attention_to_neighbors_alone_is_not_packed(model: Any) -> None:
    from worker.backends.packing import pack

    model.config.sliding_window = 128
    assert not pack(model, [batch(*PADDED)])
