"""Job pages: every task's result drawn, what a caller wrote never read as HTML, and a fragment with the news."""

from __future__ import annotations

import threading

import pytest
from flask import Flask
from flask.testing import FlaskClient

from contract.errors import HTTP_STATUS, ErrorCode
from contract.jsons import loads
from contract.pipelines import PipelineSpec
from contract.statuses import PipelineState
from contract.tasks import CATALOGUE
from contract.tasks.clips import EXAMPLE_VIDEO
from contract.tasks.media import EXAMPLE_IMAGE
from contract.tasks.recordings import EXAMPLE_AUDIO
from contract.times import utc_now
from models.claims import back_in_line
from models.database import transaction
from models.pipelines import set_state, sync_pipelines
from tests.integration.api.conftest import PIPELINES
from tests.integration.api.pages import Page, get, post
from web.pages.advice import advice

SCRIPT = "<script>alert('x')</script>"
MESSAGE = {"role": "user", "content": f"Hi {SCRIPT}"}
ANSWER = {
    "message": {"role": "assistant", "content": f"Hello {SCRIPT}"},
    "finish_reason": "length",
    "usage": {"prompt_tokens": 7, "completion_tokens": 1234, "total_tokens": 1241},
}
ENTITY = {"entity_group": SCRIPT, "score": 0.9, "word": "Lyon", "start": 3, "end": 7}
IMAGE = {"image": EXAMPLE_IMAGE}
HEARD = {"audio": EXAMPLE_AUDIO}
WATCHED = {"video": EXAMPLE_VIDEO}
SAID = {
    "text": f" Hi {SCRIPT}",
    "language": "fr",
    "chunks": [{"text": " Hi", "timestamp": [62.5, 63]}, {"text": SCRIPT, "timestamp": [None, None]}],
}
ASKED = {**IMAGE, "question": "What is this?"}
BOX = {"xmin": 1, "ymin": 2, "xmax": 11, "ymax": 22}
PAIR = CATALOGUE["keypoint-matching"].example["inputs"]
MATCH = {"keypoint_image_0": {"x": 3, "y": 4}, "keypoint_image_1": {"x": 40, "y": 44}, "score": 0.25}
PICTURE = {"file": {"id": "0" * 32, "content_type": "image/png", "bytes": 77, "url": "/api/v1/files/0/content"}}
SOUND = {"file": {"id": "0" * 32, "content_type": "audio/wav", "bytes": 77, "url": "/api/v1/files/0/content"}}
#: task, inputs, result, and what a reader must find on the page.
RESULTS = [
    ("text-classification", {"text": SCRIPT}, [{"label": SCRIPT, "score": 0.9874}], [SCRIPT, "98.7 %"]),
    ("text-classification", {"text": "a"}, [], ["No label."]),
    ("zero-shot-classification", {"text": "a"}, [{"label": "price", "score": 0.0001}], ["price", "< 0.1 %"]),
    ("token-classification", {"text": "In Lyon " + SCRIPT}, [ENTITY], ["In Lyon", "90.0 %", "1 found"]),
    ("token-classification", {"text": "In Lyon"}, [ENTITY | {"start": None, "end": None}], ["In Lyon", "1 found"]),
    ("token-classification", {"text": "nobody"}, [], ["Nothing was found"]),
    ("token-classification", {"words": ["In", "Lyon", SCRIPT]}, [ENTITY], ["In Lyon", "1 found"]),
    (
        "fill-mask",
        {"text": "a [MASK]"},
        [{"score": 0.5, "token": 1, "token_str": SCRIPT, "sequence": f"a {SCRIPT}"}],
        [f"a {SCRIPT}", "50.0 %"],
    ),
    (
        "fill-mask",
        {"text": "[MASK] [MASK]"},
        [[{"score": 0.5, "token": 1, "token_str": "x", "sequence": "x"}], []],
        ["Gap 1", "Gap 2", "No word."],
    ),
    ("feature-extraction", {"text": "a"}, [0.25, -0.5, 0.0] * 500, ["1,500", "0.25000", "mean of 2"]),
    ("feature-extraction", {"text": "a"}, [[0.5, -0.25]] * 60, ["60", "12 more rows"]),
    (
        "sentence-similarity",
        {"source_sentence": SCRIPT, "sentences": ["far", SCRIPT + "2"]},
        [-0.2, 0.75],
        [SCRIPT, "0.750", "-0.200"],
    ),
    (
        "question-answering",
        {"question": "Where?", "context": f"In Lyon, {SCRIPT}"},
        {"answer": "Lyon", "score": 0.75, "start": 3, "end": 7},
        ["In Lyon, <script>", "75.0 %"],
    ),
    (
        "question-answering",
        {"question": "Where?", "context": "In Lyon"},
        [{"answer": "", "score": 0.5, "start": 0, "end": 0}, {"answer": "Lyon", "score": 0.25, "start": 3, "end": 7}],
        ["does not answer the question", "no answer", "25.0 %"],
    ),
    (
        "table-question-answering",
        {"query": "How many?", "table": {SCRIPT: ["a", SCRIPT], "n": ["1", "2"]}},
        {"answer": "SUM > 1, 2", "coordinates": [[0, 1], [1, 1]], "cells": ["1", "2"], "aggregator": "SUM"},
        ["SUM > 1, 2", SCRIPT],
    ),
    (
        "table-question-answering",
        {"query": "How many?", "table": {"n": ["1"]}},
        {"answer": "", "coordinates": [], "cells": []},
        ["No cell answers this."],
    ),
    ("text2text-generation", {"text": "a"}, {"generated_text": ""}, ["The model wrote nothing."]),
    ("summarization", {"text": "a" * 2000}, {"summary_text": SCRIPT}, [SCRIPT, "27 characters, from 2,000"]),
    ("translation", {"text": "bread"}, {"translation_text": "pain"}, ["pain", "4 characters, from 5"]),
    ("text-generation", {"text": "Once"}, {"generated_text": f" upon {SCRIPT}"}, [f"Once upon {SCRIPT}"]),
    (
        "text-generation",
        {"messages": [MESSAGE]},
        ANSWER,
        ["Hi <script>", "Hello <script>", "1,234", "Longest answer"],
    ),
    ("text-classification", {"text": "a"}, {"an older": "shape"}, ["no picture of its own", "an older"]),
    ("image-classification", IMAGE, [{"label": SCRIPT, "score": 0.5}], [SCRIPT, "image/png, 504 B"]),
    ("image-feature-extraction", IMAGE, [[0.5, -0.25]] * 4, ["4", "one a patch"]),
    ("zero-shot-image-classification", IMAGE, [{"label": "bread", "score": 0.5}], ["bread", "50.0 %"]),
    ("object-detection", IMAGE, [{"label": SCRIPT, "score": 0.9, "box": BOX}], [SCRIPT, "10 × 20 at 1, 2"]),
    ("object-detection", IMAGE, [], ["Nothing was found"]),
    ("zero-shot-object-detection", IMAGE, [{"label": "a cat", "score": 0.2, "box": BOX}], ["a cat", "20.0 %"]),
    ("image-segmentation", IMAGE, [{"label": SCRIPT, "score": None, "mask": PICTURE}], [SCRIPT, "PNG", "–"]),
    ("depth-estimation", IMAGE, {"depth": PICTURE, "min": -1.5, "max": 9.25}, ["Black is -1.500", "white is 9.250"]),
    ("audio-classification", HEARD, [{"label": SCRIPT, "score": 0.5}], [SCRIPT, "50.0 %", "audio/flac"]),
    ("video-classification", WATCHED, [{"label": SCRIPT, "score": 0.5}], [SCRIPT, "50.0 %", "video/mp4"]),
    ("zero-shot-audio-classification", HEARD, [{"label": "bell", "score": 0.5}], ["bell", "50.0 %"]),
    ("text-to-audio", {"text": SCRIPT}, {"audio": SOUND, "sampling_rate": 16_000}, [SCRIPT, "16,000", "audio/wav"]),
    ("automatic-speech-recognition", HEARD, {"text": ""}, ["Nothing that the model takes for words"]),
    ("automatic-speech-recognition", HEARD, SAID, [SCRIPT, "1:02.5", "–", "Language: fr"]),
    ("visual-question-answering", ASKED, [{"answer": SCRIPT, "score": 0.25}], ["Asked: What", SCRIPT, "25.0 %"]),
    ("visual-question-answering", ASKED, [{"answer": SCRIPT, "score": None}], [SCRIPT]),
    (
        "image-text-to-text",
        {
            "messages": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": SCRIPT}]}],
            "images": [IMAGE["image"]],
        },
        ANSWER,
        ["(image)", SCRIPT, "Hello <script>", "image/png"],
    ),
    ("image-text-to-text", {"text": "Once"}, {"generated_text": SCRIPT}, ["Once", SCRIPT]),
    (
        "any-to-any",
        {
            "messages": [{"role": "user", "content": [{"type": "audio"}, {"type": "image"}, {"type": "video"}]}],
            "images": [IMAGE["image"]],
            "videos": [EXAMPLE_VIDEO],
            "audio": [EXAMPLE_AUDIO, EXAMPLE_AUDIO],
        },
        ANSWER,
        ["(recording)", "(image)", "(video)", "Hello <script>", "image/png", "audio/flac", "video/mp4"],
    ),
    ("any-to-any", {"text": SCRIPT}, {"image": PICTURE}, [SCRIPT, "image/png, 77 B"]),
    (
        "decision",
        {"state": {"a": [SCRIPT]}, "questions": {SCRIPT: {"type": "choice", "criteria": {"calm": None}}}},
        {SCRIPT: {"type": "choice", "choice": "calm", "confidence": 1.0, "probabilities": {"calm": 0.75}}},
        [SCRIPT, "calm", "75.0 %"],
    ),
    (
        "decision",
        {"state": "a", "questions": {"refund": {"type": "noul", "instructions": SCRIPT}}},
        {
            "refund": {"type": "noul", "noul": 0.25},
            "how": {
                "type": "score",
                "score": 1.5,
                "legend": {"0": "low"},
                "confidence": 0.5,
                "probabilities": {"0": 0.125},
            },
        },
        ["refund", SCRIPT, "no", "25.0 %", "1.50", "0: low", "12.5 %"],
    ),
    (
        "document-question-answering",
        CATALOGUE["document-question-answering"].example["inputs"],
        [
            {"answer": SCRIPT, "score": 0.5, "start": 0, "end": 1, "page": 1, "box": [100, 200, 300, 250]},
            {"answer": "12", "score": 0.25, "start": 0, "end": 1, "page": 2, "box": [100, 200, 300, 250]},
        ],
        ["Asked: What is the total?", SCRIPT, "12 (page 2)", "25.0 %", "application/pdf"],
    ),
    (
        "document-question-answering",
        {"image": IMAGE["image"], "question": "Where?", "word_boxes": [["Lyon", [1, 2, 3, 4]]]},
        [{"answer": "", "score": None}],
        ["Asked: Where?", "does not answer the question"],
    ),
    ("image-to-text", IMAGE, [{"generated_text": SCRIPT}], [SCRIPT]),
    ("image-to-image", IMAGE, {"image": PICTURE}, ["image/png, 77 B"]),
    ("keypoint-matching", PAIR, [MATCH], ["3, 4", "40, 44", "25.0 %", "1 pair of points"]),
    ("keypoint-matching", PAIR, [], ["No point of one"]),
    ("mask-generation", IMAGE, [{"score": 0.91, "mask": PICTURE, "box": BOX}], ["10 × 20 at 1, 2", "91.0 %", "PNG"]),
    ("mask-generation", IMAGE, [], ["No mask was good enough"]),
    ("keypoint-matching", PAIR, [MATCH] * 300, ["300 pairs of points; the best 200 are drawn, the best 50 listed"]),
]


