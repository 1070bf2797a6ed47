"""Submitting on PostgreSQL, where requests really run at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from flask import Flask

from contract.settings import Settings
from contract.times import utc_now
from models.database import reading
from models.pipelines import sync_pipelines
from models.tables import job_data, jobs
from tests.databases import postgres_database, postgres_server
from tests.integration.api.conftest import PIPELINES

pytestmark = pytest.mark.postgres
URL = "/api/v1/jobs"


@pytest.fixture(scope="module")
def template() -> Iterator[str]:
    with postgres_server() as url:
        yield url


@pytest.fixture
def settings(settings: Settings, change, template: str) -> Iterator[Settings]:
    with postgres_database(template) as url:
        yield change("storage", database_url=url)


@pytest.fixture
def app(app: Flask) -> Flask:
    sync_pipelines(app.extensions["fournil"].engine, PIPELINES, utc_now())
    return app


def post_at_once(app, bodies, **headers):
    with ThreadPoolExecutor(len(bodies)) as pool:
        return list(pool.map(lambda body: app.test_client().post(URL, json=body, headers=headers), bodies))


def test_twenty_at_once_with_one_key_make_one_job(app, engine):
    answers = post_at_once(app, [{"pipeline": "fake", "inputs": "race"}] * 20, **{"Idempotency-Key": "k"})

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.get_json()["id"] for answer in answers}) == 1
    assert sorted(answer.headers.get("Idempotent-Replayed", "") for answer in answers) == [""] + ["true"] * 19
    with reading(engine) as conn:
        for table in (jobs, job_data):
            assert conn.scalar(sa.select(sa.func.count()).select_from(table)) == 1


def test_one_key_with_different_bodies_at_once_is_one_job_and_conflicts(app):
    bodies = [{"pipeline": "fake", "inputs": f"race {i}"} for i in range(10)]

    answers = post_at_once(app, bodies, **{"Idempotency-Key": "k"})

    assert sorted(answer.status_code for answer in answers) == [202] + [409] * 9


def test_a_job_goes_its_way(app, client, oven):
    made = client.post(
        URL, json={"pipeline": "fake", "inputs": "nul \u0000 and ☕", "metadata": {"a": 1.5}}
    ).get_json()
    assert made["position"] == 0
    oven.bake()

    done = client.get(made["urls"]["self"]).get_json()

    assert (done["status"], done["inputs"]["text"]) == ("succeeded", "nul \u0000 and ☕")
    assert done["timings"]["queue"] >= 0
    assert client.get(f"{URL}?status=succeeded&limit=1").get_json()["data"][0]["id"] == made["id"]
    assert client.get("/metrics").status_code == 200


@pytest.mark.parametrize(
    "path", ["/jobs/%00", "/jobs?pipeline=%00", "/jobs?batch=%00", "/pipelines/%00", "/files/%00"]
)
def test_a_nul_in_an_address_is_a_4xx_or_an_empty_list(client, path):
    answer = client.get(f"/api/v1{path}")

    assert answer.status_code in (404, 422) or answer.get_json()["data"] == []
