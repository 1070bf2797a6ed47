"""Encoders on ONNX Runtime: the same numbers as torch, torch where they are not, and what int8 costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch

from contract.errors import CheckpointError
from contract.pipelines import PipelineSpec
from tests import tiny
from tests.integration.beside_library import MAKERS, MASKED, TEXTS, assert_same
from worker.backends import graph_attention, onnx_model
from worker.backends.backend import Context, Inputs, LoadedPipeline, Prepared, Recent, nothing_recent
from worker.backends.device import configure
from worker.backends.registry import backend_for

pytestmark = pytest.mark.real_model

ROWS: dict[str, list[Inputs]] = {
    "text-classification": [{"text": text} for text in TEXTS],
    "zero-shot-classification": [{"text": text} for text in TEXTS],
    "token-classification": [{"text": text} for text in TEXTS],
    "feature-extraction": [{"text": text} for text in TEXTS],
    "sentence-similarity": [{"source_sentence": text, "sentences": TEXTS[1:3]} for text in TEXTS],
    "fill-mask": [{"text": text} for text in MASKED],
}
PARAMETERS = {"zero-shot-classification": {"candidate_labels": ["bread", "weather"]}}


def load(task: str, folder: Path, cache: Path, recent: Recent = nothing_recent, **options: Any) -> LoadedPipeline:
    configure(1, "cpu")
    spec = PipelineSpec(name="tiny", task=task, model=str(folder), **options)
    return backend_for(spec).load(spec, device="cpu", cache=cache, recent=recent)


def answers(pipeline: LoadedPipeline, task: str, rows: Sequence[Inputs]) -> list[Any]:
    parameters = PipelineSpec(name="tiny", task=task, model="m").effective(PARAMETERS.get(task, {}))
    prepared = [row for row in pipeline.prepare(rows, parameters) if isinstance(row, Prepared)]
    assert len(prepared) == len(rows)
    return pipeline.bake(prepared, parameters, Context())


@pytest.mark.parametrize("task", ROWS)
def test_an_encoder_gives_the_numbers_that_torch_gives(task: str, tmp_path: Path) -> None:
    folder = MAKERS[task](tmp_path / "checkpoint")
    graph, model = load(task, folder, tmp_path), load(task, folder, tmp_path, backend="torch")
    assert (graph.identity.backend, model.identity.backend) == ("onnx", "torch")
    assert graph.fidelity is None
    assert_same(answers(model, task, ROWS[task]), answers(graph, task, ROWS[task]))


def test_a_writer_stays_on_torch(tmp_path: Path) -> None:
    assert load("text-generation", tiny.writer(tmp_path / "checkpoint"), tmp_path).identity.backend == "torch"


def test_a_graph_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny.classifier(tmp_path / "checkpoint")
    load("text-classification", folder, tmp_path)
    monkeypatch.setattr(torch.onnx, "export", _must_not_run)
    assert load("text-classification", folder, tmp_path).identity.backend == "onnx"


@pytest.mark.parametrize("task", ["text-classification", "feature-extraction", "fill-mask"])
def test_attention_is_one_operator_and_hides_padding_as_before(task: str, tmp_path: Path) -> None:
    folder = MAKERS[task](tmp_path / "checkpoint")
    graph, model = load(task, folder, tmp_path), load(task, folder, tmp_path, backend="torch")
    assert operators(tmp_path)["MultiHeadAttention"] == 2
    word = "[MASK]" if task == "fill-mask" else "bread"
    rows: list[Inputs] = [{"text": f"{word} {'the crust was perfect ' * times}"} for times in (0, 1, 3)]
    assert_same(answers(model, task, rows), answers(graph, task, rows))


def test_where_one_operator_gives_other_numbers_attention_is_as_torch_exports_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attend = graph_attention._attend
    monkeypatch.setattr(graph_attention, "_attend", lambda *given, scaling, **how: attend(*given, scaling=9.0, **how))
    task, folder = "text-classification", tiny.classifier(tmp_path / "checkpoint")
    graph, model = load(task, folder, tmp_path), load(task, folder, tmp_path, backend="torch")
    assert graph.identity.backend == "onnx"
    assert operators(tmp_path, fused=False)["MultiHeadAttention"] == 0
    assert_same(answers(model, task, ROWS[task]), answers(graph, task, ROWS[task]))


def test_a_damaged_graph_is_made_again(tmp_path: Path) -> None:
    folder = tiny.classifier(tmp_path / "checkpoint")
    load("text-classification", folder, tmp_path)
    [file] = (tmp_path / "onnx").glob("*.onnx")
    file.write_bytes(file.read_bytes()[:1000])
    assert load("text-classification", folder, tmp_path).identity.backend == "onnx"


@pytest.mark.parametrize("quantize", ["none", "int8"])
def test_the_weights_of_a_graph_are_mapped_from_a_file_of_their_own(tmp_path: Path, quantize: str) -> None:
    pipeline = load("text-classification", tiny.classifier(tmp_path / "checkpoint"), tmp_path, quantize=quantize)
    answers(pipeline, "text-classification", ROWS["text-classification"])
    suffix = ".int8.weights" if quantize == "int8" else ".weights"
    mapped = [line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines()]
    [weights] = [f for f in (tmp_path / "onnx").glob("*.weights") if f.name.endswith(suffix) and str(f) in mapped]
    assert weights.stat().st_size < pipeline.nbytes()


def test_a_damaged_file_of_weights_is_made_again(tmp_path: Path) -> None:
    folder = tiny.classifier(tmp_path / "checkpoint")
    load("text-classification", folder, tmp_path)
    [file] = (tmp_path / "onnx").glob("*.weights")
    file.unlink()
    assert load("text-classification", folder, tmp_path).identity.backend == "onnx"
    assert file.exists()


def test_making_a_graph_leaves_nothing_else_behind(tmp_path: Path) -> None:
    load("text-classification", tiny.classifier(tmp_path / "checkpoint"), tmp_path)
    assert sorted(file.suffix for file in (tmp_path / "onnx").iterdir()) == [".onnx", ".weights"]


def test_a_graph_with_other_numbers_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.backends.onnx_model.OnnxModel.__call__", _zeros)
    folder = tiny.classifier(tmp_path / "checkpoint")
    assert load("text-classification", folder, tmp_path).identity.backend == "torch"


def test_without_a_place_for_its_graph_an_encoder_stays_on_torch(tmp_path: Path) -> None:
    (tmp_path / "onnx").write_text("a file where the folder should be")
    folder = tiny.classifier(tmp_path / "checkpoint")
    assert load("text-classification", folder, tmp_path).identity.backend == "torch"


def test_who_insists_on_onnx_hears_why_it_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.onnx, "export", _must_not_run)
    with pytest.raises(CheckpointError, match="Take the backend torch"):
        load("text-classification", tiny.classifier(tmp_path / "checkpoint"), tmp_path, backend="onnx")


@pytest.mark.parametrize(
    ("task", "options", "words"),
    [
        ("text-generation", {"backend": "onnx"}, "Take backend and quantize out"),
        ("text-classification", {"backend": "onnx", "dtype": "bfloat16"}, "Take backend and quantize out"),
        ("text-generation", {"quantize": "int8"}, "with backend = .torch. int8 is for what writes"),
    ],
)
def test_what_cannot_be_is_refused(task: str, options: dict[str, str], words: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=words):
        load(task, MAKERS[task](tmp_path / "checkpoint"), tmp_path, **options)


def test_int8_weights_of_one_processor_are_not_those_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same cache on a processor without VNNI: there eight bits of both sides overflow, without an error."""
    folder, ranges = tiny.classifier(tmp_path / "checkpoint"), []
    quantize = onnx_model._quantize
    monkeypatch.setattr(
        onnx_model, "_quantize", lambda *files: (ranges.append(onnx_model.has_vnni()), quantize(*files))
    )
    for has_vnni in (True, False, True, False):
        monkeypatch.setattr(onnx_model, "has_vnni", lambda has=has_vnni: has)
        load("text-classification", folder, tmp_path, quantize="int8")
    assert ranges == [True, False]