@pytest.fixture
def client(app: Flask, engine) -> FlaskClient:
    sync_pipelines(engine, [*PIPELINES, *(PipelineSpec(f"t-{n}", n, model="tiny") for n in CATALOGUE)], utc_now())
    return app.test_client()


@pytest.fixture
def baked(client, oven):
    """The page of a job of `task` that came out with `result`."""

    def make(task: str, inputs: dict, result: object) -> Page:
        parameters = CATALOGUE[task].example["parameters"]
        body = {"pipeline": f"t-{task}", "inputs": inputs, "parameters": parameters}
        job = client.post("/api/v1/jobs", json=body).get_json()
        oven.finish(oven.take(f"t-{task}"), result)
        return get(client, f"/jobs/{job['id']}")

    return make


@pytest.mark.proves("view")
@pytest.mark.parametrize(("task", "inputs", "result", "shown"), RESULTS)
def test_a_result_is_drawn_by_its_task_and_never_read_as_html(baked, task, inputs, result, shown):
    page = baked(task, inputs, result)

    assert not [words for words in shown if words not in page.text]
    assert not [script for script in page.all("script") if "src" not in script.attrs]
    assert page.has("details", id="raw")


def test_a_video_plays_beside_its_labels(baked):
    page = baked("video-classification", WATCHED, [{"label": "baking", "score": 0.5}])

    assert page.has("video", id="watched")


