"""Forms: made from the catalogue for every task, checked like any request, and never losing what was written."""

from __future__ import annotations

import base64
import json

import pytest
from flask import Flask
from flask.testing import FlaskClient

from contract.pipelines import PipelineSpec
from contract.tasks import CATALOGUE
from contract.times import utc_now
from models.pipelines import sync_pipelines
from tests.integration.api.conftest import PIPELINES
from tests.integration.api.pages import Page, get, post

SPECS = [
    *PIPELINES,
    *(PipelineSpec(f"t-{name}", name, model="tiny", defaults={}) for name in CATALOGUE),
    PipelineSpec("cutting", "text-classification", model="tiny", defaults={"truncation": True, "top_k": 3}),
]
HOSTILE = "</textarea><script>alert('x')</script>\"'&"


@pytest.fixture
def client(app: Flask, engine) -> FlaskClient:
    sync_pipelines(engine, SPECS, utc_now())
    return app.test_client()


def job_of(client: FlaskClient, answer) -> dict:
    """The job behind the redirect of a form."""
    assert answer.status_code == 303, answer.text
    return client.get(f"/api/v1{answer.headers['Location']}").get_json()


def value_of(page: Page, name: str) -> str:
    """What a control shows."""
    for tag in ("textarea", "select", "input"):
        for element in page.all(tag, name=name):
            # A textarea's first line break belongs to the markup.
            return element.text.removeprefix("\r\n").removeprefix("\n") if tag != "input" else element.attrs["value"]
    raise AssertionError(f"no control {name}\n{page.html}")


@pytest.mark.proves("form")
@pytest.mark.parametrize("task", CATALOGUE)
def test_the_form_asks_for_every_field_with_a_label_and_its_help(client, task):
    page = get(client, f"/pipelines/t-{task}?as=text" if task == "text-generation" else f"/pipelines/t-{task}")

    schema = CATALOGUE[task]
    others = {choice["required"][0] for choice in schema.inputs.get("oneOf", ())} - {schema.main_field}
    asked = {f"inputs.{name}" for name in schema.inputs["properties"] if name not in others}
    asked |= {f"parameters.{name}" for name in schema.parameters["properties"]}
    for name in asked:
        control = next(e for e in page.elements if e.attrs.get("name") in (name, f"{name}.0"))
        assert page.has("label", for_=control.attrs["id"]), name
        assert all(page.has("div", id=part) for part in control.attrs["aria-describedby"].split()), name
    assert page.has("a", href=f"/batches/new?pipeline=t-{task}")


@pytest.mark.proves("form")
@pytest.mark.parametrize("task", CATALOGUE)
def test_the_example_of_every_task_can_be_sent_as_it_is(client, task):
    page = get(client, f"/pipelines/t-{task}?example=1")
    pairs = [
        (e.attrs["name"], value_of(page, e.attrs["name"])) for e in page.all("textarea") if "." in e.attrs["name"]
    ]
    sent = {name: value for name, value in pairs if "messages" not in name and value}
    if task == "text-generation":
        sent = {"inputs.messages.role": "user", "inputs.messages.content": page.all("textarea")[1].text.strip()}
    numbers = {e.attrs["name"]: e.attrs["value"] for e in page.all("input", type="text") if e.attrs.get("value")}

    ticked = {
        e.attrs["name"]: e.attrs.get("value", "y") for e in page.all("input", type="checkbox") if "checked" in e.attrs
    }
    hidden = {e.attrs["name"]: e.attrs["value"] for e in page.all("input", type="hidden") if "." in e.attrs["name"]}

    job = job_of(client, post(client, f"/pipelines/t-{task}", sent | numbers | ticked | hidden))

    assert {"inputs": _sent(client, job["inputs"]), "parameters": job["parameters"]} == dict(CATALOGUE[task].example)


def _sent(client: FlaskClient, inputs: dict) -> dict:
    """Inputs with the bytes of each stored file, as the catalogue's example has them."""

    def bytes_of(value):
        if isinstance(value, list):
            return [bytes_of(one) for one in value]
        if "file" not in value:
            return value
        return {"data": base64.b64encode(client.get(value["file"]["url"]).data).decode()}

    return {name: bytes_of(value) for name, value in inputs.items()}


def test_typed_values_become_what_the_schema_asks_for(client):
    data = {
        "inputs.text": "two\r\nlines",
        "parameters.candidate_labels": "good, bad",
        "parameters.multi_label": "y",
        "parameters.hypothesis_template": "It is {}.",
    }
    job = job_of(client, post(client, "/pipelines/labels", data))

    assert job["inputs"] == {"text": "two\nlines"}
    assert job["parameters"] == {
        "candidate_labels": ["good", "bad"],
        "multi_label": True,
        "hypothesis_template": "It is {}.",
    }


def test_sentences_are_parted_by_lines_and_never_by_their_commas(client):
    data = {"inputs.source_sentence": "Hello, you.", "inputs.sentences": "Good day, sir.\r\n\r\n[sic] Bye."}

    job = job_of(client, post(client, "/pipelines/t-sentence-similarity", data))

    assert job["inputs"]["sentences"] == ["Good day, sir.", "[sic] Bye."]


