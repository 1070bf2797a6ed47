"""Text generation over real architectures: together as alone as in the library, and rows leave when they are over."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from contract.errors import InputError
from contract.pipelines import PipelineSpec
from tests import tiny
from worker.backends.backend import Context, LoadedPipeline, Prepared, nothing_recent

pytestmark = pytest.mark.real_model

PROMPTS = [
    "the oven was",
    "a baker in paris puts the bread into",
    "x",
    "for ten years this was the train to lyon that",
]
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": {"num_attention_heads": 4, "num_key_value_heads": 2},
    # Absolute positions, learned.
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 128},
    # Positions from the mask alone.
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 2},
    # Keys and values of the last tokens only.
    "mistral": {"num_attention_heads": 4, "num_key_value_heads": 2, "sliding_window": 8, "head_dim": 8},
    # A state in place of keys and values, and both side by side.
    "mamba": {"state_size": 4},
    "lfm2": {"num_attention_heads": 4, "num_key_value_heads": 2, "layer_types": ["conv", "full_attention"]},
}


class Writer:
    def __init__(self, folder: Path) -> None:
        from worker.backends.device import configure
        from worker.backends.registry import backend_for

        configure(1, "cpu")
        self.folder = folder
        self.spec = PipelineSpec(name="writer", task="text-generation", model=str(folder))
        self.loaded: LoadedPipeline = backend_for(self.spec).load(
            self.spec, device="cpu", cache=folder, recent=nothing_recent
        )

    def write(self, texts: list[str], context: Context | None = None, **parameters: Any) -> list[str]:
        effective = self.spec.effective(parameters)
        rows = self.loaded.prepare([{"text": text} for text in texts], effective)
        good = [row for row in rows if isinstance(row, Prepared)]
        assert len(good) == len(texts)
        return [answer["generated_text"] for answer in self.loaded.bake(good, effective, context or Context())]

    def library(self, text: str, **parameters: Any) -> str:
        tokens = self.tokenizer(text, return_tensors="pt")
        with torch.inference_mode():
            written = self.model.generate(**tokens, do_sample=False, **parameters)
        return str(self.tokenizer.decode(written[0, tokens["input_ids"].shape[1] :], skip_special_tokens=True))

    @functools.cached_property
    def model(self) -> Any:
        import transformers

        return transformers.AutoModelForCausalLM.from_pretrained(self.folder).eval()

    @functools.cached_property
    def tokenizer(self) -> Any:
        import transformers

        return transformers.AutoTokenizer.from_pretrained(self.folder)


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Writer]:
    @functools.cache
    def get(architecture: str) -> Writer:
        folder = tmp_path_factory.mktemp(architecture) / "checkpoint"
        return Writer(tiny.writer_of(folder, architecture, **ARCHITECTURES[architecture]))

    return get


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_text_is_the_librarys_alone_and_beside_longer_and_shorter_ones(architecture: str, writer: Any) -> None:
    write = writer(architecture)
    expected = [write.library(prompt, max_new_tokens=24) for prompt in PROMPTS]
    assert [write.write([prompt], max_new_tokens=24)[0] for prompt in PROMPTS] == expected
    assert write.write(PROMPTS, max_new_tokens=24) == expected


@pytest.mark.parametrize(
    "parameters",
    [
        {"repetition_penalty": 1.6},
        {"min_new_tokens": 20},
        {"bad_words": ["e", "the bread"]},
        *({"no_repeat_ngram_size": size} for size in (1, 2, 3)),
    ],
)
def test_what_changes_the_scores_changes_them_as_in_the_library(parameters: dict[str, Any], writer: Any) -> None:
    write = writer("llama")
    told = dict(parameters)
    if words := told.pop("bad_words", None):
        spelled = [text for word in words for text in (word, f" {word}")]
        told["bad_words_ids"] = write.tokenizer(spelled, add_special_tokens=False)["input_ids"]
    expected = [write.library(prompt, max_new_tokens=24, **told) for prompt in PROMPTS]
    assert write.write(PROMPTS, max_new_tokens=24, **parameters) == expected


@pytest.mark.parametrize("architecture", ["llama", "mistral", "gpt2"])
def test_rows_that_are_over_leave_and_the_rest_write_the_same(architecture: str, writer: Any) -> None:
    write = writer(architecture)
    whole = write.write(PROMPTS, max_new_tokens=24)
    # A stop string that only one row writes, early.
    stop = next(
        text[at : at + 3]
        for text in whole
        for at in range(2, 8)
        if sum(text[at : at + 3] in other for other in whole) == 1
    )
    done: dict[str, Any] = {}
    passes: list[int] = []
    listening = write.loaded._loaded.model.register_forward_pre_hook(
        lambda _module, _args, given: passes.append(len(given["input_ids"])), with_kwargs=True
    )
    context = Context(job_ids=[str(n) for n in range(4)], done=done.__setitem__)
    found = write.write(PROMPTS, context, max_new_tokens=24, stop=[stop])
    listening.remove()

    assert found == [text.split(stop)[0] for text in whole]
    assert [found[int(job_id)] for job_id in done] == [answer["generated_text"] for answer in done.values()]
    [short] = done
    assert stop in whole[int(short)]
    assert passes[0] == 4
    assert passes[-1] == 3
    assert len(passes) == 24


def test_a_text_that_nobody_wants_any_more_leaves_and_is_not_handed_in(writer: Any) -> None:
    write = writer("llama")
    asked: list[list[str]] = []

    def wanted(job_ids: Any) -> set[str]:
        asked.append(list(job_ids))
        return set(job_ids) - {"1"}

    done: dict[str, Any] = {}
    context = Context(job_ids=[str(n) for n in range(4)], wanted=wanted, done=done.__setitem__)
    found = write.write(PROMPTS, context, max_new_tokens=24)
    whole = write.write(PROMPTS, max_new_tokens=24)

    assert asked[0] == ["0", "1", "2", "3"]
    assert asked[1] == ["0", "2", "3"]
    assert "1" not in done
    assert [found[0], *found[2:]] == [whole[0], *whole[2:]]
    assert len(found[1]) < len(whole[1])


@pytest.mark.parametrize(
    "parameters",
    [
        {"temperature": 1.3},
        {"top_k": 5},
        {"top_p": 0.6, "temperature": 2.0},
        {"typical_p": 0.5},
        {"min_p": 0.2},
        {"top_h": 0.6, "epsilon_cutoff": 0.001, "eta_cutoff": 0.002},
        {"do_sample": True},
    ],
)
def test_a_drawn_text_depends_on_its_seed_and_not_on_its_neighbors(parameters: dict[str, Any], writer: Any) -> None:
    write = writer("llama")
    together = write.write(PROMPTS, Context(job_ids=["a", "b", "c", "d"]), max_new_tokens=16, **parameters)
    alone = [
        write.write([prompt], Context(job_ids=[job_id]), max_new_tokens=16, **parameters)[0]
        for prompt, job_id in zip(PROMPTS, "abcd", strict=True)
    ]
    assert together == alone
    assert together != write.write(PROMPTS, Context(job_ids=["e", "f", "g", "h"]), max_new_tokens=16, **parameters)


@pytest.mark.parametrize(
    ("parameters", "repeats"),
    [({}, True), ({"temperature": 0}, True), ({"do_sample": True, "seed": 1}, False), ({"top_p": 0.9}, False)],
)
def test_a_drawn_text_is_no_answer_to_an_equal_row(parameters: dict[str, Any], repeats: bool, writer: Any) -> None:
    model = writer("llama")
    assert model.loaded.repeats({"text": "the oven was"}, model.spec.effective(parameters)) is repeats


def test_tokens_are_drawn_as_often_as_their_share_says() -> None:
    from random import Random

    from worker.backends.choosing import choice

    choose = choice({"top_k": 3}, frozenset())
    scores = torch.tensor([[0.5, 0.2, 0.001, 0.3]]).log().repeat(4000, 1)
    dice = [Random(seed) for seed in range(4000)]
    tokens = torch.zeros(4000, 1, dtype=torch.long)
    drawn = choose.next_tokens(tokens, torch.ones_like(tokens), scores, written=0, dice=dice)
    assert [drawn.count(token) / 4000 for token in range(4)] == pytest.approx([0.5, 0.2, 0.0, 0.3], abs=0.03)


def test_memory_of_a_token_is_what_its_keys_and_values_take(writer: Any) -> None:
    # 2 layers, keys and values, 2 heads of 8 float32.
    assert writer("llama").loaded.token_bytes == 2 * 2 * 2 * 8 * 4


def beamed(writer: Writer, text: str, several: int, **parameters: Any) -> list[str]:
    """What the library writes in beams for one text by itself."""
    tokens = writer.tokenizer(text, return_tensors="pt")
    with torch.inference_mode():
        written = writer.model.generate(
            **tokens, do_sample=False, num_return_sequences=several, max_new_tokens=16, **parameters
        )
    return [
        str(writer.tokenizer.decode(each[tokens["input_ids"].shape[1] :], skip_special_tokens=True))
        for each in written
    ]


def answers(writer: Writer, texts: list[str], context: Context | None = None, **parameters: Any) -> list[list[str]]:
    """All texts of each row."""
    effective = writer.spec.effective({"max_new_tokens": 16, **parameters})
    rows = writer.loaded.prepare([{"text": text} for text in texts], effective)
    found = writer.loaded.bake(rows, effective, context or Context())
    return [[answer["generated_text"], *answer.get("alternatives", [])] for answer in found]


@pytest.mark.parametrize(
    ("architecture", "parameters"),
    [
        ("llama", {"num_beams": 3}),
        ("llama", {"num_beams": 3, "num_return_sequences": 2, "length_penalty": 2.0, "early_stopping": True}),
        ("gpt2", {"num_beams": 2, "num_return_sequences": 2, "no_repeat_ngram_size": 2}),
        ("mamba", {"num_beams": 2}),
    ],
)
def test_beams_are_the_librarys_alone_and_beside_longer_and_shorter_ones(
    architecture: str, parameters: dict[str, Any], writer: Any
) -> None:
    write = writer(architecture)
    several = parameters.get("num_return_sequences", 1)
    steered = {name: value for name, value in parameters.items() if name != "num_return_sequences"}
    expected = [beamed(write, prompt, several, **steered) for prompt in PROMPTS]
    assert answers(write, PROMPTS, **parameters) == expected
    assert answers(write, PROMPTS[:1], **parameters) == expected[:1]


def test_several_drawn_texts_begin_with_the_one_that_is_drawn_alone(writer: Any) -> None:
    write = writer("llama")
    drawn: dict[str, Any] = {"temperature": 1.5, "num_return_sequences": 3}
    done: dict[str, Any] = {}
    shown: list[str] = []
    context = Context(
        job_ids=["a", "b", "c", "d"], done=done.__setitem__, publish=lambda job_id, _text: shown.append(job_id)
    )
    together = answers(write, PROMPTS, context, **drawn)
    alone = [
        answers(write, [prompt], Context(job_ids=[job_id]), **drawn)[0]
        for prompt, job_id in zip(PROMPTS, "abcd", strict=True)
    ]
    assert together == alone
    assert all(len(set(each)) == 3 for each in together)
    firsts = write.write(PROMPTS, Context(job_ids=["a", "b", "c", "d"]), max_new_tokens=16, temperature=1.5)
    assert [each[0] for each in together] == firsts
    assert not shown


def test_a_row_of_several_texts_is_handed_in_once_and_whole(writer: Any) -> None:
    write = writer("llama")
    drawn: dict[str, Any] = {"temperature": 1.5, "num_return_sequences": 2, "stop": ["e"], "max_new_tokens": 90}
    handed: list[tuple[str, Any]] = []
    context = Context(job_ids=["a", "b", "c", "d"], done=lambda job_id, answer: handed.append((job_id, answer)))
    found = dict(zip("abcd", answers(write, PROMPTS, context, **drawn), strict=True))
    assert handed
    assert len({job_id for job_id, _ in handed}) == len(handed)
    for job_id, answer in handed:
        assert [answer["generated_text"], *answer["alternatives"]] == found[job_id]


@pytest.mark.parametrize("asked", [{"num_return_sequences": 2}, {"num_beams": 2, "num_return_sequences": 3}], ids=str)
def test_more_texts_than_are_written_are_refused(asked: dict[str, Any], writer: Any) -> None:
    write = writer("llama")
    [refused] = write.loaded.prepare([{"text": "a"}], write.spec.effective(asked))
    assert isinstance(refused, InputError)
    assert refused.field == "parameters.num_return_sequences"
