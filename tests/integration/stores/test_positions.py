"""How many go first: exact near the front, right far back too, and never counted row by row there."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from models import positions as store
from models.database import reading
from models.jobs import Job, find_jobs, list_batch_jobs
from models.positions import positions
from tests.integration.conftest import NOW


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "COUNTED", 3)


def rows_of(engine: sa.Engine, batch_id: str) -> list[Job]:
    with reading(engine) as conn:
        return list_batch_jobs(conn, batch_id, limit=100).items


def places(engine: sa.Engine, jobs: list[Job]) -> list[int]:
    """Of each asked for alone; asked for as a page they are the same."""
    with reading(engine) as conn:
        alone = [positions(conn, [job]).get(job.id) for job in jobs]
        together = positions(conn, jobs)
    assert [together.get(job.id) for job in jobs] == alone
    return [place for place in alone if place is not None]


@pytest.mark.usefixtures("counted")
def test_rows_far_back_stand_behind_the_files_before_theirs(engine, batch_factory):
    batches = [batch_factory(6, now=NOW + timedelta(seconds=place)) for place in range(3)]
    found = [place for batch in batches for place in places(engine, rows_of(engine, batch.id))]
    assert found == list(range(18))


@pytest.mark.usefixtures("counted")
def test_rows_that_are_in_hand_stand_before_nobody(engine, batch_factory, claim_rows):
    first, second = batch_factory(6), batch_factory(6, now=NOW + timedelta(seconds=1))
    claim_rows(4)
    assert places(engine, rows_of(engine, first.id)[4:]) == [0, 1]
    assert places(engine, rows_of(engine, second.id)) == [2, 3, 4, 5, 6, 7]


@pytest.mark.usefixtures("counted")
def test_another_job_far_back_has_so_many_before_it_at_least(engine, job_factory):
    ids = [job_factory() for _ in range(6)]
    with reading(engine) as conn:
        jobs = find_jobs(conn, ids)
        found = [positions(conn, [jobs[job_id]])[job_id] for job_id in ids]
    assert found == [0, 1, 2, 3, 3, 3]
