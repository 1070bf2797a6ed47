"""question-answering: equal to the library's own arithmetic, alone and among others; windows, words and no answer."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers.pipelines.document_question_answering import select_starts_ends

from contract.errors import CheckpointError, ErrorCode, InputError
from tests import tiny
from tests.integration.beside_library import Oven, assert_same

pytestmark = pytest.mark.real_model

STRIDE = 24
LONG = " ".join([*tiny.WORDS, "marie baked in lyon for ten years.", *tiny.WORDS])
ROWS = [
    {"question": "what was baked?", "context": "the loaf was baked today, and it was better than ever."},
    {"question": "where?", "context": "in Lyon"},
    {"question": "what was marie for ten years?", "context": LONG},
    {"question": "Über?", "context": "Über café 東京 🙂 \x00 ok unbelievable"},
]


class Answerer(Oven):
    """The pipeline, and what the library's functions make of the same model: 4.x's pipeline, by hand."""

    def __init__(self, folder: Path, cache: Path, **options: Any) -> None:
        super().__init__("question-answering", folder, cache, **options)

    @functools.cached_property
    def model(self) -> Any:
        return transformers.AutoModelForQuestionAnswering.from_pretrained(self.folder).eval()

    @functools.cached_property
    def tokenizer(self) -> Any:
        return transformers.AutoTokenizer.from_pretrained(self.folder)

    def by_hand(self, row: dict[str, str], *, window: int = 64, stride: int = STRIDE, **asked: Any) -> list[Any]:
        """Answers of a context that fits one window, best first; of a longer one the candidates of all windows."""
        top_k, words = asked.get("top_k", 1), asked.get("align_to_words", True)
        batch = self.tokenizer(
            row["question"], row["context"], truncation="only_second", max_length=window, stride=stride,
            return_overflowing_tokens=True, return_offsets_mapping=True,
        )  # fmt: skip
        answers: list[dict[str, Any]] = []
        least = 1000000.0
        for number, ids in enumerate(batch["input_ids"]):
            tensors = {n: torch.tensor([batch[n][number]]) for n in self.tokenizer.model_input_names}
            with torch.inference_mode():
                output = self.model(**tensors)
            mask = np.array([[side != 1 for side in batch.sequence_ids(number)]]).astype(int)
            mask[0, ids.index(self.tokenizer.cls_token_id)] = 0
            starts, ends, scores, least = select_starts_ends(
                output.start_logits.numpy(), output.end_logits.numpy(), mask, tensors["attention_mask"].numpy(),
                least, top_k * 2 + 10 if words else top_k, asked.get("handle_impossible_answer", False),
                asked.get("max_answer_len", 15),
            )  # fmt: skip
            found: list[dict[str, Any]] = []
            encoding = batch.encodings[number]
            for start, end, score in zip(starts.tolist(), ends.tolist(), scores.tolist(), strict=True):
                if score == 0.0:
                    continue
                if words:
                    first = encoding.word_to_chars(encoding.token_to_word(start), 1)[0]
                    last = encoding.word_to_chars(encoding.token_to_word(end), 1)[1]
                else:
                    first, last = encoding.offsets[start][0], encoding.offsets[end][1]
                text = row["context"][first:last]
                same = next((one for one in found if one["answer"].lower() == text.lower()), None)
                if same:
                    same["score"] += score
                else:
                    found.append({"score": score, "start": first, "end": last, "answer": text})
            answers += found
        if asked.get("handle_impossible_answer"):
            answers.append({"score": least, "start": 0, "end": 0, "answer": ""})
        best: dict[str, Any] = {}
        for answer in sorted(answers, key=lambda one: -one["score"]):
            best.setdefault(answer["answer"].lower(), answer)
        return list(best.values())[:top_k]


@pytest.fixture(scope="module", params=[tiny.answerer, tiny.small_answerer], ids=["bert", "distilbert"])
def answerer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Answerer:
    root = tmp_path_factory.mktemp("answerer")
    return Answerer(request.param(root / "checkpoint"), root)


@pytest.mark.parametrize(
    "parameters",
    [{}, {"handle_impossible_answer": True}, {"max_answer_len": 2}, {"align_to_words": False}],
    ids=str,
)
def test_answers_are_the_librarys_alone_and_in_a_batch(answerer: Answerer, parameters: dict[str, Any]) -> None:
    expected = [answerer.by_hand(row, **parameters)[0] for row in ROWS]
    assert_same(expected, answerer.together_and_alone(ROWS, doc_stride=STRIDE, **parameters))


@pytest.mark.parametrize("parameters", [{"top_k": 3}, {"top_k": 4, "handle_impossible_answer": True}], ids=str)
def test_several_answers_are_a_list_best_first(answerer: Answerer, parameters: dict[str, Any]) -> None:
    expected = [answerer.by_hand(row, **parameters) for row in ROWS]
    assert_same(expected, answerer.together_and_alone(ROWS, doc_stride=STRIDE, **parameters))


def test_an_encoder_for_answers_runs_on_onnx_runtime_with_the_same_numbers(
    answerer: Answerer, tmp_path: Path
) -> None:
    assert answerer.loaded.identity.backend == "onnx"
    on_torch = Answerer(answerer.folder, tmp_path, backend="torch")
    assert on_torch.loaded.identity.backend == "torch"
    assert_same(on_torch.run(ROWS, top_k=3), answerer.run(ROWS, top_k=3))


def test_int8_says_how_often_the_answer_is_another(answerer: Answerer, tmp_path: Path) -> None:
    small = Answerer(answerer.folder, tmp_path, quantize="int8")
    assert small.loaded.identity.dtype == "int8"
    assert small.loaded.fidelity is not None
    assert small.loaded.fidelity["of"] == 1


def test_a_long_text_counts_a_sequence_a_window(answerer: Answerer) -> None:
    short, long = answerer.prepare([ROWS[1], ROWS[2]])
    assert short.sequences == 1
    assert (long.sequences, long.length) == (len(long.payload.windows), tiny.POSITIONS)
    assert long.sequences > 2
    more = answerer.prepare([ROWS[2]], max_seq_len=32, doc_stride=8)[0]
    assert more.length == 32
    assert more.sequences > long.sequences


def test_characters_of_an_answer_are_those_of_the_text(answerer: Answerer) -> None:
    for row, found in zip(ROWS, answerer.run(ROWS), strict=True):
        assert row["context"][found["start"] : found["end"]] == found["answer"]


def test_a_long_question_is_cut_and_reads_as_its_beginning(answerer: Answerer) -> None:
    context = ROWS[0]["context"]
    [long] = answerer.run([{"question": "bread " * 50, "context": context}], max_question_len=3)
    [cut] = answerer.run([{"question": "bread bread bread", "context": context}])
    assert_same(cut, long)


def test_a_question_that_leaves_no_room_is_refused_in_words(answerer: Answerer) -> None:
    [refused] = answerer.run([{"question": "bread " * 80, "context": "late"}])
    assert refused.code is ErrorCode.INPUT_TOO_LONG
    assert refused.message.startswith("This question has 64 tokens, which leaves no room for the text")


def test_an_overlap_that_reads_nothing_new_is_refused(answerer: Answerer) -> None:
    refused, _ = answerer.run([ROWS[2], ROWS[1]], doc_stride=40)
    assert refused.field == "parameters.doc_stride"
    assert "must be at most" in refused.message


@pytest.mark.parametrize(
    "row",
    [
        {"question": "\ud800", "context": "late"},
        {"question": "late", "context": "\ud800"},
        {"question": "\u200b", "context": "late"},
        {"question": "late", "context": "\x00"},
    ],
    ids=["half question", "half text", "no question", "no text"],
)
def test_odd_unicode_harms_nobody_else(answerer: Answerer, row: dict[str, str]) -> None:
    refused, good = answerer.run([row, ROWS[0]])
    assert isinstance(refused, InputError)
    assert not isinstance(good, InputError)


def test_nan_stays_with_its_row(tmp_path: Path) -> None:
    poisoned = Answerer(tiny.poisoned(tmp_path / "checkpoint", tiny.answerer), tmp_path)
    first, second = poisoned.run([{"question": "how", "context": "so cold"}, ROWS[1]])
    assert first.code is ErrorCode.RESULT_NOT_FINITE
    assert not isinstance(second, InputError)


def test_a_classifier_cannot_answer_and_says_what_to_choose(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="was not trained for question-answering"):
        Answerer(tiny.classifier(tmp_path / "checkpoint"), tmp_path)
