"""Pipelines over HTTP: what is offered, with schemas and state; pause and resume."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from flask import Blueprint, Response

from contract.errors import ErrorCode, FournilError
from contract.names import PIPELINE_NAME
from contract.statuses import PipelineState
from contract.times import utc_now
from models.counts import count_open
from models.database import reading, transaction
from models.pipelines import StoredPipeline, find_pipeline, list_pipelines, set_state
from models.workers import Worker, live_workers
from web.errors import not_found
from web.operations import Answer, operation, ref
from web.responses import json_response
from web.serializers import page_json, pipeline_json
from web.services import services

blueprint = Blueprint("pipelines", __name__, url_prefix="/api/v1")

_ONE = Answer("The pipeline.", ref("Pipeline"))


@blueprint.get("/pipelines")
@operation("List pipelines", tag="pipelines", answers={200: Answer("All of them.", ref("PipelineList"))})
def index() -> Response:
    with reading(services().engine) as conn:
        shown = show_pipelines(conn)
    return json_response(page_json(shown, kind="pipelines", after=None))


@blueprint.get("/pipelines/<name>")
@operation("Read a pipeline", tag="pipelines", answers={200: _ONE}, errors=(404,))
def show(name: str) -> Response:
    return json_response(_load(name))


@blueprint.post("/pipelines/<name>/pause")
@operation(
    "Pause a pipeline",
    tag="pipelines",
    description="It goes on accepting jobs and runs none. Rows a worker has in hand are finished.",
    answers={200: _ONE},
    errors=(404, 409),
)
def pause(name: str) -> Response:
    _set(name, PipelineState.PAUSED, reason="Paused by an operator.")
    return json_response(_load(name))


@blueprint.post("/pipelines/<name>/resume")
@operation(
    "Resume a pipeline",
    tag="pipelines",
    description="Also gives a broken one another chance.",
    answers={200: _ONE},
    errors=(404,),
)
def resume(name: str) -> Response:
    _set(name, PipelineState.ACTIVE, reason=None)
    services().dispatch.wake(name)
    return json_response(_load(name))


def show_pipelines(conn: sa.Connection) -> list[dict[str, Any]]:
    """Every pipeline as JSON, in the order of the pipelines file."""
    counts, ovens = count_open(conn), live_workers(conn, now=utc_now())
    return [_shown(stored, counts, ovens) for stored in list_pipelines(conn)]


def _shown(stored: StoredPipeline, counts: dict[str, dict[str, int]], ovens: list[Worker]) -> dict[str, Any]:
    name = stored.spec.name
    return pipeline_json(stored, counts=counts.get(name, {}), warm_on=[oven for oven in ovens if name in oven.warm])


def _load(name: str) -> dict[str, Any]:
    with reading(services().engine) as conn:
        stored = find_pipeline(conn, name) if PIPELINE_NAME.match(name) else None
        if stored is None:
            raise not_found("pipeline")
        return _shown(stored, count_open(conn), live_workers(conn, now=utc_now()))


def _set(name: str, state: PipelineState, *, reason: str | None) -> None:
    if _load(name)["state"] == PipelineState.BROKEN and state is PipelineState.PAUSED:
        raise FournilError(ErrorCode.CONFLICT, "This pipeline is broken and runs nothing already.")
    transaction(services().engine, lambda conn: set_state(conn, name, state, reason=reason, now=utc_now()))
