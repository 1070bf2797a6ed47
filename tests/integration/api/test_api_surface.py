"""Pipelines, tasks, workers, health, metrics, the document: what is around jobs."""

from __future__ import annotations

from datetime import timedelta

import pytest

from contract.schemas import checker
from contract.settings import Broker, Settings, Storage
from contract.statuses import PipelineState
from contract.tasks import ALIASES
from contract.times import utc_now
from models.database import transaction
from models.pipelines import note_loaded, set_state
from web.app import create_app
from web.schemas import COMPONENTS


def fits(name, value):
    """Whether a value is what the document says, its references resolved."""
    schema = {**COMPONENTS[name], "components": {"schemas": COMPONENTS}}
    return checker(schema).problems(value, at=name) == []


def test_answers_are_what_the_document_says(client, submit, oven):
    oven.be_seen(baking={"pipeline": "fake", "rows": 3})
    submit()
    oven.fail(oven.take(), "No.")
    submit()
    oven.bake()
    submit(pipeline="chat", expires_in=5, metadata={"a": 1})

    assert fits("JobPage", client.get("/api/v1/jobs").get_json())
    assert fits("PipelineList", client.get("/api/v1/pipelines").get_json())
    assert fits("TaskList", client.get("/api/v1/tasks").get_json())
    assert fits("WorkerList", client.get("/api/v1/workers").get_json())


def test_a_pipeline_shows_what_it_takes_and_how_busy_it_is(client, submit, oven, engine):
    oven.be_seen()
    transaction(engine, lambda conn: note_loaded(conn, "fake", {"id": "fake", "commit": "c0", "dtype": "float32"}))
    submit()
    submit()
    oven.take()

    shown = client.get("/api/v1/pipelines/fake").get_json()

    assert (shown["queued"], shown["running"]) == (1, 1)
    assert (shown["warm_on"], shown["device"], shown["commit"], shown["dtype"]) == (
        ["host/cpu"],
        "cpu",
        "c0",
        "float32",
    )
    assert shown["input_schema"]["required"] == ["text"]


def test_a_default_of_the_pipeline_stands_in_its_schema(client):
    shown = client.get("/api/v1/pipelines/chat").get_json()

    assert shown["parameters_schema"]["properties"]["max_new_tokens"]["default"] == 8


@pytest.mark.parametrize("path", ["none", "NONE!", "%00"])
def test_a_pipeline_that_is_not_there_is_404(client, path):
    for answer in (client.get(f"/api/v1/pipelines/{path}"), client.post(f"/api/v1/pipelines/{path}/pause")):
        assert (answer.status_code, answer.get_json()["error"]["code"]) == (404, "not_found")


def test_a_pipeline_is_paused_and_resumed(client):
    assert client.post("/api/v1/pipelines/fake/pause").get_json()["state"] == "paused"
    assert client.post("/api/v1/pipelines/fake/resume").get_json()["state"] == "active"


def test_a_broken_pipeline_cannot_be_paused(client, engine):
    transaction(engine, lambda conn: set_state(conn, "fake", PipelineState.BROKEN, reason="x", now=utc_now()))

    assert client.post("/api/v1/pipelines/fake/pause").status_code == 409


def test_examples_of_the_catalogue_are_accepted(client):
    for task in client.get("/api/v1/tasks").get_json()["data"]:
        assert checker(task["input_schema"]).problems(task["example"]["inputs"], at="inputs") == []
        assert checker(task["parameters_schema"]).problems(task["example"]["parameters"], at="p") == []


def test_the_catalogue_says_by_which_other_names_a_task_and_its_columns_go(client):
    tasks = {task["name"]: task for task in client.get("/api/v1/tasks").get_json()["data"]}

    named = {alias: name for name, task in tasks.items() for alias in task["aliases"]}
    assert named == {**ALIASES, "translation_xx_to_yy": "translation"}
    assert "review" in tasks["text-classification"]["column_names"]["text"]
    assert tasks["text-classification"]["result_columns"] == ["label", "score"]


def test_a_worker_that_fell_silent_is_shown_and_not_live(client, oven):
    oven.be_seen(heartbeat_at=utc_now() - timedelta(minutes=1))

    shown = client.get("/api/v1/workers").get_json()["data"][0]

    assert (shown["live"], shown["warm"]) == (False, [{"pipeline": "fake", "bytes": 1_000_000}])


# Health


def missing(client):
    answer = client.get("/readyz")
    if answer.status_code == 200:
        assert answer.get_json() == {"status": "ready", "missing": []}
        return []
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    return answer.get_json()["error"]["details"]["missing"]


def test_ready_when_all_is_there(client, oven):
    oven.be_seen()

    assert missing(client) == []


