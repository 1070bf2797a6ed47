"""An answer that is begun is gone on with as the library does it; marks between words are shown to who asks."""

from __future__ import annotations

from typing import Any

import pytest

from contract.errors import InputError
from tests import tiny
from tests.integration.beside_library import Oven
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


def places(oven: Oven) -> int:
    return int(oven.loaded._task._limit)


def test_who_does_not_say_how_long_gets_an_answer_that_leaves_half_for_the_prompt(oven):
    usual = min(256, places(oven) // 2)
    endless = {"min_new_tokens": usual}
    [found] = oven.run([{"messages": [ASKED]}], **endless)
    assert found["usage"]["completion_tokens"] == usual
    assert oven.run([{"messages": [ASKED]}], max_new_tokens=usual, **endless) == [found]

    [refused] = oven.run([{"messages": [ASKED]}], max_new_tokens=places(oven))
    assert isinstance(refused, InputError)


TEMPLATE = (
    "{% for tool in tools or [] %}{{ tool.function.name }} {% endfor %}"
    "{% for document in documents or [] %}{{ document.title }} {% endfor %}"
    "{% for message in messages %}<|{{ message.role }}|>"
    "{% if message.content is string %}{{ message.content }}"
    "{% else %}{% for part in message.content %}{{ part.text }}{% endfor %}{% endif %}"
    "{% for call in message.tool_calls %}{{ call.function.name }}{% endfor %}</s>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
BESIDES = {
    "tools": [{"type": "function", "function": {"name": "warm_the_oven", "parameters": {"type": "object"}}}],
    "documents": [{"title": "bread", "text": "a loaf is baked"}],
}
CALLED = [
    ASKED,
    {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "warm_the_oven", "arguments": {}}}]},
    {"role": "tool", "content": "it is warm", "name": "warm_the_oven"},
]


@pytest.fixture
def told(oven: Oven, monkeypatch: pytest.MonkeyPatch) -> Oven:
    """An oven whose model was trained with tools and documents."""
    task, library = oven.loaded._task, oven.library
    for one in (getattr(task, "_processor", task._tokenizer), getattr(library, "processor", None), library.tokenizer):
        if one is not None:
            monkeypatch.setattr(one, "chat_template", TEMPLATE)
    return oven


@pytest.mark.parametrize("named", [["tools"], ["documents"], ["tools", "documents"]], ids=str)
def test_tools_and_documents_reach_the_template_as_the_librarys(told, named):
    besides = {name: BESIDES[name] for name in named}
    [found] = told.run([{"messages": CALLED}], max_new_tokens=9, **besides)
    [bare] = told.run([{"messages": CALLED}], max_new_tokens=9)
    more = {"max_new_tokens": 9, "return_full_text": False, **besides}
    if told.spec.task == "text-generation":
        [expected] = told.library(CALLED, do_sample=False, **more)
    else:
        [expected] = told.library(text=CALLED, generate_kwargs={"do_sample": False}, **more)

    assert found["message"]["content"] == expected["generated_text"]
    assert found["usage"]["prompt_tokens"] > bare["usage"]["prompt_tokens"]


@pytest.mark.parametrize("name", BESIDES)
def test_what_a_template_would_drop_without_a_word_is_refused(oven, name):
    [refused] = oven.run([{"messages": [ASKED]}], max_new_tokens=9, **{name: BESIDES[name]})
    assert isinstance(refused, InputError)
    assert refused.field == f"parameters.{name}"
    assert refused.message == f"This model's chat template takes no {name}: leave them out."


def test_tools_that_a_template_cannot_read_harm_no_process(told):
    odd, half, text = (
        told.run([row], max_new_tokens=9, tools=[tool])[0]
        for row, tool in (
            ({"messages": [ASKED]}, {"function": {"name": {"so": 1}}}),
            ({"messages": [ASKED]}, {"function": {"name": "\ud800"}}),
            ({"text": "a"}, BESIDES["tools"][0]),
        )
    )
    assert not isinstance(odd, InputError)
    assert isinstance(half, InputError)
    assert isinstance(text, InputError)
    assert text.field == "parameters.tools"
