"""What is sent after a commit, and what becomes of a request when the broker is not there."""

from __future__ import annotations

import base64
import json
import shutil
import signal
import tempfile
import time
from pathlib import Path

import pytest
import redis

from contract.names import CANCEL_BATCH, INFER, INGEST
from models.database import reading
from models.jobs import list_jobs
from tests.brokers import start_valkey
from web.app import create_app

URL = "/api/v1/jobs"
BODY = {"pipeline": "fake", "inputs": "hello"}


def messages(broker, settings, queue):
    """`(task, args)` of what waits in a queue."""
    found = [json.loads(raw) for raw in broker.lrange(f"{settings.broker.prefix}:{queue}", 0, -1)]
    for message in found:
        assert message["content-type"] == "application/json"
    return [(m["headers"]["task"], json.loads(base64.b64decode(m["body"]))[0]) for m in found]


@pytest.fixture
def dispatch(app):
    return app.extensions["fournil"].dispatch


def test_many_jobs_make_one_message(submit, broker, settings):
    for _ in range(5):
        submit()

    assert messages(broker, settings, "infer.fake") == [(INFER, ["fake"])]


def test_a_wake_after_the_broker_was_emptied_arrives_all_the_same(submit, broker, settings):
    submit()
    for key in broker.scan_iter(f"{settings.broker.prefix}*"):
        broker.delete(key)

    submit()

    assert messages(broker, settings, "infer.fake") == [(INFER, ["fake"])]


def test_each_kind_goes_to_its_queue(dispatch, broker, settings):
    assert dispatch.ingest("b1")
    assert dispatch.cancel_batch("b2")

    assert messages(broker, settings, "ingest") == [(INGEST, ["b1"])]
    assert messages(broker, settings, "upkeep") == [(CANCEL_BATCH, ["b2"])]


def test_a_refused_job_sends_nothing(client, broker, settings):
    client.post(URL, json={**BODY, "colour": 1})

    assert messages(broker, settings, "infer.fake") == []


def test_without_the_broker_a_job_is_accepted_soon(change):
    client = create_app(change("broker", url="redis://127.0.0.1:1/0")).test_client()
    began = time.monotonic()

    assert [client.post(URL, json=BODY).status_code for _ in range(3)] == [202] * 3
    assert time.monotonic() - began < 4


def test_a_broker_that_hangs_costs_one_request_a_little(change):
    folder = Path(tempfile.mkdtemp(prefix="fvk", dir="/tmp"))
    process, url = start_valkey(folder)
    client = create_app(change("broker", url=url)).test_client()
    try:
        assert client.post(URL, json=BODY).status_code == 202
        redis.Redis.from_url(url).flushall()
        process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        assert [client.post(URL, json=BODY).status_code for _ in range(3)] == [202] * 3
        assert time.monotonic() - began < 6
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder)


def test_the_message_goes_out_after_the_commit(app, engine, monkeypatch):
    seen = []

    def look(self, pipeline):
        with reading(engine) as conn:
            seen.append(len(list_jobs(conn, limit=10).items))
        return True

    monkeypatch.setattr("web.dispatch.Dispatch.wake", look)
    app.test_client().post(URL, json=BODY)

    assert seen == [1]