def test_what_is_beside_its_result_is_not_shown_twice(baked):
    for task, inputs, result in (
        ("video-classification", WATCHED, [{"label": "baking", "score": 0.5}]),
        ("automatic-speech-recognition", HEARD, SAID),
    ):
        page = baked(task, inputs, result)
        assert len([*page.all("video"), *page.all("audio")]) == 1
        assert "Above, with the result." in page.text


def test_a_table_is_a_table_before_it_is_answered(client):
    table = {"Town": ["Lyon", "Nice"], "Loaves": ["120", "80"]}
    body = {"pipeline": "t-table-question-answering", "inputs": {"query": "How many?", "table": table}}
    job = client.post("/api/v1/jobs", json=body).get_json()
    page = get(client, f"/jobs/{job['id']}")

    assert [cell.text for cell in page.all("th")] == ["Town", "Loaves"]
    assert [cell.text for cell in page.all("td")] == ["Lyon", "120", "Nice", "80"]


def test_a_state_is_told_in_lines_and_its_json_is_one_click_away(baked, client):
    state = {"subject": SCRIPT, "days": 2, "seen": None, "lines": ["bread", {"loaves": [1, 2]}]}
    asked = {"refund": {"type": "noul", "instructions": "Is money asked for?"}}
    page = baked("decision", {"state": state, "questions": asked}, {"refund": {"type": "noul", "noul": 0.25}})

    told = [line.text for line in page.all("ul", class_="outline")]
    assert told[0] == f"subject{SCRIPT}days2seen–linesbreadloaves1, 2"
    assert told[-2:] == ["refundtypenoulinstructionsIs money asked for?", "typenoulinstructionsIs money asked for?"]
    assert page.one("ol", class_="outline").text == "breadloaves1, 2"
    assert page.one("details", id="sent-raw").text.startswith("\n        As JSON")
    assert loads(page.one("pre", id="sent-json").text)["state"] == state
    assert f"subject: {SCRIPT} · days: 2" in get(client, "/jobs").text


