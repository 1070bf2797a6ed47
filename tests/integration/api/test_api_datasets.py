"""`dataset` in POST /batches and /batches/validate."""

from __future__ import annotations

import dataclasses
import functools
import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from contract.pipelines import PipelineSpec
from contract.settings import Settings
from contract.times import utc_now
from models.files import FileStorage
from models.hub.dataset import Reach
from models.pipelines import sync_pipelines
from tests.hub import COMMIT, parquet_of, stub_hub
from tests.integration.api.conftest import PIPELINES
from tests.pictures import png
from web.app import create_app
from worker.ingest import ingest_slice
from worker.taps import Taps

TEXTS = [f"row {n}" for n in range(40)]


@pytest.fixture
def hub(tmp_path):
    with stub_hub(tmp_path / "hub") as found:
        columns = {"text": TEXTS, "stars": [n % 5 for n in range(40)]}
        parquet_of(found.add("bakers/reviews"), "data/train-00000-of-00001.parquet", columns)
        yield found


@pytest.fixture
def settings(settings, hub):
    return dataclasses.replace(settings, datasets=dataclasses.replace(settings.datasets, endpoint=hub.url))


@pytest.fixture
def client(settings) -> FlaskClient:
    return create_app(settings).test_client()


def read(settings: Settings, engine: sa.Engine, batch_id: str, *, slice_seconds: float) -> None:
    """Let the dataset be read to its end, in as many slices as it takes."""
    storage, taps = FileStorage(settings.storage.files_dir), Taps(Reach.of(settings))
    read_on = functools.partial(
        ingest_slice, engine, storage, batch_id, seconds=slice_seconds, rows_per_piece=2_000, now_fn=utc_now,
        wake=lambda _: None, taps=taps,
    )  # fmt: skip
    while read_on() == "again":
        pass


def ask(client, path="/api/v1/batches", **dataset):
    body = {"pipeline": "fake", "dataset": {"name": "bakers/reviews", **dataset}}
    return client.post(path, json=body)


def test_a_dataset_becomes_a_batch_whose_results_stand_beside_its_columns(client, settings, engine, oven):
    answer = ask(client, revision="main")
    assert answer.status_code == 202, answer.get_json()
    batch = answer.get_json()
    pinned = {"name": "bakers/reviews", "config": "default", "split": "train", "revision": "main", "commit": COMMIT}
    assert batch["dataset"] == pinned
    assert (batch["format"], batch["inputs"]) == ("dataset", {"text": "text"})

    read(settings, engine, batch["id"], slice_seconds=5)
    while rows := oven.take(limit=100):
        oven.finish(rows, [{"label": "even", "score": 0.9}])

    table = pq.read_table(io.BytesIO(client.get(f"{batch['urls']['results']}").data))
    assert table["text"].to_pylist() == TEXTS
    assert table["stars"].to_pylist() == [n % 5 for n in range(40)]
    assert set(table["label"].to_pylist()) == {"even"}
    assert client.get(batch["urls"]["self"]).get_json()["counts"]["succeeded"] == 40


@pytest.fixture
def pictures(hub, engine):
    """A dataset of pictures, the last of which is none, and a pipeline for them."""
    sync_pipelines(engine, [*PIPELINES, PipelineSpec("pictures", "image-classification", backend="fake")], utc_now())
    held = [{"bytes": png(color=(n, 0, 0)), "path": f"{n}.png"} for n in range(20)]
    columns = {"image": [*held, {"bytes": b"none", "path": "none.png"}], "label": [n % 3 for n in range(21)]}
    where = "data/train-00000-of-00001.parquet"
    parquet_of(hub.add("bakers/loaves"), where, columns, files={"image": "Image"})
    return [one["bytes"] for one in held]


