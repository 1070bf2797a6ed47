"""Workers over HTTP: device slots, what each holds warm, what it bakes."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from flask import Blueprint, Response

from contract.times import utc_now
from models.database import reading
from models.workers import list_workers, live_workers
from web.operations import Answer, operation, ref
from web.responses import json_response
from web.serializers import page_json, worker_json
from web.services import services

blueprint = Blueprint("workers", __name__, url_prefix="/api/v1")


@blueprint.get("/workers")
@operation("List workers", tag="pipelines", answers={200: Answer("Every device slot.", ref("WorkerList"))})
def index() -> Response:
    with reading(services().engine) as conn:
        shown = show_workers(conn)
    return json_response(page_json(shown, kind="workers", after=None))


def show_workers(conn: sa.Connection) -> list[dict[str, Any]]:
    live = {worker.name for worker in live_workers(conn, now=utc_now())}
    return [worker_json(worker, live=worker.name in live) for worker in list_workers(conn)]