def test_a_state_of_any_size_is_told_as_far_as_a_person_reads(baked):
    state: dict = {"deep": {"a": {"b": {"c": {"d": {"e": 1}}}}}, "long": [{"n": n} for n in range(500)]}
    page = baked(
        "decision", {"state": state, "questions": {"q": {"type": "noul"}}}, {"q": {"type": "noul", "noul": 1}}
    )

    assert "… and more, as JSON below." in page.text
    assert '{"e":1}' in page.text
    assert len(page.all("li")) < 300


@pytest.mark.parametrize(
    ("task", "files"),
    [
        ("image-text-to-text", {"images": [EXAMPLE_IMAGE]}),
        ("image-text-to-text", {"videos": [EXAMPLE_VIDEO]}),
        ("any-to-any", {"audio": [EXAMPLE_AUDIO]}),
    ],
)
def test_a_question_about_files_and_its_answer_are_a_conversation(baked, task, files):
    page = baked(task, {"text": "What is it?", **files}, {"generated_text": "A loaf."})

    assert page.one("div", class_="said said-user").text == "UserWhat is it?"
    assert page.one("div", class_="said said-assistant").text == "AssistantA loaf."


def test_matches_are_lines_between_the_images_in_their_own_pixels(baked):
    page = baked("keypoint-matching", PAIR, [MATCH])

    first, second = page.all("image")
    line = page.one("line").attrs
    assert (line["x1"], line["y1"]) == ("3.0", "4.0")
    assert float(line["x2"]) == float(second.attrs["x"]) + 40
    assert first.attrs["href"] != second.attrs["href"]
    assert len(page.all("img")) == 2


def test_every_task_has_a_result_in_these_tests():
    assert {task for task, *_ in RESULTS} == set(CATALOGUE)


def test_a_transcript_stands_beside_its_player_and_its_times_find_it(baked):
    page = baked("automatic-speech-recognition", HEARD, SAID)

    player = next(e for e in page.all("audio") if e.attrs.get("id") == "said")
    assert player.attrs["src"].startswith("/api/v1/files/")
    [stamp] = page.all("button", class_="stamp")
    assert (stamp.attrs["data-player"], stamp.attrs["data-seek"]) == ("said", "62.5")


