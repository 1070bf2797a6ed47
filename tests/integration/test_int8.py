"""int8 on torch: near what float32 says, a row's numbers its own, and what it costs measured and told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from contract.errors import CheckpointError
from contract.pipelines import PipelineSpec
from tests import tiny
from tests.integration.test_hearing import SAMPLES, sent
from tests.tiny import images, sounds
from worker.backends import int8
from worker.backends.backend import Context, Inputs, LoadedPipeline, Prepared, Recent, nothing_recent
from worker.backends.device import configure
from worker.backends.registry import backend_for

pytestmark = pytest.mark.real_model

WORDS = ["the oven was warm", "late", "a baker in paris puts the bread into the oven early this morning"]
TEXTS: list[Inputs] = [{"text": text} for text in WORDS]
QUESTIONS: list[Inputs] = [{"question": "what was warm", "context": text} for text in WORDS]
HEARD = [sent(samples) for samples in SAMPLES]

#: A task, who makes its checkpoint, what it is asked, and which figure tells the loss.
CASES: list[tuple[str, Callable[[Path], Path], list[Inputs], str]] = [
    ("text-classification", tiny.classifier, TEXTS, "same_first"),
    ("feature-extraction", tiny.embedder, TEXTS, "cosine_min"),
    ("question-answering", tiny.answerer, QUESTIONS, "same_first"),
    ("text-generation", tiny.writer, TEXTS, "same_text"),
    ("text-generation", tiny.gpt2, TEXTS, "same_text"),
    ("summarization", tiny.t5, TEXTS, "same_text"),
    ("automatic-speech-recognition", sounds.listener, HEARD, "same_text"),
    ("automatic-speech-recognition", sounds.whisper, HEARD, "same_text"),
]


def load(task: str, folder: Path, recent: Recent = nothing_recent, **options: Any) -> LoadedPipeline:
    configure(1, "cpu")
    spec = PipelineSpec(name="tiny", task=task, model=str(folder), **{"backend": "torch", **options})
    return backend_for(spec).load(spec, device="cpu", cache=folder.parent / "cache", recent=recent)


def small(task: str, folder: Path, recent: Recent = nothing_recent) -> LoadedPipeline:
    return load(task, folder, recent, quantize="int8")


@pytest.fixture(params=[False, True], ids=["one byte", "two bytes"])
def layer(request: pytest.FixtureRequest) -> int8.Int8Linear:
    made = torch.nn.Linear(64, 48)
    return int8.Int8Linear(made.weight.detach(), made.bias.detach(), fine=request.param)


def test_a_layer_says_nearly_what_its_weights_say(layer: int8.Int8Linear) -> None:
    rows = torch.randn(2, 9, 64)
    exact = rows @ (layer.weight * layer.scales[:, None]).T + layer.bias
    assert layer(rows).shape == (2, 9, 48)
    off = float((layer(rows) - exact).norm() / exact.norm())
    assert off < (1e-4 if layer.fine else 0.02)


def test_what_a_layer_says_of_a_row_does_not_depend_on_its_neighbors(layer: int8.Int8Linear) -> None:
    rows = torch.randn(9, 64) * torch.logspace(-3, 3, 9)[:, None]
    alone = torch.cat([layer(row[None]) for row in rows])
    assert layer(rows).equal(alone)


def test_a_row_that_is_not_finite_harms_no_other(layer: int8.Int8Linear) -> None:
    rows = torch.randn(3, 64)
    alone = layer(rows[2:])
    rows[0, 3], rows[1, 5] = float("nan"), float("inf")
    found = layer(rows)
    assert not found[:2].isfinite().any()
    assert found[2:].equal(alone)


def test_a_row_of_zeros_gives_the_bias(layer: int8.Int8Linear) -> None:
    assert layer(torch.zeros(1, 64)).equal(layer.bias[None])


@pytest.mark.parametrize(("task", "make", "rows", "figure"), CASES, ids=lambda one: getattr(one, "__name__", None))
def test_it_is_near_float32_and_says_how_near(
    task: str, make: Callable[[Path], Path], rows: list[Inputs], figure: str, tmp_path: Path
) -> None:
    folder = make(tmp_path / "checkpoint")
    pipeline = small(task, folder, lambda _name, _count: rows)
    assert (pipeline.identity.backend, pipeline.identity.dtype) == ("torch", "int8")
    assert pipeline.fidelity is not None
    assert (pipeline.fidelity["inputs"], pipeline.fidelity["recent"]) == (len(rows), True)
    assert figure in pipeline.fidelity
    answers = pipeline.compared(rows)
    assert len(answers) == len(rows)
    for same, of in (("same_first", "of"), ("same_text", "texts")):
        assert pipeline.fidelity.get(of, 3) == 3
        assert pipeline.fidelity.get(same, 3) >= 1


def test_its_twin_is_exact_and_its_layers_a_quarter_as_large(tmp_path: Path) -> None:
    folder = tiny.writer(tmp_path / "checkpoint")
    pipeline, exact = small("text-generation", folder), load("text-generation", folder)
    assert pipeline.fidelity is not None
    assert not pipeline.fidelity["recent"]
    assert pipeline.exact(room=1000) is None
    twin = pipeline.exact(room=1 << 30)
    assert twin is not None
    assert twin.identity.dtype == "float32"
    assert twin.compared(TEXTS) == exact.compared(TEXTS)
    assert twin.exact(room=1 << 30) is None
    twin.close()
    assert len(pipeline.compared(TEXTS)) == len(TEXTS)
    layers = sum(layer.weight.nbytes for layer in _model(exact).modules() if isinstance(layer, torch.nn.Linear))
    assert _weights(exact) - _weights(pipeline) > layers // 2


def test_rows_of_an_encoder_are_what_they_are_alone(tmp_path: Path) -> None:
    pipeline = small("text-classification", tiny.classifier(tmp_path / "checkpoint"))
    parameters = PipelineSpec(name="tiny", task="text-classification", model="m").effective({"top_k": None})
    ready = [row for row in pipeline.prepare(TEXTS, parameters) if isinstance(row, Prepared)]
    together = pipeline.bake(ready, parameters, Context())
    for row, answer in zip(ready, together, strict=True):
        [alone] = pipeline.bake([row], parameters, Context())
        assert [one["score"] for one in answer] == pytest.approx([one["score"] for one in alone], abs=2e-3)


@pytest.mark.parametrize(
    ("task", "make", "options", "words"),
    [
        ("image-classification", images.classifier, {}, "texts and speech"),
        ("text-classification", tiny.classifier, {"dtype": "bfloat16"}, "Take quantize or dtype out"),
        ("text-classification", tiny.classifier, {"compile": True}, "compile needs"),
    ],
)
def test_what_cannot_be_is_refused(
    task: str, make: Callable[[Path], Path], options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=words):
        load(task, make(tmp_path / "checkpoint"), quantize="int8", **options)


def _model(pipeline: LoadedPipeline) -> Any:
    return pipeline._loaded.model  # type: ignore[attr-defined]


def _weights(pipeline: LoadedPipeline) -> int:
    from worker.backends.device import weight_bytes

    return weight_bytes(_model(pipeline))