@pytest.mark.parametrize("seen", [{"state": "starting"}, {"state": "stopped"}, {"heartbeat_at": None}])
def test_a_worker_that_cannot_bake_does_not_count(client, oven, seen):
    if "heartbeat_at" in seen:
        seen = {"heartbeat_at": utc_now() - timedelta(seconds=30)}
    oven.be_seen(**seen)

    assert missing(client) == ["no live worker", "pipeline fake is not warm on a live worker"]


def test_a_warm_pipeline_that_is_cold_is_named(client, oven):
    oven.be_seen(warm={})

    assert missing(client) == ["pipeline fake is not warm on a live worker"]


def test_a_broken_pipeline_holds_nobody_up(client, oven, engine):
    oven.be_seen(warm={})
    transaction(engine, lambda conn: set_state(conn, "fake", PipelineState.BROKEN, reason="x", now=utc_now()))

    assert missing(client) == []


def test_what_is_missing_is_named_where_nothing_is_there(tmp_path):
    settings = Settings(storage=Storage(data_dir=tmp_path), broker=Broker(url="redis://127.0.0.1:1"))
    client = create_app(settings).test_client()

    assert missing(client) == [
        "the broker does not answer",
        "the database is not migrated: run `fournil migrate`",
    ]
    assert client.get("/livez").status_code == 200
    assert client.get("/api/v1/jobs").status_code == 503


# Metrics and the document


def test_metrics_count_what_waits_and_what_was_answered(client, submit, oven):
    oven.be_seen()
    submit()

    text = client.get("/metrics").get_data(as_text=True)

    assert 'fournil_jobs_open{pipeline="fake",status="queued"} 1.0' in text
    assert 'fournil_oldest_wait_seconds{pipeline="fake"}' in text
    assert 'fournil_workers{state="ready"} 1.0' in text
    assert 'fournil_warm_bytes{pipeline="fake",worker="host/cpu"} 1e+06' in text
    assert 'fournil_http_requests_total{method="POST",route="/api/v1/jobs",status="202"} 1.0' in text


def test_metrics_tell_how_well_microbatches_were_filled(client, oven):
    count = {"rows": 30, "microbatches": 4, "real_tokens": 950, "padded_tokens": 1000, "seconds": 0.5}
    oven.be_seen(tally={"fake": {**count, "out_of_memory": 1, "budget": 512}})

    text = client.get("/metrics").get_data(as_text=True)

    labels = '{pipeline="fake",worker="host/cpu"}'
    assert f"fournil_rows_baked_total{labels} 30.0" in text
    assert f"fournil_microbatches_total{labels} 4.0" in text
    assert f"fournil_real_tokens_total{labels} 950.0" in text
    assert f"fournil_padded_tokens_total{labels} 1000.0" in text
    assert f"fournil_compute_seconds_total{labels} 0.5" in text
    assert f"fournil_out_of_memory_total{labels} 1.0" in text
    assert f"fournil_budget_tokens{labels} 512.0" in text
    assert f"fournil_padding_waste_ratio{labels} 0.05" in text


def test_made_up_methods_make_no_series_of_their_own(client):
    client.open("/api/v1/jobs", method="BREW")

    assert "BREW" not in client.get("/metrics").get_data(as_text=True)


def test_the_document_names_pipelines_that_run_in_its_examples(client):
    document = client.get("/api/openapi.json").get_json()
    examples = document["paths"]["/api/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]["examples"]

    assert document["openapi"].startswith("3.1")
    assert examples["text-classification"]["value"]["pipeline"] == "fake"
    assert client.post("/api/v1/jobs", json=examples["text-generation"]["value"]).status_code == 202


def test_the_document_has_each_method_of_resumable_uploads_and_none_that_flask_adds(client):
    paths = client.get("/api/openapi.json").get_json()["paths"]
    assert set(paths["/api/v1/uploads"]) == {"options", "post"}
    assert set(paths["/api/v1/uploads/{upload_id}"]) == {"delete", "head", "options", "patch", "post"}
    assert set(paths["/api/v1/jobs/{job_id}"]) == {"delete", "get"}
    head = paths["/api/v1/uploads/{upload_id}"]["head"]["responses"]
    assert {"Upload-Length", "Upload-Offset"} <= set(head["200"]["headers"])
    assert not any("content" in answer for answer in head.values())
    names = [one["operationId"] for methods in paths.values() for one in methods.values()]
    assert len(names) == len(set(names))


def test_the_page_of_the_document_needs_no_other_host(client):
    page = client.get("/api/docs").get_data(as_text=True)

    assert "http" not in page
    for asset in ("swagger-ui.css", "swagger-ui-bundle.js", "start.js"):
        assert client.get(f"/api/docs/{asset}").status_code == 200
    assert client.get("/api/docs/nothing.js").status_code == 404
