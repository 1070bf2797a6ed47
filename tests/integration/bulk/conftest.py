"""Files go the same way on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from contract.pipelines import PipelineSpec
from models.pipelines import sync_pipelines
from tests.databases import engine_for
from tests.integration.conftest import NOW


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    """Two fake pipelines, on either database."""
    with engine_for(database_url) as found:
        specs = [PipelineSpec(name, "text-classification", backend="fake") for name in ("fake", "other")]
        sync_pipelines(found, specs, NOW)
        yield found
