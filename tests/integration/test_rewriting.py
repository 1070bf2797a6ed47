"""Texts written anew: the library's own generate(), alone and among others, on four architectures; and languages."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from contract.errors import CheckpointError, ErrorCode, InputError
from tests import tiny
from tests.integration.beside_library import Listener, Oven
from worker.backends.backend import Context

pytestmark = pytest.mark.real_model

TEXTS = [
    "the oven was warm",
    "late",
    "a baker puts the bread into the oven early this morning, and it was better than ever.",
    "Über café 東京 🙂 ok",
]
ROWS = [{"text": text} for text in TEXTS]
NAMES = {
    "text2text-generation": "generated_text",
    "summarization": "summary_text",
    "translation": "translation_text",
}
PAIR = {"src_lang": "en_XX", "tgt_lang": "de_DE"}


class Rewriter(Oven):
    def texts(self, rows: list[dict[str, str]], context: Context | None = None, **parameters: Any) -> list[str]:
        return [answer[NAMES[self.spec.task]] for answer in self.run(rows, context, **parameters)]

    def plain(self, text: str, **parameters: Any) -> str:
        """What the library writes for one text by itself."""
        tokens = self.tokenizer(text, return_tensors="pt")
        asked = {"num_beams": 4, "max_new_tokens": 16, "do_sample": False, **parameters}
        with torch.inference_mode():
            [written] = self.model.generate(tokens["input_ids"], attention_mask=tokens["attention_mask"], **asked)
        return str(self.tokenizer.decode(written, skip_special_tokens=True)).strip()

    @functools.cached_property
    def model(self) -> Any:
        return transformers.AutoModelForSeq2SeqLM.from_pretrained(self.folder).eval()

    @functools.cached_property
    def tokenizer(self) -> Any:
        return transformers.AutoTokenizer.from_pretrained(self.folder)


@pytest.fixture(scope="module")
def rewriter(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Rewriter]:
    @functools.cache
    def get(task: str, make: Callable[[Path], Path]) -> Rewriter:
        root = tmp_path_factory.mktemp("rewriter")
        return Rewriter(task, make(root / "checkpoint"), root)

    return get


@pytest.mark.parametrize("beams", [1, 4])
@pytest.mark.parametrize("make", [tiny.t5, tiny.bart, tiny.marian, tiny.mbart], ids=lambda make: make.__name__)
def test_a_text_is_the_librarys_alone_and_in_a_batch(rewriter: Any, make: Any, beams: int) -> None:
    write = rewriter("text2text-generation", make)
    expected = [write.plain(text, num_beams=beams) for text in TEXTS]
    assert write.texts(ROWS, num_beams=beams, max_new_tokens=16) == expected
    assert [write.texts([row], num_beams=beams, max_new_tokens=16)[0] for row in ROWS] == expected
    assert len(set(expected)) > 1


@pytest.mark.parametrize(
    "parameters",
    [
        {"min_new_tokens": 12, "length_penalty": 2.0},
        {"no_repeat_ngram_size": 2, "early_stopping": True},
        {"repetition_penalty": 1.7, "num_beams": 2},
    ],
    ids=str,
)
def test_what_steers_the_writing_steers_it_as_in_the_library(rewriter: Any, parameters: dict[str, Any]) -> None:
    write = rewriter("text2text-generation", tiny.bart)
    expected = [write.plain(text, **parameters) for text in TEXTS]
    assert write.texts(ROWS, max_new_tokens=16, **parameters) == expected


def test_words_that_are_not_to_be_written_are_not(rewriter: Any) -> None:
    write = rewriter("text2text-generation", tiny.bart)
    plain = write.texts(ROWS, max_new_tokens=16)
    letter = next(letter for letter in plain[0] if letter.isascii() and letter.isalnum())
    ids = [write.tokenizer(word, add_special_tokens=False)["input_ids"] for word in (letter, f" {letter}")]
    expected = [write.plain(text, bad_words_ids=ids) for text in TEXTS]
    assert write.texts(ROWS, max_new_tokens=16, bad_words=[letter]) == expected
    [refused] = write.run(ROWS[:1], bad_words=["\ud800"])
    assert refused.field == "parameters.bad_words"


def test_several_texts_are_the_best_beams_or_drawn(rewriter: Any) -> None:
    write = rewriter("text2text-generation", tiny.bart)
    found = write.run(ROWS, max_new_tokens=16, num_beams=3, num_return_sequences=2)
    tokens = write.tokenizer(TEXTS[0], return_tensors="pt")
    best = write.model.generate(**tokens, num_beams=3, num_return_sequences=2, max_new_tokens=16, do_sample=False)
    first = [text.strip() for text in write.tokenizer.batch_decode(best, skip_special_tokens=True)]
    assert [found[0]["generated_text"], *found[0]["alternatives"]] == first

    drawn = write.run(ROWS, max_new_tokens=16, num_beams=1, num_return_sequences=2, temperature=2, seed=7)
    assert [len(answer["alternatives"]) for answer in drawn] == [1] * len(ROWS)
    [refused] = write.run(ROWS[:1], num_beams=2, num_return_sequences=3)
    assert refused.message == "num_return_sequences is above num_beams, which is 2."


def test_t5_is_asked_to_summarize_in_its_own_words(rewriter: Any) -> None:
    write = rewriter("summarization", tiny.t5)
    assert write.texts(ROWS, max_new_tokens=16) == [write.plain("summarize: " + text) for text in TEXTS]
    assert write.texts(ROWS, max_new_tokens=16, prefix="") == [write.plain(text) for text in TEXTS]


def test_the_words_of_the_configuration_come_first(rewriter: Any) -> None:
    def own_words(folder: Path) -> Path:
        params = {"summarization": {"prefix": "short: "}, "translation_en_to_de": {"prefix": "auf deutsch: "}}
        return tiny.t5(folder, task_specific_params=params)

    write = rewriter("summarization", own_words)
    assert write.texts(ROWS[:1], max_new_tokens=16) == [write.plain("short: " + TEXTS[0])]
    write = rewriter("translation", own_words)
    pair = {"src_lang": "en", "tgt_lang": "de", "max_new_tokens": 16}
    assert write.texts(ROWS[:1], **pair) == [write.plain("auf deutsch: " + TEXTS[0])]


@pytest.mark.parametrize("task", ["summarization", "text2text-generation"])
def test_the_checkpoints_own_way_of_writing_is_the_default(rewriter: Any, task: str) -> None:
    def two_beams(folder: Path) -> Path:
        tiny.bart(folder)
        config = transformers.GenerationConfig.from_pretrained(folder)
        config.update(num_beams=2, max_length=9)
        config.save_pretrained(folder)
        return folder

    write = rewriter(task, two_beams)
    assert write.texts(ROWS) == [write.plain(text, num_beams=2, max_new_tokens=8) for text in TEXTS]
    [row] = write.prepare(ROWS[:1])
    assert row.sequences == 2


def test_a_row_counts_what_it_reads_and_may_write_in_every_beam(rewriter: Any) -> None:
    write = rewriter("text2text-generation", tiny.bart)
    [row] = write.prepare(ROWS[:1], max_new_tokens=10, num_beams=3)
    assert (row.length, row.sequences) == (len(write.tokenizer(TEXTS[0])["input_ids"]) + 10, 3)


# --- languages ----------------------------------------------------------------------------------------------


def test_mbart_reads_one_language_and_writes_another(rewriter: Any) -> None:
    write = rewriter("translation", tiny.mbart)
    found = write.texts(ROWS, max_new_tokens=16, **PAIR)
    assert found == write.texts(ROWS, max_new_tokens=16, src_lang="en", tgt_lang="de")
    assert found != write.texts(ROWS, max_new_tokens=16, src_lang="en", tgt_lang="fr")
    write.tokenizer.src_lang = "en_XX"
    german = write.tokenizer.convert_tokens_to_ids("de_DE")
    assert found == [write.plain(text, forced_bos_token_id=german) for text in TEXTS]


@pytest.mark.parametrize(
    ("pair", "field", "words"),
    [
        ({}, "parameters.src_lang", "needs src_lang. It knows ar_AR, cs_CZ, de_DE"),
        ({"src_lang": "en_XX"}, "parameters.tgt_lang", "needs tgt_lang"),
        ({"src_lang": "en_XX", "tgt_lang": "xx"}, "parameters.tgt_lang", "does not know the language 'xx'"),
        ({"src_lang": "\ud800", "tgt_lang": "de"}, None, "lone surrogate"),
    ],
)
def test_a_language_that_is_not_known_is_named(rewriter: Any, pair: Any, field: str | None, words: str) -> None:
    [refused] = rewriter("translation", tiny.mbart).run(ROWS[:1], **pair)
    assert refused.code is ErrorCode.INPUT_REJECTED
    assert refused.field == field
    assert words in refused.message


def test_t5_is_asked_to_translate_in_its_own_words(rewriter: Any) -> None:
    write = rewriter("translation", tiny.t5)
    expected = [write.plain("translate English to German: " + text) for text in TEXTS]
    assert write.texts(ROWS, src_lang="en", tgt_lang="de", max_new_tokens=16) == expected
    assert write.texts(ROWS, prefix="", max_new_tokens=16) == [write.plain(text) for text in TEXTS]


def test_a_model_of_one_pair_needs_no_languages(rewriter: Any) -> None:
    write = rewriter("translation", tiny.marian)
    assert write.texts(ROWS, max_new_tokens=16) == [write.plain(text) for text in TEXTS]


def test_marian_with_its_own_tokenizer_is_the_librarys_and_knows_its_pair(rewriter: Any) -> None:
    write = rewriter("translation", tiny.pieced_marian)
    expected = [write.plain(text) for text in TEXTS]
    assert write.texts(ROWS, max_new_tokens=16) == expected
    assert write.texts(ROWS, max_new_tokens=16, src_lang="en", tgt_lang="de") == expected
    [refused] = write.run(ROWS[:1], src_lang="en", tgt_lang="fr")
    assert refused.field == "parameters.tgt_lang"
    assert refused.message.startswith("This model translates from en into de.")


def test_marian_of_many_languages_is_told_which_before_the_text(rewriter: Any) -> None:
    def many(folder: Path) -> Path:
        return tiny.pieced_marian(folder, "fra", "spa")

    write = rewriter("translation", many)
    assert write.texts(ROWS, max_new_tokens=16, tgt_lang="fra") == [write.plain(">>fra<< " + text) for text in TEXTS]
    [refused] = write.run(ROWS[:1])
    assert "needs tgt_lang. It knows fra, spa." in refused.message


# --- refused, drawn, dropped --------------------------------------------------------------------------------


@pytest.mark.parametrize("task", NAMES)
def test_too_long_is_refused_in_words_or_cut(rewriter: Any, task: str) -> None:
    write = rewriter(task, tiny.MAKERS[task])
    long, short = write.run([{"text": "bread " * 200}, ROWS[0]], max_new_tokens=4)
    assert long.code is ErrorCode.INPUT_TOO_LONG
    assert not isinstance(short, InputError)
    [cut] = write.run([{"text": "bread " * 200}], max_new_tokens=4, truncation=True)
    assert not isinstance(cut, InputError)


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"min_new_tokens": 9, "max_new_tokens": 8}, "parameters.min_new_tokens"),
        ({"max_new_tokens": 128}, "parameters.max_new_tokens"),
    ],
)
def test_more_than_the_model_can_write_is_refused(rewriter: Any, parameters: dict[str, Any], field: str) -> None:
    [refused] = rewriter("text2text-generation", tiny.bart).run(ROWS[:1], **parameters)
    assert refused.field == field


def test_a_model_with_room_for_less_than_is_usual_writes_that(rewriter: Any) -> None:
    write = rewriter("text2text-generation", tiny.bart)
    [row] = write.prepare(ROWS[:1])
    assert row.length == len(write.tokenizer(TEXTS[0])["input_ids"]) + 127
    assert write.texts(ROWS[:1]) == [write.plain(TEXTS[0], max_new_tokens=127)]


@pytest.mark.parametrize("parameters", [{"temperature": 1.4}, {"top_k": 5, "num_beams": 1}, {"do_sample": True}])
def test_a_drawn_text_depends_on_its_seed_and_not_on_its_neighbors(rewriter: Any, parameters: dict[str, Any]) -> None:
    write = rewriter("text2text-generation", tiny.bart)
    together = write.texts(ROWS, Context(job_ids=["a", "b", "c", "d"]), max_new_tokens=12, **parameters)
    alone = [
        write.texts([row], Context(job_ids=[job_id]), max_new_tokens=12, **parameters)[0]
        for row, job_id in zip(ROWS, "abcd", strict=True)
    ]
    assert together == alone
    assert together != write.texts(ROWS, Context(job_ids=["e", "f", "g", "h"]), max_new_tokens=12, **parameters)
    assert len(set(write.texts(ROWS[:1] * 2, max_new_tokens=12, seed=3, **parameters))) == 1


def test_nan_stays_with_its_row(rewriter: Any) -> None:
    def poisoned(folder: Path) -> Path:
        tiny.bart(folder, tie_word_embeddings=False)
        model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder)
        [token] = transformers.AutoTokenizer.from_pretrained(folder)(" cold", add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            model.get_encoder().embed_tokens.weight[token] = float("nan")
        model.save_pretrained(folder)
        return folder

    write = rewriter("summarization", poisoned)
    first, second = write.run([{"text": "so cold"}, ROWS[0]], max_new_tokens=4)
    assert first.code is ErrorCode.RESULT_NOT_FINITE
    assert not isinstance(second, InputError)


def test_who_waits_is_asked_after_and_an_unwanted_text_ends(rewriter: Any) -> None:
    write = rewriter("text2text-generation", tiny.bart)
    passes: list[int] = []
    listening = write.loaded._loaded.model.get_decoder().register_forward_pre_hook(lambda *_: passes.append(1))
    listener = Listener("a", "b", patience=1)
    write.run(ROWS[:2], listener.context, max_new_tokens=64, min_new_tokens=60, num_beams=1)
    listening.remove()
    assert len(passes) == 16


@pytest.mark.parametrize("task", NAMES)
def test_a_checkpoint_that_only_reads_says_what_to_choose(tmp_path: Path, task: str) -> None:
    with pytest.raises(CheckpointError, match=f"cannot do {task}"):
        Rewriter(task, tiny.classifier(tmp_path / "checkpoint"), tmp_path)