def test_an_unticked_box_says_false_where_the_pipeline_says_true(client):
    assert get(client, "/pipelines/cutting").one("input", name="parameters.truncation").attrs.get("checked") == ""

    unticked = job_of(client, post(client, "/pipelines/cutting", {"inputs.text": "a"}))
    ticked = job_of(client, post(client, "/pipelines/cutting", {"inputs.text": "a", "parameters.truncation": "y"}))

    assert unticked["parameters"] == {"truncation": False}
    assert ticked["parameters"] == {}


def test_a_choice_without_default_has_three_answers(client):
    path = "/pipelines/t-text-generation?as=text"
    for written, sent in (("", {}), ("true", {"do_sample": True}), ("false", {"do_sample": False})):
        # A browser sends the box that the form shows ticked.
        data = {"inputs.text": "a", "parameters.do_sample": written, "parameters.skip_special_tokens": "y"}
        job = job_of(client, post(client, path, data))
        assert job["parameters"] == sent


def test_the_pipelines_own_default_is_shown_where_nothing_is_written(client):
    assert get(client, "/pipelines/cutting").one("input", name="parameters.top_k").attrs["placeholder"] == "3"


def test_a_wrong_number_is_refused_beside_its_field_and_everything_written_is_kept(client):
    data = {"inputs.text": HOSTILE, "parameters.top_k": "many", "parameters.function_to_apply": "sigmoid"}
    answer = post(client, "/pipelines/fake", data)
    page = Page(answer.text)

    assert answer.status_code == 422
    assert page.one("div", id="parameters-top_k-wrong").text == "This must be a whole number or null."
    assert page.one("input", name="parameters.top_k").attrs["value"] == "many"
    assert page.one("input", name="parameters.top_k").attrs["aria-invalid"] == "true"
    assert page.one("input", name="parameters.top_k").attrs.get("autofocus") == ""
    assert page.one("textarea", name="inputs.text").text.strip() == HOSTILE
    assert page.one("option", selected="").attrs["value"] == "sigmoid"
    assert page.has("details", open="")
    assert page.one("div", role="alert")
    assert not page.has("script", src="")
    assert "<script>alert" not in answer.text


def test_what_is_needed_and_missing_is_named_in_the_order_of_the_form(client):
    answer = post(client, "/pipelines/labels", {"inputs.text": "  \r\n ", "parameters.candidate_labels": ""})
    page = Page(answer.text)

    assert answer.status_code == 422
    assert page.one("div", id="inputs-text-wrong").text == "This is needed."
    assert page.one("div", id="parameters-candidate_labels-wrong").text == "This is needed."
    assert page.one("textarea", name="inputs.text").attrs.get("autofocus") == ""


def test_one_bad_entry_of_a_list_is_named_by_its_place(client):
    data = {"inputs.text": "a", "parameters.stop": "x\n" + "y" * 201}
    page = Page(post(client, "/pipelines/t-text-generation?as=text", data).text)

    assert page.one("div", id="parameters-stop-wrong").text == "Entry 2 must have at most 200 characters."


def test_a_conversation_is_sent_without_its_empty_turns(client):
    data = {
        "inputs.messages.role": ["system", "user", "assistant", "user"],
        "inputs.messages.content": ["", "Hi", "Hello!", "And now?"],
    }
    job = job_of(client, post(client, "/pipelines/chat", data))

    assert [turn["role"] for turn in job["inputs"]["messages"]] == ["user", "assistant", "user"]


def test_an_empty_conversation_is_refused_beside_the_conversation(client):
    answer = post(client, "/pipelines/chat", {"inputs.messages.role": "user", "inputs.messages.content": " "})

    assert answer.status_code == 422
    assert Page(answer.text).one("div", id="inputs-messages-wrong").text == "This is needed."


def test_continue_a_text_and_chat_are_two_links_to_two_forms(client):
    chat, text = get(client, "/pipelines/chat?as=messages"), get(client, "/pipelines/chat?as=text")

    assert chat.has("textarea", name="inputs.messages.content")
    assert not chat.has("textarea", name="inputs.text")
    assert text.has("textarea", name="inputs.text")
    assert not text.has("textarea", name="inputs.messages.content")
    assert {link.text for link in text.all("a", aria_current="page")} == {"Pipelines", "Continue a text"}


def test_a_form_without_its_token_is_refused_and_keeps_what_was_written(client):
    answer = client.post("/pipelines/fake", data={"inputs.text": "kept"})

    assert answer.status_code == 422
    page = Page(answer.text)
    assert "open for a long time" in page.text
    assert page.one("textarea", name="inputs.text").text.strip() == "kept"
    assert client.get("/api/v1/jobs").get_json()["data"] == []