def test_int8_says_what_it_costs_on_what_people_sent(tmp_path: Path) -> None:
    asked: list[tuple[str, int]] = []

    def recent(pipeline: str, count: int) -> list[Inputs]:
        asked.append((pipeline, count))
        return ROWS["text-classification"]

    folder = tiny.classifier(tmp_path / "checkpoint")
    pipeline = load("text-classification", folder, tmp_path, recent, quantize="int8")
    assert asked == [("tiny", 100)]
    assert pipeline.identity.dtype == "int8"
    assert pipeline.fidelity is not None
    assert pipeline.fidelity["inputs"] == len(TEXTS)
    assert pipeline.fidelity["recent"] is True
    assert 0 <= pipeline.fidelity["score_mean"] <= pipeline.fidelity["score_max"] < 0.1


def test_int8_vectors_are_compared_by_their_angle(tmp_path: Path) -> None:
    folder = tiny.embedder(tmp_path / "checkpoint")
    pipeline = load("feature-extraction", folder, tmp_path, quantize="int8")
    assert pipeline.fidelity is not None
    assert (pipeline.fidelity["inputs"], pipeline.fidelity["recent"]) == (1, False)
    assert pipeline.fidelity["cosine_min"] > 0.9


def operators(cache: Path, *, fused: bool = True) -> Counter[str]:
    [file] = (file for file in (cache / "onnx").glob("*.onnx") if (".fused" in file.name) is fused)
    return Counter(node.op_type for node in onnx.load(file, load_external_data=False).graph.node)


def _must_not_run(*_args: Any, **_options: Any) -> None:
    raise AssertionError("it was exported")


def _zeros(_self: Any, **tensors: torch.Tensor) -> tuple[torch.Tensor]:
    return (torch.zeros(len(tensors["input_ids"]), 2),)
