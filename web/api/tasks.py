"""The task catalogue over HTTP."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from contract.tasks import CATALOGUE, Task, aliases_of
from web.operations import Answer, operation, ref
from web.responses import json_response
from web.serializers import page_json

blueprint = Blueprint("tasks", __name__, url_prefix="/api/v1")


@blueprint.get("/tasks")
@operation("List tasks", tag="pipelines", answers={200: Answer("The catalogue.", ref("TaskList"))})
def index() -> Response:
    return json_response(page_json([_task_json(task) for task in CATALOGUE.values()], kind="tasks", after=None))


def _task_json(task: Task) -> dict[str, Any]:
    return {
        "object": "task",
        "name": task.name,
        "aliases": aliases_of(task.name),
        "title": task.title,
        "summary": task.summary,
        "modality": task.modality,
        "input_schema": task.inputs,
        "parameters_schema": task.parameters,
        "result_schema": task.result,
        "main_field": task.main_field,
        "column_names": {field: list(names) for field, names in task.synonyms.items()},
        "result_columns": list(task.result_columns),
        "example": dict(task.example),
        "example_result": task.example_result,
        "deterministic": task.deterministic,
    }
