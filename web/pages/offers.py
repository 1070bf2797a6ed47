"""What a card says of a pipeline: its definition, whether it is warm somewhere, and how much waits for it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from contract.times import utc_now
from models.jobs import count_open
from models.pipelines import StoredPipeline, list_pipelines
from models.workers import Worker, live_workers
from web.serializers import pipeline_json
from web.services import services


def silent_for() -> timedelta:
    """A worker that beat longer ago than its leases last has lost its rows: it is not there."""
    return timedelta(seconds=services().settings.inference.lease_seconds)


def offers(conn: sa.Connection) -> list[dict[str, Any]]:
    """Every pipeline, in the order of the pipelines file."""
    return _offers(conn, list_pipelines(conn))


def offer_of(conn: sa.Connection, stored: StoredPipeline) -> dict[str, Any]:
    return _offers(conn, [stored])[0]


def _offers(conn: sa.Connection, some: list[StoredPipeline]) -> list[dict[str, Any]]:
    counts, ovens = count_open(conn), live_workers(conn, silent_for=silent_for(), now=utc_now())
    return [_offer(stored, counts.get(stored.spec.name, {}), ovens) for stored in some]


def _offer(stored: StoredPipeline, counts: dict[str, int], ovens: list[Worker]) -> dict[str, Any]:
    task = stored.spec.catalogue
    shown = pipeline_json(stored, counts=counts, warm_on=[oven for oven in ovens if stored.spec.name in oven.warm])
    return {**shown, "task_title": task.title, "summary": stored.spec.description or task.summary}
