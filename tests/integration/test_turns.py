"""An answer that is begun is gone on with as the library does it; marks between words are shown to who asks."""

from __future__ import annotations

from typing import Any

import pytest

from contract.errors import InputError
from tests import tiny
from tests.integration.test_transformers_backend import Oven
from tests.tiny import conversing

pytestmark = pytest.mark.real_model

ASKED = {"role": "user", "content": "what is it"}
BEGUN = {"messages": [ASKED, {"role": "assistant", "content": "the bread is"}]}
GO_ON = {"continue_final_message": True, "max_new_tokens": 9}


@pytest.fixture(scope="module", params=["text-generation", "image-text-to-text"])
def oven(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Oven:
    folder = tmp_path_factory.mktemp(request.param)
    make = {"text-generation": tiny.writer, "image-text-to-text": conversing.seer}[request.param]
    return Oven(request.param, make(folder / "model"), folder / "cache")


def library(oven: Oven, messages: list[dict[str, Any]]) -> str:
    """What it adds to the last of them."""
    more = {"max_new_tokens": 9, "continue_final_message": True, "return_full_text": False}
    if oven.spec.task == "text-generation":
        [found] = oven.library(messages, do_sample=False, **more)
    else:
        parts = [{**said, "content": [{"type": "text", "text": said["content"]}]} for said in messages]
        [found] = oven.library(text=parts, generate_kwargs={"do_sample": False}, **more)
    return str(found["generated_text"])


def test_an_answer_that_is_begun_is_gone_on_with(oven):
    begun, anew = oven.run([BEGUN], **GO_ON)[0], oven.run([BEGUN], max_new_tokens=9)[0]

    assert begun["message"] == {"role": "assistant", "content": library(oven, BEGUN["messages"])}
    assert begun["usage"]["prompt_tokens"] < anew["usage"]["prompt_tokens"]


@pytest.mark.parametrize("row", [{"messages": [ASKED]}, {"text": "the bread is"}], ids=["the user's turn", "a text"])
def test_where_no_answer_is_begun_the_row_is_refused_alone(oven, row):
    refused, good = oven.run([row, BEGUN], **GO_ON)

    assert isinstance(refused, InputError)
    assert refused.field == "parameters.continue_final_message"
    assert "message" in good


def test_marks_between_words_are_left_out_unless_asked_for(oven):
    drawn = {"temperature": 5, "max_new_tokens": 90, "do_sample": True}
    marks = set(oven.library.tokenizer.all_special_tokens) - {oven.library.tokenizer.eos_token}

    for seed in range(20):
        shown, hidden = (
            oven.run([{"text": "a"}], seed=seed, skip_special_tokens=skip, **drawn)[0]["generated_text"]
            for skip in (False, True)
        )
        if found := [mark for mark in marks if mark in shown]:
            assert not any(mark in hidden for mark in found)
            return
    pytest.fail("no mark was drawn")
