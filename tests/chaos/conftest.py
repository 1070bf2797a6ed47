"""On which database a stack runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.databases import postgres_database, postgres_server


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """The variables that name a fresh database: none for the SQLite that a stack makes for itself."""
    if request.param == "sqlite":
        yield {}
        return
    with postgres_server() as template, postgres_database(template) as url:
        yield {"FOURNIL_DATABASE_URL": url}
