"""The page that names a dataset as the rows of a batch."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.hub import COMMIT, parquet_of, stub_hub
from tests.integration.api.pages import Page, get, post
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


def start(client: FlaskClient, **written: str) -> Any:
    data = {"pipeline": "fake", **{f"dataset.{name}": word for name, word in written.items()}}
    return post(client, "/batches/new/dataset", data, form="/batches/new")


def test_a_named_dataset_becomes_a_batch(client):
    answer = start(client, name=" bakers/reviews ", split="train", revision="main", column="second")

    assert answer.status_code == 303, answer.text
    assert "bakers-reviews" in get(client, answer.headers["Location"]).text
    (batch,) = client.get("/api/v1/batches").get_json()["data"]
    assert answer.headers["Location"].endswith(batch["id"])
    assert (batch["dataset"]["name"], batch["dataset"]["commit"]) == ("bakers/reviews", COMMIT)
    assert batch["inputs"] == {"text": "second"}


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
