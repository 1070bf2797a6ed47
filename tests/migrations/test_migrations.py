"""Migrations: up from nothing, one head, and no difference from the tables in the code."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory

from contract.statuses import BatchStatus, JobStatus
from models.database import make_engine
from models.migrate import MIGRATIONS, alembic_config, is_current, upgrade
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
