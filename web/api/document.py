"""The OpenAPI 3.1 document, made from the routes and what stands beside them, and the page that draws it."""

from __future__ import annotations

import functools
import importlib.metadata
import re
from collections.abc import Iterator
from importlib.resources import as_file, files
from typing import Any

from flask import Blueprint, Flask, Response, current_app, send_file
from werkzeug.routing import Rule

from contract.tasks import CATALOGUE
from models.database import reading
from models.pipelines import StoredPipeline, list_pipelines
from web.errors import not_found
from web.operations import JSON, Answer, Operation, operation, ref
from web.responses import json_response
from web.schemas import COMPONENTS
from web.services import services

blueprint = Blueprint("document", __name__, url_prefix="/api")

_TAGS = {
    "jobs": "One input and its one result; the thing polled.",
    "batches": "The jobs accepted together from one upload.",
    "pipelines": "What is offered, and what serves it.",
    "files": "Uploads and binary results.",
    "health": "For whoever operates this.",
}
_ERRORS = {
    400: "Not JSON, or not HTTP as it should be.",
    404: "There is no such thing.",
    405: "Not a method of this address.",
    409: "Its state, or an Idempotency-Key used with another body, forbids it.",
    412: "Another version of the protocol.",
    413: "Too large.",
    415: "Another content type.",
    416: "No such range.",
    422: "A named field is unknown, missing, wrong or out of bounds.",
    460: "What came is not what the checksum says.",
    429: "Too many for now; `Retry-After` says when.",
    500: "Something went wrong here.",
    503: "Not available for now; `Retry-After` says when.",
}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
_REQUEST_ID = {"X-Request-ID": {"description": "Yours if you sent one, else ours.", "schema": {"type": "string"}}}


@blueprint.get("/openapi.json")
@operation("This document", tag="health", answers={200: Answer("OpenAPI 3.1.", {"type": "object"})})
def show() -> Response:
    with reading(services().engine) as conn:
        offered = list_pipelines(conn)
    return json_response(document(current_app, offered))


def document(app: Flask, offered: list[StoredPipeline]) -> dict[str, Any]:
    """Every described route of `app`, with requests that run against the pipelines it offers."""
    paths: dict[str, dict[str, Any]] = {}
    for rule, method, described in operations(app):
        path = re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule.rule)
        paths.setdefault(path, {})[method.lower()] = _operation(rule, method, described)
    if "post" in paths.get("/api/v1/jobs", {}):
        content = paths["/api/v1/jobs"]["post"]["requestBody"]["content"]
        content[JSON]["examples"] = job_examples(offered)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Fournil",
            "version": _version(),
            "description": "Hugging Face pipelines as asynchronous jobs. Submit, get an id, poll it.",
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": COMPONENTS},
    }


def _version() -> str:
    try:
        return importlib.metadata.version("fournil")
    except importlib.metadata.PackageNotFoundError:
        return "0"  # run from a checkout that was not installed


def operations(app: Flask) -> Iterator[tuple[Rule, str, Operation]]:
    """`(rule, method, what it does)` of every view that is described."""
    for rule in app.url_map.iter_rules():
        described: Operation | None = getattr(app.view_functions[rule.endpoint], "operation", None)
        for method in sorted(_own_methods(rule)):
            if described is not None:
                yield rule, method, described


def _own_methods(rule: Rule) -> set[str]:
    """Without the HEAD of every GET, and the OPTIONS that Flask answers for every route."""
    methods = set(rule.methods or ())
    given = {"HEAD"} if "GET" in methods else set()
    if getattr(rule, "provide_automatic_options", True):
        given |= {"OPTIONS"}
    return methods - given


def job_examples(offered: list[StoredPipeline]) -> dict[str, Any]:
    """A request for each task: for a pipeline that serves it, when there is one."""
    serves = {stored.spec.task: stored.spec.name for stored in reversed(offered)}
    return {
        name: {"summary": task.title, "value": {"pipeline": serves.get(name, name), **task.example}}
        for name, task in CATALOGUE.items()
    }


def _operation(rule: Rule, method: str, described: Operation) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": f"{rule.endpoint.replace('.', '_')}_{method.lower()}",
        "summary": described.summary,
        "tags": [described.tag],
        "parameters": [*_path_params(rule), *_params(described)],
        "responses": _responses(described, has_body=method != "HEAD"),
    }
    if described.description:
        made["description"] = described.description
    if described.body:
        content = {media: {"schema": schema} for media, schema in described.body.items()}
        made["requestBody"] = {"required": True, "content": content}
    return made


def _path_params(rule: Rule) -> list[dict[str, Any]]:
    schema = {"type": "string", "minLength": 1}
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name in sorted(rule.arguments)]


def _params(described: Operation) -> Iterator[dict[str, Any]]:
    for param in described.query:
        yield {
            "name": param.name,
            "in": "query",
            "description": param.description,
            "schema": param.schema,
            "allowEmptyValue": True,
        }
    for header in described.headers:
        yield {"name": header.name, "in": "header", "description": header.description, "schema": header.schema}


def _responses(described: Operation, *, has_body: bool) -> dict[str, Any]:
    made = {str(status): _response(answer) for status, answer in sorted(described.answers.items())}
    for status in sorted({*described.errors, 422, 500, 503}):
        headers = {**_REQUEST_ID, **(_RETRY_AFTER if status in (429, 503) else {})}
        made[str(status)] = {"description": _ERRORS[status], "headers": headers}
        if has_body:
            made[str(status)]["content"] = {JSON: {"schema": ref("Error")}}
    return made


def _response(answer: Answer) -> dict[str, Any]:
    headers = {name: {"description": text, "schema": {"type": "string"}} for name, text in answer.headers.items()}
    made: dict[str, Any] = {"description": answer.description, "headers": {**_REQUEST_ID, **headers}}
    if answer.schema is not None:
        made["content"] = {answer.media: {"schema": answer.schema}}
    return made


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Fournil API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<noscript>The API as JSON: <a href="openapi.json">openapi.json</a></noscript>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
_START = """"use strict";
window.ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
});
"""
_ASSETS = {"swagger-ui.css": ("css", "text/css"), "swagger-ui-bundle.js": ("js", "text/javascript")}


@blueprint.get("/docs")
@operation(
    "This document for people", tag="health", answers={200: Answer("A page.", {"type": "string"}, "text/html")}
)
def docs() -> Response:
    """The document for people; every asset comes from this server."""
    return Response(_PAGE, mimetype="text/html")


@blueprint.get("/docs/<name>")
def asset(name: str) -> Response:
    if name == "start.js":
        return Response(_START, mimetype="text/javascript")
    if name not in _ASSETS:
        raise not_found("file")
    folder, mimetype = _ASSETS[name]
    return send_file(_asset_path(folder, name), mimetype=mimetype, max_age=3600)


@functools.cache
def _asset_path(folder: str, name: str) -> str:
    with as_file(files("flask_openapi_swagger") / "templates" / "swagger" / folder / name) as path:
        return str(path)
