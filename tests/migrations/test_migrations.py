"""Migrations: up from nothing, one head, and no difference from the tables in the code."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory

from contract.pipelines import PipelineSpec
from contract.statuses import BatchStatus, JobStatus
from contract.times import utc_now
from models.counts import count
from models.database import make_engine, reading
from models.migrate import MIGRATIONS, alembic_config, is_current, upgrade
from models.pipelines import sync_pipelines
from tests.databases import postgres_database, postgres_server


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request, tmp_path: Path):
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'm.db'}"
    else:
        with postgres_server() as template, postgres_database(template) as found:
            yield found


def test_there_is_one_head():
    assert len(ScriptDirectory(str(MIGRATIONS)).get_heads()) == 1


def test_up_from_nothing_gives_the_tables_of_the_code(url):
    upgrade(url)
    upgrade(url)
    command.check(alembic_config(url))
    engine = make_engine(url)
    assert is_current(engine)
    engine.dispose()


def test_the_database_knows_the_same_statuses_as_the_code(url):
    upgrade(url)
    engine = make_engine(url)
    checks = {
        check["name"]: check["sqltext"]
        for table in ("jobs", "batches")
        for check in sa.inspect(engine).get_check_constraints(table)
    }
    engine.dispose()
    assert all(f"'{status}'" in checks["ck_jobs_status"] for status in JobStatus)
    assert all(f"'{status}'" in checks["ck_batches_status"] for status in BatchStatus)


def test_batches_of_before_are_counted_and_the_way_back_works(url):
    config = alembic_config(url)
    upgrade(url)
    command.downgrade(config, "0002")
    engine = make_engine(url)
    with engine.begin() as conn:
        conn.execute(sa.text("INSERT INTO files VALUES ('f', 'a.csv', 'text/csv', 1, '2026-01-01 00:00:00')"))
        conn.execute(
            sa.text(
                "INSERT INTO batches (id, pipeline, status, filename, file_id, mapping, on_invalid_rows, parameters, "
                "invalid, errors, cursor, cursor_version, ingested, created_at) VALUES ('b', 'p', 'running', "
                "'a.csv', 'f', '{}', 'skip', '{}', 0, '[]', '{}', 0, true, '2026-01-01 00:00:00')"
            )
        )
        conn.execute(sa.text("INSERT INTO row_ids VALUES ('b', 'mine')"))
        for row, status in enumerate(("queued", "queued", "succeeded", "canceled")):
            conn.execute(
                sa.text(
                    "INSERT INTO jobs (id, pipeline, batch_id, row, line, status, priority, available_at, attempts, "
                    "fence, crashes, created_at) VALUES (:id, 'p', 'b', :row, 1, :status, 1, '2026-01-01 00:00:00', "
                    "0, 0, 0, '2026-01-01 00:00:00')"
                ),
                {"id": f"j{row}", "row": row, "status": status},
            )
    for _ in range(2):
        upgrade(url)
        with reading(engine) as conn:
            found = {name: number for name, number in count(conn, "b").items() if number}
        assert found == {"queued": 2, "succeeded": 1, "canceled": 1}
        engine.dispose()
        command.downgrade(config, "0002")
        with engine.connect() as conn:
            kept = [conn.scalar(sa.text(f"SELECT count(*) FROM {table}")) for table in ("jobs", "batches", "row_ids")]
        assert kept == [4, 1, 1]
    engine.dispose()


def test_batches_of_before_get_the_task_that_their_pipeline_has(url):
    config = alembic_config(url)
    upgrade(url)
    engine = make_engine(url)
    sync_pipelines(engine, [PipelineSpec("p", "text-classification", backend="fake")], utc_now())
    command.downgrade(config, "0007")
    with engine.begin() as conn:
        conn.execute(sa.text("INSERT INTO files VALUES ('f', 'a.csv', 'text/csv', 1, '2026-01-01 00:00:00', false)"))
        for name in ("p", "gone"):
            conn.execute(
                sa.text(
                    "INSERT INTO batches (id, pipeline, status, filename, file_id, mapping, on_invalid_rows, "
                    "parameters, invalid, errors, cursor, cursor_version, ingested, created_at) VALUES (:name, "
                    ":name, 'completed', 'a.csv', 'f', '{}', 'skip', '{}', 0, '[]', '{}', 0, true, '2026-01-01')"
                ),
                {"name": name},
            )
    engine.dispose()
    upgrade(url)
    with engine.connect() as conn:
        found = conn.execute(sa.text("SELECT id, task FROM batches ORDER BY id")).all()
    engine.dispose()
    assert [tuple(row) for row in found] == [("gone", None), ("p", "text-classification")]
