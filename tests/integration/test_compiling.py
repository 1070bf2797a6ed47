"""`compile = true`: the same numbers from compiled passes, alone and together, and a refusal where it cannot be."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from contract.errors import CheckpointError
from contract.pipelines import PipelineSpec
from tests import tiny
from worker.backends.backend import Context, LoadedPipeline, nothing_recent

pytestmark = pytest.mark.real_model

TEXTS = ["the oven was", "good", "a baker in paris puts the bread into the oven early this morning", "late", "x y z"]


def load(folder: Path, cache: Path, task: str = "text-classification", **options: Any) -> LoadedPipeline:
    from worker.backends.device import configure
    from worker.backends.registry import backend_for

    configure(2, "cpu")
    spec = PipelineSpec("p", task, model=str(folder), **options)
    return backend_for(spec).load(spec, device="cpu", cache=cache, recent=nothing_recent)


def scores(pipeline: LoadedPipeline, texts: list[str], context: Context) -> list[float]:
    parameters = PipelineSpec("p", "text-classification").effective({"top_k": 3})
    rows = pipeline.prepare([{"text": text} for text in texts], parameters)
    answers = pipeline.bake(rows, parameters, context)  # type: ignore[arg-type]
    return [one["score"] for answer in answers for one in sorted(answer, key=lambda one: one["label"])]


def test_compiled_passes_give_the_same_numbers_alone_together_and_side_by_side(tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("needs a C++ compiler")
    folder = tiny.classifier(tmp_path / "checkpoint")
    plain = load(folder, tmp_path, backend="torch")
    compiled = load(folder, tmp_path, compile=True)
    assert compiled.identity.backend == "torch-compiled"
    assert compiled.identity.commit == plain.identity.commit
    expected = scores(plain, TEXTS, Context())
    for context in (Context(), Context(share=2)):
        assert scores(compiled, TEXTS, context) == pytest.approx(expected, abs=1e-5)
        alone = [score for text in TEXTS for score in scores(compiled, [text], context)]
        assert alone == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("make", "task", "options", "says"),
    [
        (tiny.writer, "text-generation", {}, "compile is for encoders"),
        (tiny.classifier, "text-classification", {"backend": "onnx"}, "compile needs backend"),
        (tiny.classifier, "text-classification", {"quantize": "int8"}, "compile needs backend"),
    ],
)
def test_what_cannot_be_compiled_is_refused_in_words(
    make: Any, task: str, options: dict[str, Any], says: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=says):
        load(make(tmp_path / "checkpoint"), tmp_path, task, compile=True, **options)


def test_a_compiler_that_fails_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def broken(_self: Any, **_: Any) -> None:
        def fail(*_: Any, **__: Any) -> None:
            raise RuntimeError("no compiler")

        _self._compiled_call_impl = fail

    monkeypatch.setattr(torch.nn.Module, "compile", broken)
    with pytest.raises(CheckpointError, match=r"needs a C\+\+ compiler"):
        load(tiny.classifier(tmp_path / "checkpoint"), tmp_path, compile=True)
