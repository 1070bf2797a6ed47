"""Every error has the one shape, an id, and no word of our insides."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
from flask import Flask, abort
from sqlalchemy.exc import OperationalError

from contract.errors import HTTP_STATUS, ErrorCode, FournilError
from contract.schemas import checker
from web import errors, responses
from web.schemas import ERROR

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def app():
    made = Flask(__name__)
    responses.register(made)
    errors.register(made)

    @made.get("/api/abort/<int:status>")
    def stop(status):
        abort(status)

    @made.get("/api/raise")
    def fail():
        raise RuntimeError("secret /srv/path")

    @made.get("/api/database")
    def database():
        raise OperationalError("SELECT secret", {}, Exception("secret"))

    @made.get("/api/code/<code>")
    def code(code):
        raise FournilError(ErrorCode(code), "A sentence.", field="f", details={"a": 1})

    return made


@pytest.fixture
def client(app):
    return app.test_client()


def error(answer):
    body = answer.get_json()
    assert checker(ERROR).problems(body, at="") == []
    assert answer.headers["X-Request-ID"] == body["request_id"]
    return body["error"]


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "invalid_request"), (404, "not_found"), (405, "method_not_allowed"), (406, "invalid_request"),
     (413, "too_large"), (415, "unsupported_media_type"), (429, "overloaded"), (500, "internal"),
     (502, "internal"), (503, "unavailable")],
)  # fmt: skip
def test_http_errors_have_the_one_shape_and_keep_their_status(client, status, code):
    answer = client.get(f"/api/abort/{status}")

    assert (answer.status_code, error(answer)["code"]) == (status, code)
    assert ("Retry-After" in answer.headers) == (status in (429, 503))


@pytest.mark.parametrize("code", sorted(HTTP_STATUS))
def test_each_code_answers_its_status(client, code):
    answer = client.get(f"/api/code/{code.value}")

    assert answer.status_code == HTTP_STATUS[code]
    assert error(answer) == {"code": code.value, "message": "A sentence.", "field": "f", "details": {"a": 1}}


def test_what_nobody_thought_of_says_nothing_of_itself(client, caplog):
    with caplog.at_level(logging.CRITICAL):
        answer = client.get("/api/raise")

    assert (answer.status_code, error(answer)["code"]) == (500, "internal")
    assert "secret" not in answer.get_data(as_text=True)


def test_a_database_that_is_away_is_503(client):
    answer = client.get("/api/database")

    assert (answer.status_code, error(answer)["code"]) == (503, "unavailable")
    assert "secret" not in answer.get_data(as_text=True)


@pytest.mark.parametrize("given", ["abc-1.2_3", "x" * 64])
def test_a_sane_request_id_is_kept(client, given):
    assert client.get("/api/raise", headers={"X-Request-ID": given}).headers["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "é", "<script>"])
def test_another_request_id_is_replaced(client, given):
    found = client.get("/nowhere", headers={"X-Request-ID": given}).headers["X-Request-ID"]

    assert re.fullmatch("[0-9a-f]{32}", found)


def test_a_person_gets_a_page_where_there_is_one(app, client):
    app.extensions[errors.ERROR_PAGE] = lambda error, status: f"<p>{error.message}</p>"
    html = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}

    page = client.get("/nowhere", headers=html)

    assert (page.status_code, page.get_data(as_text=True)) == (404, "<p>There is nothing at this address.</p>")
    assert client.get("/nowhere").is_json
    assert client.get("/api/nowhere", headers=html).is_json


def test_every_answer_has_the_security_headers(client):
    headers = client.get("/nowhere").headers

    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"


def test_the_documented_codes_are_those_in_the_code():
    text = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    documented = dict(re.findall(r"^\| `([a-z_]+)` \| (\d*) ?\|", text, re.MULTILINE))

    assert documented == {code.value: str(HTTP_STATUS.get(code, "")) for code in ErrorCode}
