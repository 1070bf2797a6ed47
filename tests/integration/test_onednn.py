"""Encoders that multiply through oneDNN: the same numbers, the same weights, and back again where they differ."""

from __future__ import annotations

import itertools
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


def seen(model: Any, batches: list[dict[str, Any]]) -> list[Any]:
    from worker.backends import proof

    return [proof.seen(model(**batch)[0], batch) for batch in batches]


def answers(model: Any, batches: list[dict[str, Any]]) -> list[Any]:
    import torch

    with torch.inference_mode():
        return [one.flatten().tolist() for one in seen(model, batches)]


def always(*_: Any) -> bool:
    return True


def never(*_: Any) -> bool:
    return False


def test_the_numbers_stay_and_so_do_the_weights(model: Any, batches: list[dict[str, Any]]) -> None:
    from worker.backends import onednn

    before, held = answers(model, batches), {name: one.data_ptr() for name, one in model.named_parameters()}
    assert onednn.multiply_faster(model, lambda: seen(model, batches), is_faster=always)
    for found, expected in zip(answers(model, batches), before, strict=True):
        assert found == pytest.approx(expected, abs=1e-5)
    assert {name: one.data_ptr() for name, one in model.named_parameters()} == held
    kinds = [type(module) for module in model.modules()]
    assert kinds.count(onednn.LinearThenGelu) == 2, "a GELU behind a layer is computed with it, in each of two layers"


def test_what_is_not_faster_stays_as_it_is(model: Any, batches: list[dict[str, Any]]) -> None:
    from worker.backends import onednn

    assert not onednn.multiply_faster(model, lambda: seen(model, batches), is_faster=never)
    assert not any(isinstance(module, onednn.Linear) for module in model.modules())


def test_a_model_that_gives_other_numbers_is_put_back(
    model: Any, batches: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from worker.backends import onednn

    multiply = onednn._multiply
    monkeypatch.setattr(onednn, "_multiply", lambda *given: multiply(*given) + 0.1)
    before = answers(model, batches)
    assert not onednn.multiply_faster(model, lambda: seen(model, batches), is_faster=always)
    assert answers(model, batches) == before


@pytest.mark.parametrize(("as_it_is", "through_onednn"), [(2.0, 1.0), (1.0, 2.0)])
def test_a_busy_machine_does_not_choose_the_slower_way(
    model: Any, as_it_is: float, through_onednn: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    from worker.backends import onednn

    # By turns; a neighbor makes some moments fifty times as long, and here those of the faster way.
    undisturbed = [as_it_is, through_onednn] * 4
    faster = 0 if as_it_is < through_onednn else 1
    disturbed = [seconds * (50 if turn % 2 == faster else 1) for turn, seconds in enumerate(undisturbed[:6])]
    moments = itertools.cycle(disturbed + undisturbed)
    monkeypatch.setattr(onednn, "_seconds", lambda _: next(moments))
    layers = [module for module in model.modules() if type(module).__name__ == "Linear"]
    assert onednn._is_faster(layers[:1], onednn.READING) == (through_onednn < as_it_is)


def test_a_model_in_another_precision_is_left_alone(model: Any, batches: list[dict[str, Any]]) -> None:
    import torch

    from worker.backends import onednn

    assert not onednn.multiply_faster(model.to(torch.bfloat16), lambda: seen(model, batches), is_faster=always)


def test_a_pipeline_on_torch_asks_which_way_is_faster_and_one_on_onnx_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from worker.backends import onednn
    from worker.backends.backend import nothing_recent
    from worker.backends.registry import backend_for

    asked: list[Any] = []
    monkeypatch.setattr(onednn, "_is_faster", lambda *trial: bool(asked.append(trial)))
    for backend, times in (("torch", 1), ("onnx", 1)):
        folder = tiny.classifier(tmp_path / backend)
        spec = PipelineSpec("p", "text-classification", model=str(folder), backend=backend)
        backend_for(spec).load(spec, device="cpu", cache=tmp_path, recent=nothing_recent)
        assert len(asked) == times


@pytest.mark.parametrize("task", ["text-generation", "text2text-generation"])
def test_a_model_that_writes_multiplies_so_too_and_writes_the_same(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from worker.backends import onednn
    from worker.backends.backend import Context, nothing_recent
    from worker.backends.registry import backend_for

    folder = tiny.writer(tmp_path) if task == "text-generation" else tiny.t5(tmp_path)
    spec = PipelineSpec("p", task, model=str(folder))
    parameters = spec.effective({"max_new_tokens": 8})
    asked: list[Any] = []
    answers = []
    for faster in (False, True):
        monkeypatch.setattr(onednn, "_is_faster", lambda _, passes, faster=faster: asked.append(passes) or faster)
        loaded: Any = backend_for(spec).load(spec, device="cpu", cache=tmp_path, recent=nothing_recent)
        changed = [module for module in loaded._loaded.model.modules() if isinstance(module, onednn.Linear)]
        assert bool(changed) == faster
        rows = loaded.prepare([{"text": text} for text in SENTENCES], parameters)
        answers.append(loaded.bake(rows, parameters, Context()))
    assert answers[0] == answers[1]
    assert asked == [onednn.WRITING] * 2