def test_an_earlier_job_fills_the_form_again(client, submit):
    parameters = {"top_k": 2, "function_to_apply": "none", "truncation": True}
    job = submit("once more", parameters=parameters)
    page = get(client, f"/pipelines/fake?job={job['id']}")

    assert page.one("textarea", name="inputs.text").text.strip() == "once more"
    assert page.one("input", name="parameters.top_k").attrs["value"] == "2"
    assert page.one("option", selected="").attrs["value"] == "none"
    assert page.one("input", name="parameters.truncation").attrs.get("checked") == ""


def test_a_job_of_another_pipeline_fills_nothing(client, submit):
    job = submit("not for you")

    assert get(client, f"/pipelines/labels?job={job['id']}").one("textarea", name="inputs.text").text.strip() == ""


def test_a_list_that_lines_cannot_tell_comes_back_as_json(client, submit):
    parameters = {"candidate_labels": ["good, really good"]}
    job = submit("a", pipeline="labels", parameters=parameters)

    shown = get(client, f"/pipelines/labels?job={job['id']}").one("textarea", name="parameters.candidate_labels").text

    again = post(client, "/pipelines/labels", {"inputs.text": "a", "parameters.candidate_labels": shown.strip()})
    assert job_of(client, again)["parameters"] == parameters


def test_the_conversation_goes_on_with_the_answer_in_it(client, oven, submit):
    said = [{"role": "user", "content": "Hi"}]
    job = client.post("/api/v1/jobs", json={"pipeline": "chat", "inputs": {"messages": said}}).get_json()
    answer = {"message": {"role": "assistant", "content": "Hello!"}, "finish_reason": "stop", "usage": {}}
    oven.bake(answer, pipeline="chat")

    page = get(client, f"/pipelines/chat?job={job['id']}&continue=1")

    turns = [turn.text.strip() for turn in page.all("textarea", name="inputs.messages.content")]
    assert turns == ["", "Hi", "Hello!", ""]


def test_the_page_shows_the_same_request_for_programs(client):
    page = get(client, "/pipelines/fake?example=1")
    curl = page.one("pre", id="snippet-curl").text

    body = json.loads(curl[curl.index("-d '") + 4 : -1])
    assert body["pipeline"] == "fake"
    assert body["inputs"] == CATALOGUE["text-classification"].example["inputs"]
    compile(page.one("pre", id="snippet-python").text, "snippet", "exec")


def test_an_apostrophe_does_not_end_the_curl_command(client, submit):
    job = submit("it's here")
    assert """it'"'"'s here""" in get(client, f"/jobs/{job['id']}").one("pre", id="snippet-curl").text


def test_a_pipeline_nobody_offers_is_not_found(client):
    answer = client.get("/pipelines/none", headers={"Accept": "text/html"})

    assert answer.status_code == 404
    assert "There is no such pipeline." in Page(answer.text).text


def test_a_form_that_is_too_large_is_refused_with_a_page(change):
    from web.app import create_app

    client = create_app(change("web", max_json_bytes=2_000)).test_client()
    answer = post(client, "/pipelines/fake", {"inputs.text": "x" * 3_000})

    assert answer.status_code == 413
    assert "Too large" in Page(answer.text).text


@pytest.mark.parametrize(
    ("written", "table"),
    [
        ('Town,Loaves\r\nParis,300\r\n"Lyon, old",120', {"Town": ["Paris", "Lyon, old"], "Loaves": ["300", "120"]}),
        ("Town\tLoaves\nParis, the city\t300", {"Town": ["Paris, the city"], "Loaves": ["300"]}),
        ("Town;Loaves\n\nParis", {"Town": ["Paris"], "Loaves": [""]}),
        ('{"Town": ["Paris"]}', {"Town": ["Paris"]}),
    ],
    ids=["commas", "tabs", "semicolons", "JSON"],
)
def test_a_table_is_written_as_lines(client, written, table):
    data = {"inputs.query": "How many?", "inputs.table": written}
    job = job_of(client, post(client, "/pipelines/t-table-question-answering", data))
    assert job["inputs"]["table"] == table

    again = get(client, f"/pipelines/t-table-question-answering?job={job['id']}")
    assert (
        job_of(
            client,
            post(
                client,
                "/pipelines/t-table-question-answering",
                {"inputs.query": "How many?", "inputs.table": value_of(again, "inputs.table")},
            ),
        )["inputs"]["table"]
        == table
    )


@pytest.mark.parametrize(
    "written",
    ["a,b\n1,2,3", "a,a\n1,2", "{", "[1]", "a,b", "a,b\r1,2", "a\n" + "x" * 140_000],
    ids=["wide", "twice", "no JSON", "list", "no rows", "carriage return", "endless"],
)
def test_what_is_no_table_is_refused_beside_the_field(client, written):
    data = {"inputs.query": "How many?", "inputs.table": written}
    answer = post(client, "/pipelines/t-table-question-answering", data)
    assert answer.status_code == 422
    page = Page(answer.text)
    assert page.has("div", id="inputs-table-wrong")
    assert value_of(page, "inputs.table") == written
