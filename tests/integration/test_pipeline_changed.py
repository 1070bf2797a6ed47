"""A pipeline keeps its name and is for another task now: what was sent before is told by what it was sent for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contract.pipelines import PipelineSpec
from contract.times import utc_now
from models.pipelines import sync_pipelines
from models.sheets.export import MEDIA
from tests.integration.api.pages import get
from tests.integration.caller import MAPPED, Caller, sheet
from tests.integration.test_batches_unripe import as_texts

OTHER = PipelineSpec("other", "text-classification", backend="fake")


def offer(caller: Caller, task: str | None) -> None:
    """The pipelines file says so now, and everything has been started again."""
    changed = [] if task is None else [PipelineSpec("fake", task, backend="fake")]
    sync_pipelines(caller.engine, [*changed, OTHER], utc_now())


def exports(caller: Caller, path: str) -> dict[str, Any]:
    return {format: as_texts(caller, path, format) for format in MEDIA}


@pytest.mark.parametrize(
    "tasks", [["feature-extraction"], ["zero-shot-classification"], [None], [None, "feature-extraction"]]
)
def test_a_batch_exports_as_it_did_whatever_its_pipeline_is_for_now(caller, tasks):
    path = caller.done(sheet(), MAPPED)
    before = exports(caller, path)
    assert [row["label"] for row in before["parquet"]] == ["good", "good", "good", None, "good", "good"]
    for task in tasks:
        offer(caller, task)
    assert exports(caller, path) == before
    assert caller.get(path).json["task"] == "text-classification"


def test_results_so_far_go_on_with_the_columns_they_began_with(caller):
    path = caller.batch(sheet(), MAPPED)
    caller.read(path)
    caller.bake(path, limit=2)
    first = caller.get(f"{path}/results?format=csv&numbered=true").text
    assert first.splitlines()[0] == "row_number,ref,review,note,label,score,status,error"
    offer(caller, "feature-extraction")
    assert caller.get(f"{path}/results?format=csv&numbered=true").text == first


def test_rows_that_failed_before_are_not_run_again_for_another_task(caller):
    path = caller.done(sheet(), MAPPED)
    offer(caller, "feature-extraction")
    answer = caller.http.post(f"{path}/retry")
    assert (answer.status_code, answer.json["error"]["code"]) == (409, "pipeline_changed")
    assert "text-classification" in answer.json["error"]["message"]
    assert caller.shown(path)["status"] == "completed"
    offer(caller, "text-classification")
    assert caller.http.post(f"{path}/retry").status_code == 202


def test_the_page_of_a_batch_shows_its_rows_as_before_and_why_the_rest_does_not_run_again(caller):
    path = caller.done(sheet(), MAPPED)
    page = path.removeprefix("/api/v1")
    again = f"{page}/retry"
    before = get(caller.http, page)
    assert before.has("form", action=again)
    offer(caller, "feature-extraction")
    after = get(caller.http, page)
    assert "good · 75" in after.text
    assert not after.has("form", action=again)
    assert "is for feature-extraction now" in after.text
    row = caller.get(f"{path}/jobs").json["data"][0]
    assert row["task"] == "text-classification"
    assert "Text classification" in get(caller.http, f"/jobs/{row['id']}").text
    assert "good · 75" in get(caller.http, "/jobs?rows=all").text


def test_a_file_is_not_read_on_for_another_task(caller):
    path = caller.batch(sheet(), MAPPED)
    offer(caller, "feature-extraction")
    batch = caller.read(path)
    assert (batch["status"], batch["errors"][0]["code"]) == ("failed", "pipeline_changed")


def test_a_job_is_told_by_the_task_it_was_sent_for(caller):
    path = caller.done(sheet(), MAPPED)
    sent = caller.http.post("/api/v1/jobs", json={"pipeline": "fake", "inputs": "hello"}).json
    caller.bake(path)
    offer(caller, "feature-extraction")
    job = caller.get(f"/api/v1/jobs/{sent['id']}").json
    assert (job["task"], job["status"]) == ("text-classification", "succeeded")
    page = get(caller.http, f"/jobs/{sent['id']}")
    assert "Text classification" in page.text
    assert json.dumps("good") in page.text
    # The form of a pipeline for something else does not open with what was sent to this one.
    assert "hello" not in get(caller.http, f"/pipelines/fake?job={sent['id']}").text