def test_the_pictures_of_a_dataset_become_files_of_its_rows(client, settings, engine, pictures):
    body = {"pipeline": "pictures", "dataset": {"name": "bakers/loaves"}, "on_invalid_rows": "skip"}
    report = client.post("/api/v1/batches/validate", json=body).get_json()
    assert (report["inputs"], report["columns"]) == ({"image": "image"}, ["image", "label"]), report
    assert report["counts"] == {"total": 21, "invalid": 1}
    assert report["errors"][0]["row"] == 20
    batch = client.post("/api/v1/batches", json=body).get_json()
    read(settings, engine, batch["id"], slice_seconds=0)

    rows = client.get(f"{batch['urls']['jobs']}?limit=100").get_json()["data"]
    bodies = [client.get(row["inputs"]["image"]["file"]["url"]).data for row in rows]
    assert bodies == pictures
    assert client.get(batch["urls"]["self"]).get_json()["counts"]["invalid"] == 1


def test_a_column_of_files_that_a_pipeline_does_not_take_is_named(client, pictures):
    body = {"pipeline": "fake", "dataset": {"name": "bakers/loaves"}, "inputs": {"text": "image"}}
    answer = client.post("/api/v1/batches", json=body)

    assert (answer.status_code, answer.get_json()["error"]["field"]) == (422, "inputs.text")
    assert "'image' holds files" in answer.get_json()["error"]["message"]


def test_a_dry_run_of_a_dataset_shows_its_first_rows_and_keeps_nothing(client, settings):
    answer = ask(client, "/api/v1/batches/validate")
    report = answer.get_json()

    assert answer.status_code == 200, report
    assert (report["valid"], report["format"], report["columns"]) == (True, "dataset", ["text", "stars"])
    assert report["counts"] == {"total": 40, "invalid": 0}
    assert report["rows"][0]["inputs"] == {"text": "row 0"}
    assert client.get("/api/v1/batches").get_json()["data"] == []
    assert not [path for path in (settings.storage.data_dir / "files").rglob("*") if path.is_file()]


@pytest.mark.parametrize("path", ["/api/v1/batches", "/api/v1/batches/validate"])
@pytest.mark.parametrize(
    ("dataset", "field"),
    [
        ({"name": "../etc"}, "dataset.name"),
        ({"name": "/etc"}, "dataset.name"),
        ({"name": "bakers/none"}, "dataset.name"),
        ({"split": "dev"}, "dataset.split"),
        ({"config": "fr"}, "dataset.config"),
        ({"revision": "v9"}, "dataset.revision"),
        ({"streaming": True}, "dataset.streaming"),
    ],
)
def test_what_is_wrong_with_a_dataset_is_named(client, path, dataset, field):
    answer = ask(client, path, **dataset)

    assert answer.status_code == 422
    assert answer.get_json()["error"]["field"] == field


def test_a_dataset_and_a_file_are_not_taken_together(client):
    body = {"pipeline": "fake", "dataset": {"name": "bakers/reviews"}, "file_id": "0" * 32}
    answer = client.post("/api/v1/batches", json=body)

    assert (answer.status_code, answer.get_json()["error"]["field"]) == (422, "file_id")


def test_a_column_that_is_not_there_is_said_before_anything_is_kept(client, settings):
    body = {"pipeline": "fake", "dataset": {"name": "bakers/reviews"}, "inputs": {"text": "review"}}
    answer = client.post("/api/v1/batches", json=body)

    assert (answer.status_code, answer.get_json()["error"]["code"]) == (422, "unknown_column")
    assert not [path for path in (settings.storage.data_dir / "files").rglob("*") if path.is_file()]


def test_a_hub_that_is_away_is_a_503(client, hub):
    hub.is_down = True
    answer = ask(client)

    assert (answer.status_code, answer.get_json()["error"]["code"]) == (503, "unavailable")
    assert answer.headers["Retry-After"]


def test_an_operator_may_forbid_fetching(change, hub):
    client: FlaskClient = create_app(change("datasets", fetch=False, endpoint=hub.url)).test_client()
    answer = ask(client)

    assert (answer.status_code, answer.get_json()["error"]["field"]) == (422, "dataset.name")
    assert hub.seen == []


def test_a_folder_of_the_operators_is_named_like_a_dataset(change, tmp_path: Path):
    (tmp_path / "own" / "mine").mkdir(parents=True)
    (tmp_path / "own" / "mine" / "data.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    client = create_app(change("datasets", fetch=False, folder=tmp_path / "own")).test_client()

    assert ask(client, name="mine").status_code == 202
