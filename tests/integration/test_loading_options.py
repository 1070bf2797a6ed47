"""How weights may lie and be computed with: in shards, tied, in each precision, with each attention."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.numpy import load_file

from contract.errors import CheckpointError
from tests import tiny
from tests.integration.beside_library import TEXTS, Oven, assert_same
from tests.tiny.ggufs import llama
from tests.tiny.tokens import byte_tokenizer
from worker.backends.candidates import look
from worker.backends.fitting import likeliest

pytestmark = pytest.mark.real_model
ROWS = [{"text": text} for text in TEXTS]
Load = Callable[..., Oven]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def do(folder: Path, task: str = "text-classification", **options: Any) -> Oven:
        return Oven(task, folder, tmp_path / "cache", **{"backend": "torch", **options})

    return do


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    return tiny.classifier(tmp_path / "classifier")


def computing(oven: Oven) -> Any:
    return oven.loaded._computing.encoder.model  # type: ignore[attr-defined]


def test_shards_are_one_model(load: Load, classifier: Path, tmp_path: Path) -> None:
    whole = load(classifier)
    sharded = tmp_path / "sharded"
    transformers.AutoTokenizer.from_pretrained(classifier).save_pretrained(sharded)
    kind = transformers.AutoModelForSequenceClassification
    kind.from_pretrained(classifier).save_pretrained(sharded, max_shard_size="20KB")
    assert len(list(sharded.glob("model-*-of-*.safetensors"))) > 1
    assert_same(whole.run(ROWS), load(sharded).together_and_alone(ROWS))


def mapped(file: Path) -> list[range]:
    """Where this process has a file in its memory without a copy of its own."""
    lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    places = [fields[0].split("-") for fields in lines if fields[-1] == str(file.resolve())]
    return [range(int(first, 16), int(last, 16)) for first, last in places]


@pytest.mark.parametrize("task", ["text-classification", "text-generation"])
def test_weights_on_torch_stay_in_their_file_which_other_processes_share(
    load: Load, tmp_path: Path, task: str
) -> None:
    folder = tiny.MAKERS[task](tmp_path / task)
    oven = load(folder, task)
    places = mapped(folder / "model.safetensors")
    model = oven.loaded._loaded.model  # type: ignore[attr-defined]
    weights = [parameter.data_ptr() for parameter in model.parameters()]
    assert weights
    assert all(any(address in place for place in places) for address in weights)


@pytest.mark.parametrize("task", ["text-generation", "summarization", "fill-mask"])
def test_tied_weights_are_stored_once_and_not_missing(load: Load, tmp_path: Path, task: str) -> None:
    folder = tiny.MAKERS[task](tmp_path / task)
    names = load_file(folder / "model.safetensors")
    assert not {"lm_head.weight", "cls.predictions.decoder.weight"} & names.keys()
    assert load(folder, task).loaded.identity.dtype == "float32"


def test_a_gguf_file_writes_what_its_model_writes(load: Load, tmp_path: Path) -> None:
    folder, model = llama(tmp_path / "llama")
    tokenizer = byte_tokenizer(chat=False)
    prompt = torch.tensor([tokenizer(TEXTS[0])["input_ids"]])
    with torch.inference_mode():
        written = model.generate(prompt, max_new_tokens=6, do_sample=False)[0, prompt.shape[1] :]
    (folder / "other.gguf").write_bytes(b"of another model")
    file = folder / "model.gguf"
    found = load(file, "text-generation").one(TEXTS[0], max_new_tokens=6, return_full_text=False)
    assert found["generated_text"] == tokenizer.decode(written, skip_special_tokens=True) != ""
    assert likeliest(look(str(file), revision=None, cache=tmp_path)) == ["text-generation"]


@pytest.mark.parametrize("dtype", ["auto", "float32", "bfloat16", "float16"])
def test_each_precision_computes_about_the_same(load: Load, classifier: Path, dtype: str) -> None:
    exact = load(classifier).run(ROWS)
    oven = load(classifier, dtype=dtype)
    assert oven.loaded.identity.dtype == ("float32" if dtype == "auto" else dtype)
    for found, expected in zip(oven.run(ROWS), exact, strict=True):
        scores = {entry["label"]: entry["score"] for entry in expected}
        assert {entry["label"]: entry["score"] for entry in found} == pytest.approx(scores, abs=0.05)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_each_attention_computes_the_same(load: Load, classifier: Path, attention: str) -> None:
    usual = load(classifier)
    oven = load(classifier, attention=attention, backend="auto")
    assert computing(oven).config._attn_implementation == attention
    assert oven.loaded.identity.backend == "torch"
    assert_same(usual.run(ROWS), oven.together_and_alone(ROWS))


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_text_is_written_with_either_attention(load: Load, tmp_path: Path, attention: str) -> None:
    folder = tiny.writer(tmp_path / "writer")
    usual = load(folder, "text-generation").run(ROWS[:2], max_new_tokens=8)
    assert_same(usual, load(folder, "text-generation", attention=attention).run(ROWS[:2], max_new_tokens=8))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"attention": "flash_attention_2"}, "needs a GPU and the package flash-attn"),
        ({"attention": "eager", "backend": "onnx"}, "attention is for torch"),
        ({"attention": "sdpa", "backend": "auto", "quantize": "int8"}, "attention is for torch"),
    ],
)
def test_an_attention_that_cannot_be_had_is_refused(
    load: Load, classifier: Path, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(CheckpointError, match=words):
        load(classifier, **options)


def test_an_architecture_without_that_attention_is_named(load: Load, tmp_path: Path) -> None:
    folder = tiny.MAKERS["visual-question-answering"](tmp_path / "vilt")
    with pytest.raises(CheckpointError, match="does not compute attention in that way for a vilt"):
        load(folder, "visual-question-answering", attention="sdpa")
