"""Text generation on a tiny checkpoint: the library's own texts, alone and beside others; and the traps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract.errors import ErrorCode
from tests import tiny
from tests.integration.beside_library import Listener, Oven, ovens_in

pytestmark = pytest.mark.real_model

PROMPTS = ["the oven was", "a baker in paris puts the bread into", "x"]
CHAT = {"messages": [{"role": "user", "content": "what is the capital of france"}]}


@pytest.fixture(scope="module")
def oven(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Oven]:
    return ovens_in(tmp_path_factory.mktemp("checkpoints"))


def test_greedy_text_equals_the_pipeline_alone_and_in_a_batch(oven: Any) -> None:
    write = oven("text-generation")
    expected = [
        write.library(prompt, do_sample=False, max_new_tokens=20, return_full_text=False)[0] for prompt in PROMPTS
    ]
    found = write.together_and_alone([{"text": prompt} for prompt in PROMPTS], max_new_tokens=20)
    assert found == expected


def test_full_text_begins_with_the_prompt(oven: Any) -> None:
    write = oven("text-generation")
    new = write.one(PROMPTS[0], max_new_tokens=5)["generated_text"]
    full = write.one(PROMPTS[0], max_new_tokens=5, return_full_text=True)["generated_text"]
    assert full == PROMPTS[0] + new


def test_a_chat_equals_the_pipeline_and_counts_its_tokens(oven: Any) -> None:
    write = oven("text-generation")
    library = write.library(CHAT["messages"], do_sample=False, max_new_tokens=12)[0]["generated_text"][-1]
    [found] = write.run([CHAT], max_new_tokens=12)
    assert found["message"] == library
    usage = found["usage"]
    assert usage["completion_tokens"] == 12
    assert usage["total_tokens"] == usage["prompt_tokens"] + 12
    assert found["finish_reason"] == "length"


def test_a_stop_string_ends_the_text_before_it(oven: Any) -> None:
    write = oven("text-generation")
    text = write.run([CHAT], max_new_tokens=30)[0]["message"]["content"]
    stop = text[10:13]
    listener = Listener("j")
    [found] = write.run([CHAT], listener.context, max_new_tokens=30, stop=["never there", stop])
    assert found["message"]["content"] == text[: text.index(stop)]
    assert found["finish_reason"] == "stop"
    assert listener.texts["j"] == found["message"]["content"]


def test_what_is_published_adds_up_to_the_result_of_each_row(oven: Any) -> None:
    listener = Listener("one", "two", "three")
    rows = [{"text": prompt} for prompt in PROMPTS]
    found = oven("text-generation").run(rows, listener.context, max_new_tokens=60)
    assert list(listener.texts.values()) == [row["generated_text"] for row in found]
    assert len(listener.pieces) > 6


def test_an_unwanted_row_stops_early(oven: Any) -> None:
    listener = Listener("j", patience=1)
    [found] = oven("text-generation").run([CHAT], listener.context, max_new_tokens=60)
    assert found["usage"]["completion_tokens"] == 16


def test_sampling_repeats_with_a_seed_and_varies_by_job(oven: Any) -> None:
    write = oven("text-generation")
    row = {"text": PROMPTS[0]}
    hot = {"max_new_tokens": 12, "temperature": 1.5}
    one, two = write.run([row, row], Listener("one", "two").context, **hot)
    again, other = write.run([row, row], Listener("one", "three").context, **hot)
    assert one == again
    assert one != two != other
    assert write.run([row], **hot, seed=3) == write.run([row], Listener("x").context, **hot, seed=3)


def test_a_sampled_row_does_not_depend_on_its_neighbors(oven: Any) -> None:
    oven("text-generation").together_and_alone(
        [{"text": text} for text in PROMPTS], top_p=0.9, seed=5, max_new_tokens=9
    )


@pytest.mark.parametrize(
    "parameters", [{"temperature": 0}, {"do_sample": False, "top_k": 5}, {"temperature": 0, "do_sample": True}]
)
def test_no_chance_is_greedy(oven: Any, parameters: dict[str, Any]) -> None:
    write = oven("text-generation")
    greedy = write.one(PROMPTS[0], max_new_tokens=12)
    assert write.one(PROMPTS[0], max_new_tokens=12, **parameters) == greedy


def test_least_and_most_new_tokens_must_agree(oven: Any) -> None:
    refused = oven("text-generation").one("x", min_new_tokens=9, max_new_tokens=8)
    assert refused.field == "parameters.min_new_tokens"


def test_prompt_and_answer_must_fit_together(oven: Any) -> None:
    write = oven("text-generation")
    assert write.one("x", max_new_tokens=128).field == "parameters.max_new_tokens"
    prompt = "bread " * 30
    refused = write.one(prompt, max_new_tokens=100)
    assert "for both" in refused.message
    [row] = write.prepare([{"text": prompt}], max_new_tokens=100, truncation=True)
    tokens = write.library.tokenizer(prompt)["input_ids"]
    assert row.payload.tokens == tokens[-28:]
    assert row.length == 128


def test_roles_that_the_template_refuses_are_the_callers_fault(oven: Any) -> None:
    late = {"messages": [*CHAT["messages"], {"role": "system", "content": "late"}]}
    refused, good = oven("text-generation").run([late, CHAT], max_new_tokens=4)
    assert refused.code is ErrorCode.INPUT_REJECTED
    assert "message" in good


def test_without_a_template_messages_are_refused_and_text_is_written(oven: Any) -> None:
    def plain_writer(folder: Path) -> Path:
        return tiny.writer(folder, chat=False)

    write = oven("text-generation", plain_writer)
    refused, good = write.run([CHAT, {"text": "x"}], max_new_tokens=4)
    assert "no chat template" in refused.message
    assert "generated_text" in good