def test_the_similar_sentence_comes_first(baked):
    page = baked("sentence-similarity", {"source_sentence": "a", "sentences": ["far", "near"]}, [0.1, 0.9])

    assert [name.text for name in page.all("span", class_="name")] == ["near", "far"]


def test_overlapping_entities_keep_the_text_whole(baked):
    text = "Bank of Lyon"
    entities = [
        {"entity_group": "ORG", "score": 0.9, "word": "Bank of Lyon", "start": 0, "end": 12},
        {"entity_group": "LOC", "score": 0.8, "word": "Lyon", "start": 8, "end": 99},
    ]
    page = baked("token-classification", {"text": text}, entities)

    assert page.one("p", class_="marked").text == "Bank of LyonORG"
    assert "2 found" in page.text


def test_a_waiting_job_says_its_place_and_reloads_itself_without_scripts(client, submit):
    submit("first")
    page = get(client, f"/jobs/{submit('second')['id']}")

    assert "1 before it" in page.text
    assert page.one("meta", http_equiv="refresh").attrs["content"] == "2"
    assert page.one("p", role="status").attrs["aria-live"] == "polite"


def test_a_job_that_is_over_does_not_reload(client, submit, oven):
    job = submit()
    oven.bake()
    page = get(client, f"/jobs/{job['id']}")

    assert not page.has("meta", http_equiv="refresh")
    assert page.has("div", data_live_over="yes")
    assert "transformers" not in page.text
    assert "fake" in page.text


def test_a_failed_job_says_why_and_what_to_do(client, submit, oven):
    job = submit()
    oven.fail(oven.take(), f"It {SCRIPT} broke.")
    page = get(client, f"/jobs/{job['id']}")

    assert f"It {SCRIPT} broke." in page.text
    assert "inference_failed" in page.text
    assert advice("inference_failed") in page.text


def test_whatever_a_job_or_a_file_may_fail_with_has_advice():
    of_the_request = {code for code in ErrorCode if HTTP_STATUS[code] in (400, 403, 404, 405, 409, 413, 415, 429)}
    others = {"unknown_field", "missing_field", "invalid_value", "unknown_pipeline", "internal", "unavailable"}
    checkpoint = {code for code in ErrorCode if code.value.startswith("checkpoint")}

    silent = {code for code in ErrorCode if not advice(code)}
    assert silent <= of_the_request | others | checkpoint
    assert advice("never heard of") == advice(None) == ""


def test_cancel_ends_the_job_and_comes_back_to_its_page(client, submit):
    job = submit()
    answer = post(client, f"/jobs/{job['id']}/cancel", form=f"/jobs/{job['id']}")

    assert (answer.status_code, answer.headers["Location"]) == (303, f"/jobs/{job['id']}")
    page = get(client, f"/jobs/{job['id']}")
    assert "canceled" in page.text
    assert not page.has("button", class_="btn btn-danger-quiet")


def test_a_cancel_from_another_site_is_refused(client, submit):
    job = submit()

    assert client.post(f"/jobs/{job['id']}/cancel", headers={"Accept": "text/html"}).status_code == 403
    assert client.get(f"/api/v1/jobs/{job['id']}").get_json()["status"] == "queued"


def test_an_unknown_job_is_a_page_of_its_own(client):
    for path in ("/jobs/none", f"/jobs/{'0' * 32}", f"/jobs/{'0' * 32}/fragment"):
        answer = client.get(path, headers={"Accept": "text/html"})
        assert answer.status_code == 404
        assert "There is no such job." in Page(answer.text).text


def test_the_fragment_is_not_sent_twice(client, submit, oven):
    path = f"/jobs/{submit()['id']}/fragment"
    first = client.get(path)
    again = client.get(path, headers={"If-None-Match": first.headers["ETag"]})
    oven.bake()
    after = client.get(path, headers={"If-None-Match": first.headers["ETag"]})

    assert (first.status_code, again.status_code, after.status_code) == (200, 304, 200)
    assert first.headers["ETag"].startswith('W/"queued.')
    assert again.data == b""
    assert "<html" not in after.text
    assert "Result" in after.text


def test_a_waiting_fragment_comes_when_word_of_the_end_comes(client, submit, oven, monkeypatch):
    # By itself it would look again when the wait is over.
    monkeypatch.setattr("web.changes.FIRST_LOOK", 60.0)
    path = f"/jobs/{submit()['id']}/fragment"
    known = client.get(path).headers["ETag"]
    rows = oven.take()
    running = client.get(path, headers={"If-None-Match": known}).headers["ETag"]
    timer = threading.Timer(0.3, oven.finish, (rows, [{"label": "even", "score": 1.0}]))
    timer.start()

    answer = client.get(path, headers={"If-None-Match": running, "Prefer": "wait=20"})
    timer.join()

    assert answer.status_code == 200
    assert "succeeded" in answer.text


