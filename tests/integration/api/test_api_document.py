"""The document against the server, by generated requests: no 5xx, no undocumented status, no other shape."""

from __future__ import annotations

from datetime import timedelta

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, given
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from contract.times import utc_now

schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
BOUNDS = hypothesis.settings(
    max_examples=40, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


@pytest.fixture
def operations(app, oven):
    oven.be_seen(heartbeat_at=utc_now() + timedelta(hours=1))  # however long it takes, readiness stays the same
    found = [result.ok() for result in schemathesis.openapi.from_wsgi("/api/openapi.json", app).get_all_operations()]
    # A stream ends only when its job does.
    return [operation for operation in found if not operation.path.endswith("/events")]


def try_all(operations, mode, checks):
    """How many requests were made to each operation."""
    return {operation.label: _try_one(operation, mode, checks) for operation in operations}


def _try_one(operation, mode, checks):
    made = []

    @BOUNDS
    @given(case=operation.as_strategy(generation_mode=mode))
    def requests(case):
        case.headers.pop("Prefer", None)  # patience is tested elsewhere
        made.append(case)
        case.call_and_validate(checks=checks)

    requests()
    return len(made)


def test_requests_that_fit_the_document_meet_documented_answers(operations):
    made = try_all(operations, GenerationMode.POSITIVE, CHECKS)

    assert made["POST /api/v1/jobs"] > 5


def test_requests_that_do_not_fit_are_refused_as_documented(operations):
    wrongable = [
        operation for operation in operations if operation.label in ("POST /api/v1/jobs", "GET /api/v1/jobs")
    ]

    made = try_all(wrongable, GenerationMode.NEGATIVE, [*CHECKS, negative_data_rejection])

    assert all(count > 5 for count in made.values())
