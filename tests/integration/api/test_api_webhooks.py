"""Webhooks at the door: what may be asked for, what is refused, and what is shown."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from contract.schemas import checker
from contract.webhooks import BATCH_EVENTS, JOB_EVENTS
from tests.receiver import SECRET
from web.app import create_app
from web.schemas import COMPONENTS

URL = "https://example.org/told?token=mine"
WAITING = {
    "url": "https://example.org/told", "events": None, "state": "waiting", "tries": 0, "next_try_at": None,
    "answered": None, "problem": None, "delivered_at": None,
}  # fmt: skip


@pytest.fixture
def client(change) -> Iterator[FlaskClient]:
    """Of a server that sends webhooks."""
    app = create_app(change("webhooks", secret=SECRET))
    yield app.test_client()
    app.extensions["fournil"].close()


def a_job(client: FlaskClient, webhook: Any) -> Any:
    body = {"pipeline": "fake", "inputs": {"text": "x"}, "webhook": webhook}
    return client.post("/api/v1/jobs", json=body)


def a_batch(client: FlaskClient, webhook: Any) -> Any:
    request = json.dumps({"pipeline": "fake", "webhook": webhook})
    data = {"request": request, "file": (io.BytesIO(b"text\na\n"), "a.csv")}
    return client.post("/api/v1/batches", data=data)


@pytest.mark.parametrize(("ask", "kind"), [(a_job, "Job"), (a_batch, "Batch")])
def test_what_was_asked_for_is_shown(client, ask, kind):
    answer = ask(client, {"url": URL})

    assert answer.status_code == 202, answer.get_json()
    assert answer.get_json()["webhook"] == WAITING
    again = client.get(answer.headers["Location"]).get_json()
    assert again["webhook"] == WAITING
    assert checker(COMPONENTS[kind]).problems(again, at="") == []
    (listed,) = client.get(f"/api/v1/{'jobs' if kind == 'Job' else 'batches'}").get_json()["data"]
    assert listed["webhook"] == WAITING
    page = client.get(answer.headers["Location"].replace("/api/v1", "")).get_data(as_text=True)
    assert "told at the end" in page


@pytest.mark.parametrize("ask", [a_job, a_batch])
def test_without_one_nothing_of_it_is_shown(client, ask):
    assert "webhook" not in ask(client, None).get_json()


@pytest.mark.parametrize(("ask", "known"), [(a_job, JOB_EVENTS), (a_batch, BATCH_EVENTS)])
def test_events_are_those_of_a_job_or_of_a_batch(client, ask, known):
    answer = ask(client, {"url": URL, "events": list(known)})
    assert answer.get_json()["webhook"]["events"] == sorted(known)
    assert ask(client, {"url": URL, "events": ["completed"]}).get_json()["webhook"]["events"] is None
    (other,) = {JOB_EVENTS, BATCH_EVENTS} - {known}
    refused = ask(client, {"url": URL, "events": [other[0]]})
    assert refused.status_code == 422
    assert refused.get_json()["error"]["field"] == "webhook.events.0"


@pytest.mark.parametrize("ask", [a_job, a_batch])
@pytest.mark.parametrize(
    ("webhook", "field"),
    [
        ("https://example.org", "webhook"),
        ({}, "webhook.url"),
        ({"url": 5}, "webhook.url"),
        ({"url": URL, "method": "PUT"}, "webhook.method"),
        ({"url": URL, "events": []}, "webhook.events"),
        ({"url": "example.org/told"}, "webhook.url"),
        ({"url": "file:///etc/passwd"}, "webhook.url"),
        ({"url": "https://user:word@example.org/"}, "webhook.url"),
        ({"url": "http://localhost:6379/"}, "webhook.url"),
        ({"url": "http://127.0.0.1/"}, "webhook.url"),
        ({"url": "http://2130706433/"}, "webhook.url"),
        ({"url": "http://[::ffff:10.0.0.1]/"}, "webhook.url"),
        ({"url": "http://169.254.169.254/latest/meta-data/"}, "webhook.url"),
        ({"url": f"https://example.org/{'x' * 2_000}"}, "webhook.url"),
    ],
)
def test_what_cannot_be_told_is_refused_by_name(client, ask, webhook, field):
    answer = ask(client, webhook)
    assert (answer.status_code, answer.get_json()["error"]["field"]) == (422, field)


def test_private_addresses_are_taken_where_the_operator_says_so(change):
    app = create_app(change("webhooks", secret=SECRET, private=True))
    assert a_job(app.test_client(), {"url": "http://127.0.0.1/"}).status_code == 202
    app.extensions["fournil"].close()


@pytest.mark.parametrize("ask", [a_job, a_batch])
def test_without_a_secret_the_answer_says_what_is_to_be_set(app, ask):
    error = ask(app.test_client(), {"url": URL}).get_json()["error"]
    assert (error["code"], error["field"]) == ("invalid_value", "webhook")
    assert "FOURNIL_WEBHOOK_SECRET" in error["message"]


def test_those_that_are_not_delivered_are_counted(client):
    a_job(client, {"url": URL})
    assert 'fournil_webhooks{state="waiting"} 1.0' in client.get("/metrics").get_data(as_text=True)
