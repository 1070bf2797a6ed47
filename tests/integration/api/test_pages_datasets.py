"""The page that names a dataset as the rows of a batch."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from flask.testing import FlaskClient

from contract.pipelines import PipelineSpec
from contract.times import utc_now
from models.pipelines import sync_pipelines
from tests.hub import COMMIT, parquet_of, stub_hub
from tests.integration.api.conftest import PIPELINES
from tests.integration.api.pages import Page, get, post
from tests.pictures import png
from web.app import create_app
from web.pages import datasets as page_datasets

SCRIPT = "<script>alert('x')</script>"


@pytest.fixture
def hub(tmp_path):
    with stub_hub(tmp_path / "hub") as found:
        columns = {"first": ["one", "two"], "second": ["three", "four"]}
        parquet_of(found.add("bakers/reviews"), "data/train-00000-of-00001.parquet", columns)
        yield found


@pytest.fixture
def settings(settings, hub):
    return dataclasses.replace(settings, datasets=dataclasses.replace(settings.datasets, endpoint=hub.url))


@pytest.fixture
def client(settings) -> FlaskClient:
    return create_app(settings).test_client()


def start(client: FlaskClient, pipeline: str = "fake", do: str = "start", **written: str) -> Any:
    data = {"pipeline": pipeline, "do": do, **{f"dataset.{name}": word for name, word in written.items()}}
    return post(client, "/batches/new/dataset", data, form="/batches/new")


def test_a_named_dataset_becomes_a_batch(client):
    answer = start(client, name=" bakers/reviews ", split="train", revision="main", column="second")

    assert answer.status_code == 303, answer.text
    assert "bakers-reviews" in get(client, answer.headers["Location"]).text
    (batch,) = client.get("/api/v1/batches").get_json()["data"]
    assert answer.headers["Location"].endswith(batch["id"])
    assert (batch["dataset"]["name"], batch["dataset"]["commit"]) == ("bakers/reviews", COMMIT)
    assert batch["inputs"] == {"text": "second"}


def test_the_first_rows_of_a_dataset_are_shown_before_anything_runs(client):
    page = Page(start(client, name="bakers/reviews", column="second", do="look").text)

    seen = page.one("div", id="dataset-seen").text
    for words in ("Rows2", "first, second", "three", "four"):
        assert words in seen
    assert page.one("input", name="dataset.column").attrs["value"] == "second"
    assert client.get("/api/v1/batches").get_json()["data"] == []

    page = Page(start(client, name="bakers/reviews", do="look").text)
    assert "No column is named 'text'" in page.one("div", id="dataset-seen").text


def test_a_dataset_of_pictures_is_started_for_a_pipeline_that_takes_them(client, engine, hub):
    sync_pipelines(engine, [*PIPELINES, PipelineSpec("pictures", "image-classification", backend="fake")], utc_now())
    columns = {"photo": [{"bytes": png(color=(9, 0, 0)), "path": "9.png"}], "label": [1]}
    where = "data/train-00000-of-00001.parquet"
    parquet_of(hub.add("bakers/loaves"), where, columns, files={"photo": "Image"})

    choices = get(client, "/batches/new?pipeline=pictures").all("option", value="pictures", selected="")
    answer = start(client, "pictures", name="bakers/loaves", column="photo")

    assert len(choices) == 2
    assert answer.status_code == 303, answer.text
    assert client.get("/api/v1/batches").get_json()["data"][0]["inputs"] == {"image": "photo"}


@pytest.mark.parametrize(
    ("written", "field"),
    [
        ({}, "name"),
        ({"name": SCRIPT}, "name"),
        ({"name": "../etc"}, "name"),
        ({"name": "bakers/none"}, "name"),
        ({"split": "dev"}, "split"),
        ({"config": "fr"}, "config"),
        ({"revision": "v9"}, "revision"),
        ({"column": "third"}, "column"),
        ({"column": ""}, "column"),
    ],
)
def test_what_is_wrong_is_said_beside_its_control_and_nothing_written_is_lost(client, written, field):
    written = {"name": "bakers/reviews", **written} if written else {}
    answer = start(client, **written)
    page = Page(answer.text)

    assert answer.status_code == 422
    assert page.has("details", id="dataset", open="")
    assert [e.attrs["name"] for e in page.all("input", aria_invalid="true")] == [f"dataset.{field}"]
    assert page.one("div", id=f"dataset-{field}-wrong").text
    for name, word in written.items():
        assert page.one("input", name=f"dataset.{name}").attrs["value"] == word
    assert SCRIPT not in answer.text
    assert client.get("/api/v1/batches").get_json()["data"] == []


def test_a_hub_that_is_away_is_said(client, hub):
    hub.is_down = True
    answer = start(client, name="bakers/reviews")

    assert answer.status_code == 503
    assert "cannot be reached" in Page(answer.text).one("div", id="dataset-name-wrong").text


def test_a_form_of_another_site_starts_nothing(client):
    answer = client.post("/batches/new/dataset", data={"pipeline": "fake", "dataset.name": "bakers/reviews"})

    assert answer.status_code == 403
    assert client.get("/api/v1/batches").get_json()["data"] == []


def test_the_form_is_shown_where_datasets_can_be_read(client, change, tmp_path, monkeypatch):
    def is_shown(**datasets: Any) -> bool:
        return get(create_app(change("datasets", **datasets)).test_client(), "/batches/new").has(
            "details", id="dataset"
        )

    assert get(client, "/batches/new?pipeline=fake").one("details", id="dataset").attrs == {
        "class": "fold mt-4",
        "id": "dataset",
    }
    assert not is_shown(fetch=False)
    assert is_shown(fetch=False, folder=tmp_path)
    monkeypatch.setattr(page_datasets, "find_spec", lambda name: None)
    assert not is_shown(fetch=True)