def test_a_running_generation_says_where_its_text_comes_from(client, oven):
    job = client.post("/api/v1/jobs", json={"pipeline": "chat", "inputs": {"text": "a"}}).get_json()
    oven.take("chat")

    assert get(client, f"/jobs/{job['id']}").has("div", data_tokens=job["urls"]["events"])


def test_a_job_of_a_pipeline_that_is_gone_is_still_shown(client, submit, oven, engine):
    job = submit("still here")
    oven.bake()
    sync_pipelines(engine, PIPELINES[1:], utc_now())
    page = get(client, f"/jobs/{job['id']}")

    assert "still here" in page.text
    assert "even" in page.text
    assert "still here" in get(client, "/jobs").text


def test_the_list_is_filtered_by_pipeline_and_status(client, submit, oven):
    submit("text one")
    oven.bake()
    submit("text two")
    submit("text three", pipeline="labels", parameters={"candidate_labels": ["a"]})

    assert "text three" in get(client, "/jobs").text
    queued = get(client, "/jobs?pipeline=fake&status=queued").text
    assert "text two" in queued
    assert "text one" not in queued
    assert "text three" not in queued
    assert "None fits these filters" in get(client, "/jobs?status=failed").text


def test_the_list_goes_on_page_by_page_and_keeps_its_filter(client, submit):
    for number in range(32):
        submit(f"number {number}.")
    first = get(client, "/jobs?status=queued")
    older = get(client, first.one("a", rel="next").attrs["href"])

    assert "number 31." in first.text
    assert "number 1." not in first.text
    assert "number 1." in older.text
    assert "number 31." not in older.text
    assert not older.has("a", rel="next")
    assert older.one("option", selected="").text == "queued"


@pytest.mark.parametrize(("task", "inputs", "result", "_shown"), RESULTS)
def test_every_result_also_reads_in_one_line_of_the_list(client, oven, task, inputs, result, _shown):
    body = {"pipeline": f"t-{task}", "inputs": inputs, "parameters": CATALOGUE[task].example["parameters"]}
    client.post("/api/v1/jobs", json=body)
    oven.finish(oven.take(f"t-{task}"), result)
    page = get(client, "/jobs")

    assert not [script for script in page.all("script") if "src" not in script.attrs]
    assert page.all("td")[3].text.strip()


def test_a_worker_lost_twice_shows_its_attempts(client, submit, oven, engine):
    job = submit()
    back = {"worker": None, "lease_until": None}
    for _ in range(2):
        [row] = oven.take()
        transaction(engine, lambda conn, row=row: back_in_line(conn, [(row.id, row.fence)], back))
    oven.bake()

    assert "Attempts3" in get(client, f"/jobs/{job['id']}").text


@pytest.mark.parametrize(
    ("state", "words"),
    [(PipelineState.PAUSED, "is paused"), (PipelineState.BROKEN, "cannot be loaded"), (None, "No worker is running")],
)
def test_a_job_that_cannot_run_now_says_what_it_waits_for(client, submit, engine, state, words):
    job = submit()
    if state is not None:
        transaction(engine, lambda conn: set_state(conn, "fake", state, reason=None, now=utc_now()))

    assert words in get(client, f"/jobs/{job['id']}").one("p", data_waiting="").text


def test_a_job_says_that_its_model_is_loaded_for_it_and_then_that_it_is_computed(client, submit, oven):
    path = f"/jobs/{submit()['id']}"
    oven.be_seen(warm={})
    assert "for the model to be loaded" in get(client, path).text
    oven.take()
    assert "being loaded for it" in get(client, path).text
    tag = client.get(f"{path}/fragment").headers["ETag"]

    oven.be_seen()
    answer = client.get(f"{path}/fragment", headers={"If-None-Match": tag})

    assert answer.status_code == 200
    assert "In the oven" in answer.text


def test_a_job_of_a_pipeline_that_is_gone_says_so_while_it_waits(client, submit, engine):
    job = submit()
    sync_pipelines(engine, PIPELINES[1:], utc_now())

    assert "no longer offered" in get(client, f"/jobs/{job['id']}").text
