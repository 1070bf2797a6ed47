"""What a request says, read without a server."""

from __future__ import annotations

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import ErrorCode, RequestError
from contract.schemas import whole_numbers
from web.requests import CURSOR, LIMIT, decode_cursor, encode_cursor, object_from, read_query, wait_seconds

APP = Flask(__name__)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("wait=10", 10),
        ("respond-async, wait=7", 7),
        ("WAIT = 3; foo", 3),
        ('wait="5"', 5),
        ("wait=100000", 60),
        ("wait=0", 0),
        ("wait=-1", 0),
        ("wait=soon", 0),
        ("wait=1.5", 0),
        ("await=5", 0),
        ("", 0),
    ],
)
def test_prefer_wait_is_bounded_and_junk_is_ignored(header, seconds):
    with APP.test_request_context(headers={"Prefer": header}):
        assert wait_seconds() == seconds


@given(st.text(max_size=60))
def test_a_cursor_comes_back_as_it_went(key):
    assert decode_cursor("jobs", encode_cursor("jobs", key), pattern=r"(?s:.*)") == key


@given(st.text(max_size=100))
def test_a_cursor_somebody_made_up_is_refused_by_name(text):
    with pytest.raises(RequestError) as refused:
        decode_cursor("jobs", text)

    assert (refused.value.code, refused.value.field) == (ErrorCode.INVALID_VALUE, "cursor")


def test_a_cursor_of_another_list_is_refused():
    with pytest.raises(RequestError):
        decode_cursor("batches", encode_cursor("jobs", "0" * 32))


def test_parameters_that_are_absent_or_empty_have_their_defaults():
    with APP.test_request_context("/?cursor="):
        assert read_query(LIMIT, CURSOR) == {"limit": 20, "cursor": None}


@given(st.binary(max_size=50))
def test_a_body_is_an_object_or_a_400(data):
    try:
        code = None if isinstance(object_from(data), dict) else "nothing"
    except RequestError as error:
        code = error.code

    assert code in (None, ErrorCode.INVALID_JSON, ErrorCode.INVALID_REQUEST)


def test_whole_numbers_changes_only_what_must_be_whole():
    schema = {"properties": {"k": {"type": ["integer", "null"]}, "t": {"type": "number"}}}

    assert repr(whole_numbers(schema, {"k": 5.0, "t": 5.0, "x": 5.0})) == "{'k': 5, 't': 5.0, 'x': 5.0}"
