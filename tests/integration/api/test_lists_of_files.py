"""Lists of files: in every way to send them by the API, and through the form."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image
from werkzeug.datastructures import MultiDict

from contract.pipelines import PipelineSpec
from contract.tasks import CATALOGUE
from contract.tasks.media import MOST_FILES, images_field
from contract.times import utc_now
from models.pipelines import sync_pipelines
from tests.integration.api.conftest import PIPELINES
from tests.integration.api.pages import Page, get, post
from tests.videos import clip

URL = "/api/v1/jobs"
FORM = "/pipelines/pairs"


@pytest.fixture
def client(app: Flask, engine) -> FlaskClient:
    offered = [
        *PIPELINES,
        PipelineSpec("pairs", "keypoint-matching", model="tiny"),
        PipelineSpec("one", "image-classification", model="tiny"),
        PipelineSpec("any", "any-to-any", model="tiny"),
    ]
    sync_pipelines(engine, offered, utc_now())
    return app.test_client()


def png(width: int, height: int = 20) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height)).save(out, "PNG")
    return out.getvalue()


def as_data(body: bytes) -> dict[str, str]:
    return {"data": base64.b64encode(body).decode()}


def send(client: FlaskClient, images: object):
    return client.post(URL, json={"pipeline": "pairs", "inputs": {"images": images}})


def send_parts(client: FlaskClient, *files: bytes, pipeline: str = "pairs", field: str = "images", **inputs: object):
    request = json.dumps({"pipeline": pipeline, "inputs": inputs})
    parts = [("request", request), *((field, (io.BytesIO(body), f"{n}.png")) for n, body in enumerate(files))]
    return client.post(URL, data=MultiDict(parts))


def widths(client: FlaskClient, job: dict) -> list[int]:
    return [Image.open(io.BytesIO(client.get(one["file"]["url"]).data)).width for one in job["inputs"]["images"]]


def stored(tmp_path: Path) -> int:
    return sum(1 for file in tmp_path.rglob("*") if file.is_file() and len(file.name) == 32)


def test_a_list_in_json_in_every_form_keeps_its_order(client, tmp_path):
    file_id = client.post("/api/v1/files", data=png(31), content_type="image/png").get_json()["id"]
    first = send(client, [as_data(png(30)), {"file_id": file_id}]).get_json()
    again = send(client, list(reversed(first["inputs"]["images"]))).get_json()

    assert widths(client, first) == [30, 31]
    assert widths(client, again) == [31, 30]
    assert stored(tmp_path) == 2
    assert {one["file"]["content_type"] for one in first["inputs"]["images"]} == {"image/png"}


def test_parts_of_one_name_are_a_list_in_their_order(client):
    answer = send_parts(client, png(41), png(40))

    assert answer.status_code == 202, answer.text
    assert widths(client, answer.get_json()) == [41, 40]


def test_a_null_in_the_list_is_the_place_of_a_part(client):
    answer = send_parts(client, png(51), images=[as_data(png(50)), None])

    assert widths(client, answer.get_json()) == [50, 51]


@pytest.mark.parametrize(
    ("images", "field"),
    [
        ([as_data(png(30))], "inputs.images"),
        ([as_data(png(30))] * 3, "inputs.images"),
        ([], "inputs.images"),
        (as_data(png(30)), "inputs.images"),
        ("/etc/passwd", "inputs.images"),
        ([as_data(png(30)), "/etc/passwd"], "inputs.images.1"),
        ([as_data(png(30)), None], "inputs.images.1"),
        ([as_data(png(30)), {}], "inputs.images.1"),
        ([as_data(png(30)), {"path": "/etc/passwd"}], "inputs.images.1.path"),
        ([as_data(png(30)), {"data": "no base64!"}], "inputs.images.1.data"),
        ([as_data(png(30)), as_data(b"no image")], "inputs.images.1"),
        ([as_data(b""), as_data(png(30))], "inputs.images.0.data"),
        ([{"file_id": "0" * 32}, as_data(png(30))], "inputs.images.0"),
        ([as_data(png(30)), {"url": "http://127.0.0.1:1/"}], "inputs.images.1"),
    ],
)
def test_what_is_wrong_with_one_of_them_is_said_by_its_place_and_nothing_stays(client, tmp_path, images, field):
    answer = send(client, images)

    assert answer.status_code == 422, answer.text
    assert answer.get_json()["error"]["field"] == field
    assert stored(tmp_path) == 0


@pytest.mark.parametrize(
    ("files", "inputs", "field"),
    [
        ([png(30)], {}, "inputs.images"),
        ([png(30)] * 3, {}, "inputs.images"),
        ([png(30)] * (MOST_FILES + 1), {}, "images"),
        ([png(30), b"no image"], {}, "inputs.images.1"),
        ([png(30)], {"images": [None, None]}, "inputs.images"),
        ([png(30)], {"images": [as_data(png(30))] * 2}, "inputs.images"),
        ([png(30)], {"images": "x"}, "inputs.images"),
        ([png(30)], {"images": None}, None),
    ],
)
def test_parts_that_do_not_fit_are_refused_and_none_stays(client, tmp_path, files, inputs, field):
    answer = send_parts(client, *files, **inputs)

    assert answer.status_code == 422, answer.text
    assert field is None or answer.get_json()["error"]["field"] == field
    assert stored(tmp_path) == 0


def test_two_parts_for_a_field_of_one_file_are_refused(client, tmp_path):
    answer = send_parts(client, png(30), png(31), pipeline="one", field="image")

    assert (answer.status_code, answer.get_json()["error"]["field"]) == (422, "inputs.image")
    assert stored(tmp_path) == 0


def test_the_same_key_is_the_same_job_only_with_the_same_files_in_the_same_order(client):
    def send_keyed(*files: bytes):
        request = json.dumps({"pipeline": "pairs", "inputs": {}})
        parts = [("request", request), *(("images", (io.BytesIO(body), "a.png")) for body in files)]
        return client.post(URL, data=MultiDict(parts), headers={"Idempotency-Key": "k"})

    first, again, other = send_keyed(png(1), png(2)), send_keyed(png(1), png(2)), send_keyed(png(2), png(1))

    assert again.get_json()["id"] == first.get_json()["id"]
    assert other.status_code == 409


def sent(client: FlaskClient, answer) -> list[int]:
    assert answer.status_code == 303, answer.text
    return widths(client, client.get(f"/api/v1{answer.headers['Location']}").get_json())


def chosen(body: bytes = b"") -> tuple[io.BytesIO, str]:
    return io.BytesIO(body), "a.png"


def test_the_form_has_a_control_for_each_of_a_pair(client):
    page = get(client, FORM)

    assert [e.attrs["name"] for e in page.all("input", type="file")] == ["inputs.images.0", "inputs.images.1"]
    data = {"inputs.images.1": chosen(png(61)), "inputs.images.0": chosen(png(60))}
    assert sent(client, post(client, FORM, data)) == [60, 61]


def test_again_with_changes_keeps_the_file_that_is_not_chosen_anew(client):
    first = send(client, [as_data(png(70)), as_data(png(71))]).get_json()
    page = get(client, f"{FORM}?job={first['id']}")
    kept = {e.attrs["name"]: e.attrs["value"] for e in page.all("input", type="hidden") if ".kept" in e.attrs["name"]}

    assert len(kept) == len(page.all("img")) == 2
    answer = post(client, FORM, {**kept, "inputs.images.0": chosen(png(72)), "inputs.images.1": chosen()})
    assert sent(client, answer) == [72, 71]


def test_a_file_that_is_no_image_is_named_beside_the_control(client, tmp_path):
    answer = post(client, FORM, {"inputs.images.0": chosen(png(60)), "inputs.images.1": chosen(b"no image")})

    assert answer.status_code == 422
    assert Page(answer.text).one("div", id="inputs-images-wrong").text.startswith("Entry 2: This is no image")
    assert stored(tmp_path) == 0


def test_one_of_two_is_too_few(client, tmp_path):
    answer = post(client, FORM, {"inputs.images.0": chosen(), "inputs.images.1": chosen(png(60))})

    assert answer.status_code == 422
    assert "This must have at least 2 entries" in Page(answer.text).text
    assert stored(tmp_path) == 0


@pytest.fixture
def any_number(monkeypatch, client):
    """The same task with one to four images."""
    task = CATALOGUE["keypoint-matching"]
    field = images_field("Images", "Some.", least=1, most=4)
    monkeypatch.setitem(
        CATALOGUE, task.name, dataclasses.replace(task, inputs={**task.inputs, "properties": {"images": field}})
    )
    return client


def test_where_their_number_is_free_one_control_takes_many_and_kept_ones_can_be_left_out(any_number):
    client = any_number
    page = get(client, FORM)
    control = page.one("input", type="file").attrs
    assert (control["name"], "multiple" in control) == ("inputs.images", True)

    first = post(client, FORM, {"inputs.images": [chosen(png(80)), chosen(png(81)), chosen(png(82))]})
    assert sent(client, first) == [80, 81, 82]

    again = get(client, f"{FORM}?job={first.headers['Location'].rpartition('/')[2]}")
    kept = {e.attrs["name"]: e.attrs["value"] for e in again.all("input", type="checkbox") if "checked" in e.attrs}
    del kept["inputs.images.1.kept"]
    assert sent(client, post(client, FORM, {**kept, "inputs.images": chosen(png(83))})) == [80, 82, 83]


def test_the_page_of_a_job_shows_all_of_them_and_the_list_counts_them(client):
    job = send(client, [as_data(png(90)), as_data(png(91))]).get_json()
    page = get(client, f"/jobs/{job['id']}")

    shown = {e.attrs["src"] for e in page.all("img")}
    assert {one["file"]["url"] for one in job["inputs"]["images"]} <= shown
    assert get(client, "/jobs").text.count("image/png") == 2


def test_videos_come_as_parts_and_by_the_form_and_are_kept_for_another_time(client):
    job = send_parts(client, clip(), clip(frames=3), pipeline="any", field="videos", text="What is it?").get_json()
    assert [one["file"]["content_type"] for one in job["inputs"]["videos"]] == ["video/mp4"] * 2

    answer = post(client, "/pipelines/any", {"inputs.text": "What?", "inputs.videos": (io.BytesIO(clip()), "a.mp4")})
    again = get(client, f"/pipelines/any?job={answer.headers['Location'].rpartition('/')[2]}")

    assert len(again.all("video")) == 1
    [control] = [e.attrs for e in again.all("input", type="file") if e.attrs["name"] == "inputs.videos"]
    assert control["accept"].startswith("video/")


def test_an_image_among_videos_is_named_by_its_place(client):
    answer = send_parts(client, clip(), png(20), pipeline="any", field="videos", text="What is it?")

    assert (answer.status_code, answer.get_json()["error"]["field"]) == (422, "inputs.videos.1")
