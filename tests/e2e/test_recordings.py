"""Tasks of recordings through HTTP to a real worker and back: every kind of file, and files that are no recording."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.answers import succeeded
from tests.processes import Stack, running_stack
from tests.recordings import KINDS, broken, recording
from tests.tiny import sounds

pytestmark = pytest.mark.real_model

MAKERS = {"labels": sounds.classifier, "letters": sounds.listener, "whisper": sounds.whisper}
TASKS = {"labels": "audio-classification"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("recordings")
    tables = [
        f'[pipelines.{name}]\ntask = "{TASKS.get(name, "automatic-speech-recognition")}"\n'
        f'model = "{make(folder / name)}"\nbackend = "torch"\n'
        for name, make in MAKERS.items()
    ]
    more = {"FOURNIL_TOKEN_BUDGET": "512", "FOURNIL_MAX_AUDIO_SECONDS": "5"}
    with running_stack(folder / "stack", pipelines="\n".join(tables), **more) as running:
        yield running


def send(http: httpx.Client, pipeline: str, body: bytes, **parameters: Any) -> httpx.Response:
    request = {"pipeline": pipeline, "inputs": {}, "parameters": parameters}
    return http.post("/api/v1/jobs", files={"request": (None, json.dumps(request)), "audio": ("a memo.m4a", body)})


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_is_heard_and_played_on_the_page_of_its_job(http, kind):
    job = succeeded(send(http, "labels", recording(kind)))

    file = job["inputs"]["audio"]["file"]
    assert file["content_type"].startswith("audio/")
    page = http.get(f"/jobs/{job['id']}").text
    assert f'<audio class="player" id="heard-recording" controls preload="metadata" src="{file["url"]}">' in page
    part = http.get(file["url"], headers={"Range": "bytes=0-9"})
    assert (part.status_code, len(part.content)) == (206, 10)


def test_times_of_a_transcript_are_buttons_of_its_player(http):
    job = succeeded(send(http, "letters", recording("flac"), return_timestamps="char"))

    assert job["result"]["chunks"]
    assert 'data-player="said" data-seek="' in http.get(f"/jobs/{job['id']}").text


def test_whisper_writes_with_the_words_of_a_caller(http):
    asked = {"language": "fr", "task": "translate", "max_new_tokens": 6, "num_beams": 1, "return_timestamps": True}

    succeeded(send(http, "whisper", recording("mp3", seconds=2), **asked))


def test_base64_and_a_stored_file_give_the_same_as_a_part(http):
    body = recording("m4a")
    part = succeeded(send(http, "labels", body))
    file_id = http.post("/api/v1/files", content=body, headers={"Content-Type": "x/y"}).json()["id"]
    for audio in ({"data": base64.b64encode(body).decode()}, {"file_id": file_id}):
        job = succeeded(http.post("/api/v1/jobs", json={"pipeline": "labels", "inputs": {"audio": audio}}))
        assert job["result"] == part["result"]


def test_a_recording_that_is_too_long_is_refused_by_its_header(http):
    answer = send(http, "labels", recording("m4a", seconds=6))

    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "inputs.audio")
    assert "longer than the 5 s" in answer.json()["error"]["message"]


@pytest.mark.parametrize("wrong", broken())
@pytest.mark.parametrize("pipeline", MAKERS)
def test_a_broken_file_is_refused_or_fails_with_a_code(http, pipeline, wrong):
    answer = send(http, pipeline, broken()[wrong])

    if answer.status_code == 422:
        error = answer.json()["error"]
        assert error["field"] == "inputs.audio"
    else:
        assert answer.json()["status"] == "failed", answer.json()
        error = answer.json()["error"]
        assert error["code"] == "input_rejected"
    assert error["message"].endswith(".")
    assert not any(word in error["message"] for word in ("Error", "Traceback", "ffmpeg", "/"))


def test_fields_that_are_no_recording_are_named(http):
    def ask(audio: Any) -> tuple[int, str | None]:
        answer = http.post("/api/v1/jobs", json={"pipeline": "labels", "inputs": {"audio": audio}})
        return answer.status_code, answer.json().get("error", {}).get("field")

    assert ask("/etc/passwd") == (422, "inputs.audio")
    assert ask("http://127.0.0.1/a.wav") == (422, "inputs.audio")
    assert ask({"path": "/etc/passwd"}) == (422, "inputs.audio.path")
    assert ask({"array": [0.1], "sampling_rate": 16_000})[0] == 422
    assert ask([0.1, 0.2]) == (422, "inputs.audio")


def test_after_all_that_the_same_worker_still_answers(http):
    assert all(worker["live"] for worker in http.get("/api/v1/workers").json()["data"])
    succeeded(send(http, "labels", recording()))
