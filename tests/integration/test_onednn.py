"""Encoders that multiply through oneDNN: the same numbers, the same weights, and back again where they differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contract.pipelines import PipelineSpec
from tests import tiny

pytestmark = pytest.mark.real_model

SENTENCES = ["the oven was warm", "late", "a baker in paris puts the bread into the oven early this morning"]


@pytest.fixture(autouse=True)
def kept_little() -> None:
    from worker.backends import onednn

    onednn.keep_little()


@pytest.fixture(params=["classifier", "embedder"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    import transformers

    if request.param == "classifier":
        auto = transformers.AutoModelForSequenceClassification
        return auto.from_pretrained(tiny.classifier(tmp_path / "checkpoint")).eval()
    distilbert = transformers.DistilBertConfig(vocab_size=99, dim=32, n_layers=2, n_heads=2, hidden_dim=64)
    return transformers.DistilBertModel(distilbert).eval()


@pytest.fixture
def batches() -> list[dict[str, Any]]:
    import torch

    alone = {"input_ids": torch.tensor([[5, 6, 7]]), "attention_mask": torch.ones(1, 3, dtype=torch.long)}
    padded = {
        "input_ids": torch.tensor([[5, 6, 7, 8, 9], [5, 6, 0, 0, 0]]),
        "attention_mask": torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]]),
    }
    return [alone, padded]


def answers(model: Any, batches: list[dict[str, Any]]) -> list[Any]:
    import torch

    with torch.inference_mode():
        found = [model(**batch)[0] for batch in batches]
    masks = [
        batch["attention_mask"].unsqueeze(-1) if one.ndim == 3 else 1
        for one, batch in zip(found, batches, strict=True)
    ]
    return [(one * mask).flatten().tolist() for one, mask in zip(found, masks, strict=True)]


def test_the_numbers_stay_and_so_do_the_weights(model: Any, batches: list[dict[str, Any]]) -> None:
    from worker.backends import onednn

    before, held = answers(model, batches), {name: one.data_ptr() for name, one in model.named_parameters()}
    assert onednn.multiply_faster(model, batches, is_faster=lambda _: True)
    for found, expected in zip(answers(model, batches), before, strict=True):
        assert found == pytest.approx(expected, abs=1e-5)
    assert {name: one.data_ptr() for name, one in model.named_parameters()} == held
    kinds = [type(module) for module in model.modules()]
    assert kinds.count(onednn.LinearThenGelu) == 2, "a GELU behind a layer is computed with it, in each of two layers"


def test_what_is_not_faster_stays_as_it_is(model: Any, batches: list[dict[str, Any]]) -> None:
    from worker.backends import onednn

    assert not onednn.multiply_faster(model, batches, is_faster=lambda _: False)
    assert not any(isinstance(module, onednn.Linear) for module in model.modules())


def test_a_model_that_gives_other_numbers_is_put_back(
    model: Any, batches: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from worker.backends import onednn

    multiply = onednn._multiply
    monkeypatch.setattr(onednn, "_multiply", lambda *given: multiply(*given) + 0.1)
    before = answers(model, batches)
    assert not onednn.multiply_faster(model, batches, is_faster=lambda _: True)
    assert answers(model, batches) == before


def test_a_model_in_another_precision_is_left_alone(model: Any, batches: list[dict[str, Any]]) -> None:
    import torch

    from worker.backends import onednn

    assert not onednn.multiply_faster(model.to(torch.bfloat16), batches, is_faster=lambda _: True)


def test_a_pipeline_on_torch_asks_which_way_is_faster_and_one_on_onnx_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from worker.backends import onednn
    from worker.backends.backend import nothing_recent
    from worker.backends.registry import backend_for

    asked: list[Any] = []
    monkeypatch.setattr(onednn, "_is_faster", lambda layer: bool(asked.append(layer)))
    for backend, times in (("torch", 1), ("onnx", 1)):
        folder = tiny.classifier(tmp_path / backend)
        spec = PipelineSpec("p", "text-classification", model=str(folder), backend=backend)
        backend_for(spec).load(spec, device="cpu", cache=tmp_path, recent=nothing_recent)
        assert len(asked) == times
