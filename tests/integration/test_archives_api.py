"""Archives of files through the API and the page: dry run, refusals, and results joined with the metadata."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from contract.pipelines import PipelineSpec
from contract.schemas import checker
from contract.times import utc_now
from models import batches, claims, records
from models.database import transaction
from models.pipelines import sync_pipelines
from models.records import Success, Timing
from tests.archives import locked, tarred, zipped
from tests.integration.caller import Caller
from tests.integration.conftest import NOW
from tests.pictures import shaded
from web.schemas import BATCH_REPORT

METADATA = b"file_name,shop,n\na.png,north,1\ncats/b.png,south,2\n"
PHOTOS = {"cats/b.png": shaded(2), "metadata.csv": METADATA, "a.png": shaded(1)}


@pytest.fixture
def pictures(caller: Caller) -> Caller:
    specs = [
        PipelineSpec("fake", "text-classification", backend="fake"),
        PipelineSpec("pictures", "image-classification", backend="fake"),
        PipelineSpec("pairs", "keypoint-matching", backend="fake"),
        PipelineSpec("ask", "visual-question-answering", backend="fake"),
    ]
    sync_pipelines(caller.engine, specs, NOW)
    return caller


def validated(caller: Caller, data: bytes, **request: Any) -> dict[str, Any]:
    answer = caller.upload(data, {"pipeline": "pictures", **request}, name="photos.zip", path="/validate")
    assert answer.status_code == 200, answer.text
    report: dict[str, Any] = answer.json
    assert not checker(BATCH_REPORT).problems(report, at="report")
    return report


LOAF = [{"label": "loaf", "score": 0.5}]


def bake(caller: Caller, path: str, pipeline: str = "pictures", result: Any = LOAF) -> None:
    now = utc_now()

    def work(conn: sa.Connection) -> None:
        rows = claims.claim(conn, pipeline, limit=9, worker="w", lease=timedelta(seconds=60), now=now)
        done = [Success(row.id, row.fence, result) for row in rows]
        records.finish(conn, done, model={"id": "fake"}, timing=Timing(load=0.0, inference=0.01), now=now)
        batches.close_if_over(conn, path.rpartition("/")[2], now=now)

    transaction(caller.engine, work)


@pytest.mark.parametrize("make", [zipped, tarred])
def test_results_join_the_names_and_the_metadata(pictures, make):
    path = pictures.batch(make(PHOTOS), {"pipeline": "pictures", "id_column": "n"}, name="photos.zip")
    pictures.read(path)
    bake(pictures, path)

    batch = pictures.shown(path)
    assert (batch["status"], batch["counts"]["succeeded"]) == ("completed", 2)
    assert batch["inputs"] == {"image": "file_name"}
    found = list(csv.DictReader(io.StringIO(pictures.get(f"{path}/results").text, newline="")))
    assert [list(row.values())[:5] for row in found] == [
        ["a.png", "north", "1", "loaf", "0.5"], ["cats/b.png", "south", "2", "loaf", "0.5"],
    ]  # fmt: skip
    lines = [json.loads(line) for line in pictures.get(f"{path}/results?format=jsonl").text.splitlines()]
    found = [(line["row"], line["id"], line["file_name"]) for line in lines]
    assert found == [(0, "1", "a.png"), (1, "2", "cats/b.png")]
    # Not only while what was made of the archive is there.
    for copy in pictures.files.rglob("*.list"):
        copy.unlink()
    [last] = pictures.get(f"{path}/results?format=jsonl&from_row=1").text.splitlines()
    assert json.loads(last) == lines[1]
    assert pictures.http.delete(path).status_code == 204
    assert pictures.stored() == []


def test_a_dry_run_shows_names_and_sizes_and_keeps_nothing(pictures):
    report = validated(pictures, zipped({**PHOTOS, "c.txt": b"hello"}))

    assert (report["format"], report["counts"]) == ("zip", {"total": 3, "invalid": 1})
    assert report["columns"] == ["file_name", "shop", "n"]
    assert report["rows"][0]["inputs"] == {"image": {"member": {"name": "a.png", "bytes": len(shaded(1))}}}
    assert [(error["row"], error["message"]) for error in report["errors"]] == [
        (1, "The metadata has no row for this file (file 'c.txt').")
    ]
    assert pictures.stored() == []
    assert validated(pictures, zipped({"a.png": shaded(), "c.txt": b"hello"}))["errors"][0]["field"] == "inputs.image"


def test_columns_of_the_metadata_feed_other_fields(pictures):
    report = validated(pictures, zipped(PHOTOS), pipeline="ask", inputs={"question": "shop", "parameters.top_k": "n"})

    assert report["inputs"] == {"question": "shop", "image": "file_name", "parameters.top_k": "n"}
    assert [(row["inputs"]["question"], row["parameters"]) for row in report["rows"]] == [
        ("north", {"top_k": 1}), ("south", {"top_k": 2}),
    ]  # fmt: skip
    lacking = validated(pictures, zipped({"a.png": shaded()}), pipeline="ask")
    assert (lacking["error"]["code"], "question" in lacking["error"]["message"]) == ("unknown_column", True)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (zipped(PHOTOS)[:-25], "unreadable_file"),
        (tarred(PHOTOS)[:2_000], "unreadable_file"),
        (tarred(PHOTOS, "gz")[:-40], "unreadable_file"),
        (zipped({}), "empty_file"),
        (zipped({"rows.jsonl": b'{"image": "x"}\n'}), "unknown_format"),
        (zipped({f"{n}.png": bytes(9_999_999) for n in range(125)})[:], "too_large"),
    ],
    ids=["a cut ZIP", "a cut tar", "a cut tar.gz", "nothing", "a table", "a bomb"],
)
def test_a_bad_archive_is_refused_at_the_door_and_nothing_stays(pictures, data, code):
    before = pictures.everything()
    answer = pictures.upload(data, {"pipeline": "pictures"}, name="photos.zip")

    status = 413 if code == "too_large" else 422
    assert (answer.status_code, answer.json["error"]["code"]) == (status, code), answer.text
    assert answer.json["error"]["field"] == "file"
    assert pictures.everything() == before
    assert pictures.stored() == []


def test_archives_of_files_are_nothing_for_a_pipeline_of_texts(pictures):
    for data in (zipped(PHOTOS), tarred(PHOTOS), tarred(PHOTOS, "gz")):
        answer = pictures.upload(data, {"pipeline": "fake"}, name="photos.zip")
        assert (answer.status_code, answer.json["error"]["code"]) == (422, "unknown_format")
        assert "pipelines that take images" in answer.json["error"]["message"]


def test_pairs_are_named_by_the_metadata_and_joined_with_their_results(pictures):
    metadata = b"file_name,other_file_name,n\na.png,cats/b.png,1\ncats/b.png,a.png,2\n"
    data = tarred({**PHOTOS, "metadata.csv": metadata}, "gz")
    report = validated(pictures, data, pipeline="pairs")
    assert (report["inputs"], report["counts"]) == ({"images": "file_name"}, {"total": 2, "invalid": 0})
    names = [[file["member"]["name"] for file in row["inputs"]["images"]] for row in report["rows"]]
    assert names == [["a.png", "cats/b.png"], ["cats/b.png", "a.png"]]

    path = pictures.batch(data, {"pipeline": "pairs"}, name="photos.zip")
    pictures.read(path)
    [one, other] = [row["inputs"]["images"] for row in pictures.get(f"{path}/jobs").json["data"]]
    sent = [pictures.http.get(file["file"]["url"]).data for file in (*one, *other)]
    assert sent == [shaded(1), shaded(2), shaded(2), shaded(1)]
    bake(pictures, path, "pairs", [])
    found = list(csv.DictReader(io.StringIO(pictures.get(f"{path}/results").text, newline="")))
    assert [list(row.values())[:4] for row in found] == [
        ["a.png", "cats/b.png", "1", "0"], ["cats/b.png", "a.png", "2", "0"],
    ]  # fmt: skip


def test_an_archive_that_names_no_pairs_says_how_to_name_them(pictures):
    answer = pictures.upload(zipped(PHOTOS), {"pipeline": "pairs"}, name="photos.zip")
    assert (answer.status_code, answer.json["error"]["code"]) == (422, "unknown_format")
    assert '{"file_names": ["a.png", "b.png"]}' in answer.json["error"]["message"]


def test_a_second_file_that_is_no_image_is_named(pictures):
    metadata = b"file_name,other_file_name\na.png,notes.txt\n"
    data = zipped({**PHOTOS, "metadata.csv": metadata, "notes.txt": b"hello"})
    path = pictures.batch(data, {"pipeline": "pairs", "on_invalid_rows": "skip"}, name="photos.zip")
    pictures.read(path)
    lines = [json.loads(line) for line in pictures.get(f"{path}/errors").text.splitlines()]
    assert [line["message"].rpartition("(")[2] for line in lines if line["row"] == 0] == ["file 'notes.txt')."]


def test_files_with_a_password_and_archives_in_archives_are_bad_rows(pictures):
    inner = zipped({"a.png": shaded(), "b.zip": zipped(PHOTOS)})
    for data, rows in ((locked({"a.png": shaded()}), 1), (inner, 1)):
        path = pictures.batch(data, {"pipeline": "pictures", "on_invalid_rows": "skip"}, name="photos.zip")
        batch = pictures.read(path)
        assert batch["counts"]["invalid"] == rows
        [line] = pictures.get(f"{path}/errors").text.splitlines()
        assert json.loads(line)["input"]["file_name"] in json.loads(line)["message"]
