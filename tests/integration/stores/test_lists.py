"""Lists of jobs: what is asked for is found by an index, not among what others have."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from contract.statuses import JobStatus
from models import claims, records
from models.database import note_growth, reading, transaction
from models.jobs import list_jobs, recent_inputs
from models.records import Success, Timing
from tests.integration.stores.conftest import NOW


def plans(engine: sa.Engine, look: Any) -> str:
    """What the database says it does for the statements of a look."""
    heard: list[tuple[str, Any]] = []
    listen = lambda _c, _u, statement, parameters, *_: heard.append((statement, parameters))  # noqa: E731
    with reading(engine) as conn:
        sa.event.listen(conn, "before_cursor_execute", listen)
        look(conn)
        sa.event.remove(conn, "before_cursor_execute", listen)
        explain = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else "EXPLAIN "
        said = [conn.exec_driver_sql(explain + statement, parameters) for statement, parameters in heard]
        return "\n".join(str(row[-1]) for one in said for row in one)


@pytest.fixture
def rare(engine, batch_factory, job_factory) -> str:
    """The one job of a pipeline, behind thousands of another's."""
    job_id: str = job_factory(pipeline="other")
    batch_factory(3_000)
    note_growth(engine, "jobs")
    return job_id


def test_the_newest_jobs_of_a_pipeline_with_few_are_not_looked_for_among_anothers(engine, rare):
    with reading(engine) as conn:
        assert [job.id for job in list_jobs(conn, limit=50, pipeline="other").items] == [rare]
        assert list_jobs(conn, limit=50, pipeline="other", after=rare).items == []
        assert list_jobs(conn, limit=50, pipeline="other", status=JobStatus.SUCCEEDED).items == []
    for more in ({}, {"after": "f"}, {"status": JobStatus.SUCCEEDED}):
        found = plans(engine, lambda conn, more=more: list_jobs(conn, limit=50, pipeline="other", **more))
        assert "ix_jobs_pipeline" in found, found
    assert "ix_jobs_pipeline" in plans(
        engine, lambda conn: recent_inputs(conn, "other", "text-classification", limit=5)
    )


def test_recent_inputs_are_those_of_the_task_that_a_pipeline_has_now(engine, job_factory, claim_rows):
    for text, task in (("a", "text-classification"), ("b", "feature-extraction"), ("c", None)):
        job_factory(text, task=task)
    rows = claim_rows()
    done = [Success(row.id, row.fence, [0.5]) for row in rows]
    timing = Timing(load=0.0, inference=0.0)
    transaction(engine, lambda conn: records.finish(conn, done, model={"id": "fake"}, timing=timing, now=NOW))
    with reading(engine) as conn:
        found = recent_inputs(conn, "fake", "feature-extraction", limit=9)
    assert [inputs["text"] for inputs in found] == ["c", "b"]


def test_no_workers_are_started_for_a_page(engine):
    if engine.dialect.name == "postgresql":
        with reading(engine) as conn:
            assert conn.scalar(sa.text("SHOW max_parallel_workers_per_gather")) == "0"


def test_whether_rows_wait_is_seen_in_the_index_of_those_that_do_also_where_most_did_a_moment_ago(
    engine, batch_factory
):
    batch_factory(3_000)
    note_growth(engine, "jobs")
    found = plans(engine, lambda conn: claims.any_waiting(conn, "fake", now=NOW))
    assert "ix_jobs_claim" in found, found
    assert "Sort" not in found, found


def test_rows_that_are_named_are_found_by_their_key_however_few_run(engine, batch_factory, claim_rows):
    if engine.dialect.name == "sqlite":
        pytest.skip("asks no statistics")
    batch_factory(3_000)
    rows = claim_rows(20)
    # Of the moment when few run. What ran before stands in the indexes of those that run until the next vacuum.
    note_growth(engine, "jobs")
    done = [Success(row.id, row.fence, [1]) for row in rows]
    looks = (
        lambda conn: records.finish(conn, done, model={"id": "m"}, timing=Timing(0.0, 0.0), now=NOW),
        lambda conn: claims.still_mine(conn, rows),
        lambda conn: claims.release(conn, rows),
    )
    for look in looks:
        found = plans(engine, look)
        assert "pk_jobs" in found, found
        assert "ix_jobs_worker" not in found, found
        assert "ix_jobs_lease" not in found, found
