"""Waiting for a job: long polls and event streams, on a real server with threads."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPResponse

import httpx
import pytest

from tests.processes import wait_until

URL = "/api/v1/jobs"


@pytest.fixture
def http(serve):
    with httpx.Client(base_url=serve(), timeout=30) as made:
        yield made


def post(http, *, pipeline="fake", headers=None):
    return http.post(URL, json={"pipeline": pipeline, "inputs": {"text": "x"}}, headers=headers or {})


def open_events(http, job_id, **headers):
    return http.stream("GET", f"{URL}/{job_id}/events", headers={"Accept": "text/event-stream", **headers})


def read_events(response):
    """`(event, id, data)` of each event until the stream ends."""
    events, current = [], {}
    for line in response.iter_lines():
        if line and not line.startswith(":"):
            key, _, value = line.partition(": ")
            current[key] = value
        elif "event" in current:
            events.append((current["event"], current["id"], json.loads(current["data"])))
            current = {}
    return events


def kinds(events):
    return [(kind, data.get("status", data.get("text"))) for kind, _, data in events]


def test_a_post_that_waits_answers_the_finished_job(http, oven):
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(post, http, headers={"Prefer": "wait=20"})
        wait_until(lambda: http.get(URL).json()["data"], what="the job")
        oven.bake()
        answer = waiting.result()

    assert (answer.status_code, answer.json()["status"]) == (200, "succeeded")
    assert answer.headers["Preference-Applied"] == "wait=20"


def test_a_post_that_waits_in_vain_gives_up_in_time(http):
    began = time.monotonic()

    answer = post(http, headers={"Prefer": "respond-async, wait=1"})

    assert 0.9 < time.monotonic() - began < 2.5
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")


def test_a_long_poll_answers_at_the_next_status(http, oven):
    job = post(http).json()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(http.get, job["urls"]["self"], headers={"Prefer": "wait=20"})
        wait_until(lambda: 'route="/api/v1/jobs"' in http.get("/metrics").text, what="the server")
        oven.take()
        answer = waiting.result()

    assert (answer.status_code, answer.json()["status"]) == (200, "running")


def test_a_long_poll_by_somebody_who_saw_an_older_status_answers_at_once(http, oven):
    job = post(http).json()
    tag = http.get(job["urls"]["self"]).headers["ETag"]
    oven.take()
    began = time.monotonic()

    answer = http.get(job["urls"]["self"], headers={"Prefer": "wait=20", "If-None-Match": tag})

    assert time.monotonic() - began < 5
    assert answer.json()["status"] == "running"


def test_a_long_poll_with_nothing_new_is_304(http):
    job = post(http).json()
    tag = http.get(job["urls"]["self"]).headers["ETag"]

    answer = http.get(job["urls"]["self"], headers={"Prefer": "wait=1", "If-None-Match": tag})

    assert answer.status_code == 304


def test_a_wait_sees_a_change_that_no_message_told_of(http, oven):
    job = post(http).json()
    oven._keys.prefix = "elsewhere"  # the worker's messages go astray
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(http.get, job["urls"]["self"], headers={"Prefer": "wait=20"})
        oven.bake()
        assert waiting.result(timeout=8).json()["status"] in ("running", "succeeded")


def test_over_the_cap_a_poll_is_answered_at_once_and_a_stream_refused(serve):
    with httpx.Client(base_url=serve(FOURNIL_WEB_WAITING="1"), timeout=30) as http:
        job = post(http).json()
        with open_events(http, job["id"]) as first:
            lines = first.iter_lines()  # kept: dropping it would close the stream
            next(lines)
            began = time.monotonic()
            poll = http.get(job["urls"]["self"], headers={"Prefer": "wait=20"})
            assert (poll.status_code, time.monotonic() - began < 5) == (200, True)
            second = http.get(f"{URL}/{job['id']}/events")

    assert second.status_code == 429
    assert second.json()["error"]["code"] == "overloaded"
    assert int(second.headers["Retry-After"]) > 0


def test_a_stream_that_is_closed_gives_its_place_back(serve, oven):
    with httpx.Client(base_url=serve(FOURNIL_WEB_WAITING="1"), timeout=30) as http:
        job = post(http).json()
        for _ in range(3):
            with open_events(http, job["id"]) as stream:
                assert stream.status_code == 200
                oven.bake()
                stream.read()


def test_events_tell_each_status_and_end_with_done(http, oven):
    job = post(http).json()
    with open_events(http, job["id"]) as stream, ThreadPoolExecutor(1) as pool:
        lines = stream.iter_lines()
        head = [next(lines) for _ in range(4)]
        reading = pool.submit(lambda: list(lines))
        rows = oven.take()
        wait_until(lambda: http.get(job["urls"]["self"]).json()["status"] == "running", what="running")
        threading.Event().wait(0.2)  # what the stream must tell has no other trace to wait for
        oven.finish(rows, [{"label": "x", "score": 1.0}])
        rest = reading.result()

    assert stream.headers["Content-Type"].startswith("text/event-stream")
    assert stream.headers["X-Accel-Buffering"] == "no"
    told = [line for line in head + rest if line.startswith("event")]
    assert told == ["event: status"] * 3 + ["event: done"]
    assert all(line.startswith("id: ") for line in head + rest if line.startswith("id"))


def test_events_of_a_finished_job_are_its_status_and_done(http, oven):
    job = post(http).json()
    oven.bake()

    with open_events(http, job["id"]) as stream:
        events = read_events(stream)

    assert kinds(events) == [("status", "succeeded"), ("done", "succeeded")]
    assert events[-1][2]["result"]


def test_text_comes_as_it_is_written_and_before_the_end(http, oven):
    job = post(http, pipeline="chat").json()
    with open_events(http, job["id"]) as stream, ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read_events, stream)
        rows = oven.take("chat")
        for piece in ("Bread ", "is ", "été ☕"):
            oven.write(job["id"], piece)
        oven.finish(rows, {"generated_text": "Bread is été ☕"})
        events = reading.result()

    assert [text for kind, text in kinds(events) if kind == "token"] == ["Bread ", "is ", "été ☕"]
    assert kinds(events)[-2:] == [("status", "succeeded"), ("done", "succeeded")]


def test_a_reader_is_told_where_a_text_begins_once_more(http, oven):
    job = post(http, pipeline="chat").json()
    rows = oven.take("chat")
    for piece, first in (("Bread", True), (" is", False), ("Bread ", True)):
        oven.write(job["id"], piece, first=first)
    oven.finish(rows, {"generated_text": "Bread "})
    with open_events(http, job["id"]) as stream:
        told = [data for kind, _, data in read_events(stream) if kind == "token"]

    assert told == [{"text": "Bread", "first": True}, {"text": " is"}, {"text": "Bread ", "first": True}]


def test_a_reader_that_comes_back_gets_the_rest(http, oven):
    job = post(http, pipeline="chat").json()
    rows = oven.take("chat")
    for piece in "abc":
        oven.write(job["id"], piece)
    oven.finish(rows, {"generated_text": "abc"})
    with open_events(http, job["id"]) as stream:
        all_of_them = read_events(stream)
    second = [event_id for kind, event_id, _ in all_of_them if kind == "token"][1]

    with open_events(http, job["id"], **{"Last-Event-ID": second}) as stream:
        rest = read_events(stream)

    assert kinds(rest) == [("token", "c"), ("status", "succeeded"), ("done", "succeeded")]


def test_a_reader_that_saw_the_end_is_told_it_again(http, oven):
    job = post(http).json()
    oven.bake()
    with open_events(http, job["id"]) as stream:
        last = read_events(stream)[-1][1]

    with open_events(http, job["id"], **{"Last-Event-ID": last}) as stream:
        assert kinds(read_events(stream)) == [("done", "succeeded")]


def test_a_last_event_id_that_is_junk_begins_at_the_beginning(http, oven):
    job = post(http).json()
    oven.bake()

    with open_events(http, job["id"], **{"Last-Event-ID": "junk"}) as stream:
        assert len(read_events(stream)) == 2


NO_HTTP = [
    (b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n" % (b"a" * 9_000), 414),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: %s\r\n\r\n" % (b"a" * 9_000), 431),
    (b"nonsense\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nno header\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
]


def test_what_is_no_http_is_refused_in_the_shape_of_every_error(http):
    for sent, status in NO_HTTP:
        with socket.create_connection(("127.0.0.1", http.base_url.port), timeout=10) as connection:
            connection.sendall(sent)
            answer = HTTPResponse(connection)
            answer.begin()
            told = json.loads(answer.read())

        assert (answer.status, told["error"]["code"]) == (status, "invalid_request")
        assert answer.headers["X-Request-ID"] == told["request_id"]


def test_waiting_callers_leave_threads_for_others(serve, oven):
    with httpx.Client(base_url=serve(threads=8, FOURNIL_WEB_WAITING="4"), timeout=30) as http:
        job = post(http).json()
        with ThreadPoolExecutor(8) as pool:
            polls = [pool.submit(http.get, job["urls"]["self"], headers={"Prefer": "wait=20"}) for _ in range(8)]
            began = time.monotonic()
            assert http.get("/livez").status_code == 200
            assert time.monotonic() - began < 2
            oven.bake()
            assert {poll.result().status_code for poll in polls} == {200}


def test_who_does_not_hang_up_after_the_last_answer_keeps_nobody_from_being_accepted(http):
    with contextlib.ExitStack() as opened:
        for _ in range(8):
            address = ("127.0.0.1", http.base_url.port)
            lingering = opened.enter_context(socket.create_connection(address, timeout=10))
            lingering.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        # One after the other they would take sixteen seconds.
        with socket.create_connection(address, timeout=8) as newcomer:
            newcomer.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
            assert newcomer.recv(15) == b"HTTP/1.1 200 OK"
