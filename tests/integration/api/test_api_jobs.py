"""Jobs over HTTP: what is accepted, what is refused and how, and how one is polled."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from contract.schemas import checker
from contract.statuses import PipelineState
from contract.times import utc_now
from models.database import reading, transaction
from models.jobs import find_job
from models.pipelines import set_state, sync_pipelines
from models.tables import jobs
from tests.integration.api.conftest import PIPELINES
from web.schemas import COMPONENTS

URL = "/api/v1/jobs"


def body(**more):
    return {"pipeline": "fake", "inputs": {"text": "hello"}, **more}


def problem(answer, status):
    """The error of an answer that must be one, in the one shape."""
    assert answer.status_code == status, answer.get_data()
    assert answer.headers["X-Request-ID"] == answer.get_json()["request_id"]
    assert checker(COMPONENTS["Error"]).problems(answer.get_json(), at="") == []
    return answer.get_json()["error"]


def test_a_job_is_accepted_and_says_where_to_poll(client):
    answer = client.post(URL, json=body(metadata={"a": "b"}))

    job = answer.get_json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"{URL}/{job['id']}" == job["urls"]["self"]
    assert answer.headers["Retry-After"] == "1"
    assert (job["status"], job["task"], job["metadata"]) == ("queued", "text-classification", {"a": "b"})
    assert job["created_at"].endswith("Z")


def test_a_finished_job_shows_its_result_times_and_model(client, submit, oven):
    job = submit()
    oven.bake([{"label": "even", "score": 0.75}])

    answer = client.get(job["urls"]["self"])
    done = answer.get_json()

    assert (done["status"], done["attempts"], done["position"]) == ("succeeded", 1, None)
    assert done["result"] == [{"label": "even", "score": 0.75}]
    assert done["timings"]["inference"] == 0.01
    assert done["timings"]["queue"] >= 0
    assert done["model"] == {"id": "fake", "commit": "fake", "dtype": "none", "backend": "fake"}
    assert "Retry-After" not in answer.headers


def test_a_failed_job_says_why(client, submit, oven):
    job = submit()
    oven.fail(oven.take(), "The model could not be run on this input.")

    done = client.get(job["urls"]["self"]).get_json()

    assert done["status"] == "failed"
    assert done["error"] == {"code": "inference_failed", "message": "The model could not be run on this input."}
    assert done["result"] is None


def test_a_bare_string_is_the_text_and_never_a_path(client, oven):
    answer = client.post(URL, json=body(inputs="/etc/passwd"))

    assert answer.get_json()["inputs"] == {"text": "/etc/passwd"}


def test_the_request_may_be_a_part_of_a_form(client):
    answer = client.post(URL, data={"request": json.dumps(body())}, content_type="multipart/form-data")

    assert answer.status_code == 202


def test_a_part_that_is_no_field_is_named(client):
    parts = {"request": json.dumps(body()), "image": (io.BytesIO(b"x"), "a.png")}

    assert problem(client.post(URL, data=parts), 422)["field"] == "image"


def test_a_form_without_a_request_is_told_so(client):
    assert problem(client.post(URL, data={}, content_type="multipart/form-data"), 422)["field"] == "request"


@pytest.mark.parametrize(
    ("wrong", "code", "field"),
    [
        ({"pipeline": "fka"}, "unknown_pipeline", "pipeline"),
        ({"pipeline": "no\u0000such/one"}, "unknown_pipeline", "pipeline"),
        ({"pipeline": 5}, "invalid_value", "pipeline"),
        ({"inputs": {"text": 5}}, "invalid_value", "inputs.text"),
        ({"inputs": {"text": ""}}, "invalid_value", "inputs.text"),
        ({"inputs": {}}, "missing_field", "inputs.text"),
        ({"inputs": ["a"]}, "invalid_value", "inputs"),
        ({"inputs": {"text": "x", "txt": "y"}}, "unknown_field", "inputs.txt"),
        ({"colour": 1}, "unknown_field", "colour"),
        ({"parameters": {"top_k": -1}}, "invalid_value", "parameters.top_k"),
        ({"parameters": {"shell": "rm"}}, "unknown_field", "parameters.shell"),
        ({"parameters": []}, "invalid_value", "parameters"),
        ({"inputs": None}, "invalid_value", "inputs"),
        ({"pipeline": "labels"}, "missing_field", "parameters.candidate_labels"),
        ({"pipeline": "chat", "inputs": {}}, "missing_field", "inputs"),
        ({"priority": "urgent"}, "invalid_value", "priority"),
        ({"metadata": {"a": [1]}}, "invalid_value", "metadata.a"),
        ({"metadata": {str(i): "" for i in range(17)}}, "invalid_value", "metadata"),
        ({"metadata": {"a": "x" * 513}}, "invalid_value", "metadata.a"),
        ({"expires_in": 0}, "invalid_value", "expires_in"),
        ({"expires_in": 1e9}, "invalid_value", "expires_in"),
        ({"expires_in": "soon"}, "invalid_value", "expires_in"),
        ({"webhook": {"url": "https://example.org"}}, "invalid_value", "webhook"),
    ],
)
def test_a_wrong_field_is_named(client, wrong, code, field):
    error = problem(client.post(URL, json=body(**wrong)), 422)

    assert (error["code"], error["field"]) == (code, field)


def test_null_is_as_good_as_leaving_a_field_out(client):
    nothing = dict.fromkeys(("parameters", "priority", "metadata", "expires_in", "webhook"))
    job = client.post(URL, json=body(**nothing)).get_json()

    assert (job["parameters"], job["priority"], job["metadata"], job["expires_at"]) == ({}, "interactive", {}, None)


def test_a_misspelt_pipeline_gets_the_nearest_name(client):
    error = problem(client.post(URL, json=body(pipeline="fak")), 422)

    assert error["message"] == "No pipeline is called 'fak'. Did you mean 'fake'?"


def test_all_problems_are_listed_in_the_details(client):
    error = problem(client.post(URL, json=body(inputs={"text": 1}, parameters={"top_k": 0, "x": 1})), 422)

    assert {p["field"] for p in error["details"]["problems"]} == {
        "inputs.text",
        "parameters.top_k",
        "parameters.x",
    }


@pytest.mark.parametrize(
    ("data", "content_type", "status", "code"),
    [
        (b"{nope", "application/json", 400, "invalid_json"),
        (b"\xff\xfe", "application/json", 400, "invalid_json"),
        (b'{"pipeline": NaN}', "application/json", 400, "invalid_json"),
        (b'{"pipeline": 1e999}', "application/json", 400, "invalid_json"),
        (b"[" * 5000, "application/json", 400, "invalid_json"),
        (b"", "application/json", 400, "invalid_json"),
        (b"[]", "application/json", 400, "invalid_request"),
        (b"x", "text/plain", 415, "unsupported_media_type"),
        (b"a=b", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b"", None, 415, "unsupported_media_type"),
    ],
)
def test_what_is_not_json_is_refused(client, data, content_type, status, code):
    assert problem(client.post(URL, data=data, content_type=content_type), status)["code"] == code


def test_a_compressed_body_is_refused(client):
    answer = client.post(URL, json=body(), headers={"Content-Encoding": "gzip"})

    assert problem(answer, 415)["code"] == "unsupported_media_type"


def test_a_body_that_is_too_large_is_refused(client, settings):
    text = "x" * (settings.web.max_json_bytes + 1)

    assert problem(client.post(URL, json=body(inputs=text)), 413)["code"] == "too_large"


def test_a_whole_number_written_as_5_0_reaches_the_worker_as_5(client, oven):
    client.post(URL, json=body(parameters={"top_k": 5.0}))

    assert repr(oven.take()[0].parameters["top_k"]) == "5"


def test_a_path_of_this_machine_is_not_shown_as_the_model(client):
    job = client.post(URL, json=body(pipeline="chat", inputs="hi")).get_json()

    assert job["model"]["id"] == "tiny"
    assert "/srv" not in json.dumps(client.get("/api/v1/pipelines").get_json())


@pytest.mark.parametrize("state", [PipelineState.PAUSED, PipelineState.BROKEN])
def test_a_pipeline_that_does_not_run_accepts_jobs(client, engine, submit, state):
    transaction(engine, lambda conn: set_state(conn, "fake", state, reason="x", now=utc_now()))

    assert submit()["status"] == "queued"


def test_expires_in_sets_the_moment(client, engine):
    job = client.post(URL, json=body(expires_in=60)).get_json()

    with reading(engine) as conn:
        row = find_job(conn, job["id"])
    assert (row.expires_at - row.created_at).total_seconds() == 60
    assert job["expires_at"].endswith("Z")


def test_position_counts_who_goes_first_in_a_job_and_in_a_list(client, submit):
    made = [submit(priority="bulk"), submit(priority="bulk"), submit(), submit(pipeline="chat")]

    alone = [client.get(job["urls"]["self"]).get_json()["position"] for job in made]
    listed = {job["id"]: job["position"] for job in client.get(URL).get_json()["data"]}

    assert alone == [1, 2, 0, 0]
    assert [listed[job["id"]] for job in made] == alone


# Idempotency


def test_the_same_key_and_body_answer_the_first_job(client):
    headers = {"Idempotency-Key": "k"}
    first, again = (client.post(URL, json=body(), headers=headers) for _ in range(2))

    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.status_code == 202
    assert again.get_json()["id"] == first.get_json()["id"]


def test_a_replay_of_a_finished_job_is_200(client, oven):
    headers = {"Idempotency-Key": "k"}
    client.post(URL, json=body(), headers=headers)
    oven.bake()

    assert client.post(URL, json=body(), headers=headers).status_code == 200


def test_the_order_of_fields_makes_no_other_body(client):
    headers = {"Idempotency-Key": "k"}
    client.post(URL, json=body(), headers=headers)

    again = client.post(URL, json=dict(reversed(list(body().items()))), headers=headers)

    assert again.headers["Idempotent-Replayed"] == "true"


def test_the_same_key_with_another_body_is_a_conflict(client):
    headers = {"Idempotency-Key": "k"}
    client.post(URL, json=body(), headers=headers)

    error = problem(client.post(URL, json=body(inputs="other"), headers=headers), 409)

    assert error["code"] == "idempotency_conflict"


@pytest.mark.parametrize("key", ["", "x" * 256, "a b"])
def test_a_key_that_is_none_is_refused(client, key):
    answer = client.post(URL, json=body(), headers={"Idempotency-Key": key})

    assert problem(answer, 422)["field"] == "Idempotency-Key"


def test_twenty_at_once_with_one_key_make_one_job(app, engine):
    def go(_):
        return app.test_client().post(URL, json=body(), headers={"Idempotency-Key": "race"})

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(go, range(20)))

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.get_json()["id"] for answer in answers}) == 1
    with reading(engine) as conn:
        assert conn.scalar(sa.select(sa.func.count()).select_from(jobs)) == 1


# Polling


def test_an_unchanged_job_is_304(client, submit):
    url = submit()["urls"]["self"]
    tag = client.get(url).headers["ETag"]

    again = client.get(url, headers={"If-None-Match": tag})

    assert (again.status_code, again.get_data()) == (304, b"")
    assert again.headers["ETag"] == tag
    assert client.head(url, headers={"If-None-Match": tag}).status_code == 304


def test_another_status_has_another_etag(client, submit, oven):
    url = submit()["urls"]["self"]
    tags = [client.get(url).headers["ETag"]]
    rows = oven.take()
    tags.append(client.get(url).headers["ETag"])
    oven.finish(rows, [{"label": "x", "score": 1.0}])
    tags.append(client.get(url).headers["ETag"])

    assert len(set(tags)) == 3
    assert client.get(url, headers={"If-None-Match": tags[0]}).status_code == 200


@pytest.mark.parametrize("path", ["nothing-here", "0" * 32, "%00", "..%2f..", "x" * 300])
@pytest.mark.parametrize(("method", "tail"), [("GET", ""), ("GET", "/events"), ("POST", "/cancel"), ("DELETE", "")])
def test_an_unknown_id_is_404(client, path, method, tail):
    assert problem(client.open(f"{URL}/{path}{tail}", method=method), 404)["code"] == "not_found"


# Cancel and delete


def test_cancel_is_final_and_idempotent(client, submit, oven):
    job = submit()
    first, again = (client.post(job["urls"]["cancel"]) for _ in range(2))

    assert (first.status_code, again.status_code) == (200, 200)
    assert first.get_json() == again.get_json()
    assert first.get_json()["status"] == "canceled"
    assert oven.take() == []


def test_a_result_that_comes_after_a_cancel_is_dropped(client, submit, oven):
    job = submit()
    rows = oven.take()
    client.post(job["urls"]["cancel"])
    oven.finish(rows, [{"label": "late", "score": 1.0}])

    done = client.get(job["urls"]["self"]).get_json()

    assert (done["status"], done["result"]) == ("canceled", None)


def test_cancel_after_the_end_changes_nothing(client, submit, oven):
    job = submit()
    oven.bake()

    assert client.post(job["urls"]["cancel"]).get_json()["status"] == "succeeded"


def test_a_job_that_is_over_can_be_deleted_and_an_open_one_not(client, submit, oven):
    url = submit()["urls"]["self"]
    assert problem(client.delete(url), 409)["code"] == "conflict"
    oven.bake()

    assert (client.delete(url).status_code, client.get(url).status_code) == (204, 404)


# Lists


def test_pages_come_newest_first_and_repeat_nothing(client, submit):
    made = [submit(f"page {i}")["id"] for i in range(5)]
    seen, cursor = [], ""
    for _ in range(3):
        page = client.get(f"{URL}?limit=2&cursor={cursor}").get_json()
        seen += [job["id"] for job in page["data"]]
        cursor = page["next_cursor"]

    assert seen == made[::-1]
    assert (page["has_more"], cursor) == (False, None)


def test_filters_narrow_the_list(client, submit, oven):
    first, second, chat = submit(), submit(), submit(pipeline="chat")
    oven.bake()

    def ids(query):
        return [job["id"] for job in client.get(f"{URL}?{query}").get_json()["data"]]

    assert ids("status=succeeded") == [first["id"]]
    assert ids("pipeline=chat") == [chat["id"]]
    assert ids("pipeline=fake&status=queued") == [second["id"]]
    assert ids("batch=none-such") == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=many", "limit"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=1.5", "limit"),
        ("limit=%D9%A1", "limit"),
        ("limit=1&limit=2", "limit"),
        ("cursor=%00%ff", "cursor"),
        ("cursor=YmF0Y2hlczow", "cursor"),
        ("status=done", "status"),
        ("colour=1", "colour"),
    ],
)
def test_a_wrong_query_parameter_is_named(client, query, field):
    assert problem(client.get(f"{URL}?{query}"), 422)["field"] == field


def test_another_method_is_405_and_says_which_there_are(client):
    answer = client.put(URL, json={})

    assert problem(answer, 405)["code"] == "method_not_allowed"
    assert "POST" in answer.headers["Allow"]


def test_a_job_of_a_pipeline_that_is_gone_can_still_be_read(client, submit, engine):
    job = submit()
    sync_pipelines(engine, PIPELINES[1:], utc_now())

    shown = client.get(job["urls"]["self"]).get_json()

    assert (shown["pipeline"], shown["task"], shown["status"]) == ("fake", "text-classification", "queued")


def test_another_site_cannot_make_a_browser_submit(client):
    foreign = {"Sec-Fetch-Site": "cross-site"}
    body = {"pipeline": "fake", "inputs": "hello"}
    assert client.post("/api/v1/jobs", json=body, headers=foreign).status_code == 403
    assert client.get("/api/v1/jobs", headers=foreign).status_code == 200
    assert client.post("/api/v1/jobs", json=body, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 202
