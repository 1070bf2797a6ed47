"""Health: whether this process lives, and whether the whole can bake."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa
from flask import Blueprint, Response
from sqlalchemy.exc import SQLAlchemyError

from contract.errors import ErrorCode, FournilError
from contract.statuses import PipelineState
from contract.times import utc_now
from models.database import reading
from models.migrate import is_current
from models.pipelines import list_pipelines
from models.workers import live_workers
from web.operations import Answer, operation, ref
from web.responses import json_response
from web.services import Services, services

blueprint = Blueprint("health", __name__)


@blueprint.get("/livez")
@operation("Is the process alive?", tag="health", answers={200: Answer("Yes.", ref("Alive"))})
def livez() -> Response:
    return json_response({"status": "alive"})


@blueprint.get("/readyz")
@operation(
    "Can it bake?",
    tag="health",
    description="Database, broker, a live worker, and a live worker that holds each warm pipeline.",
    answers={200: Answer("Yes.", ref("Ready"))},
    errors=(503,),
)
def readyz() -> Response:
    gone = list(missing(services()))
    if gone:
        raise FournilError(ErrorCode.UNAVAILABLE, "Not ready: " + "; ".join(gone) + ".", details={"missing": gone})
    return json_response({"status": "ready", "missing": []})


def missing(here: Services) -> Iterator[str]:
    """What is not there, each in a few words for the operator."""
    if not here.dispatch.reachable():
        yield "the broker does not answer"
    try:
        if not is_current(here.engine):
            yield "the database is not migrated: run `fournil migrate`"
            return
        with reading(here.engine) as conn:
            yield from _missing_ovens(conn)
    except SQLAlchemyError:
        yield "the database does not answer"


def _missing_ovens(conn: sa.Connection) -> Iterator[str]:
    live = [w for w in live_workers(conn, now=utc_now()) if w.state != "starting"]
    if not live:
        yield "no live worker"
    warm = {name for worker in live for name in worker.warm}
    for stored in list_pipelines(conn):
        if stored.spec.warm and stored.state is PipelineState.ACTIVE and stored.spec.name not in warm:
            yield f"pipeline {stored.spec.name} is not warm on a live worker"
