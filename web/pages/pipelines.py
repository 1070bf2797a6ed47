"""Pipelines: the list, and for each the form that makes a job."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from flask import redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from contract.errors import RequestError
from contract.ids import is_id
from models.database import reading
from models.jobs import find_job
from models.pipelines import StoredPipeline, find_pipeline
from web.errors import not_found
from web.intake import take_job
from web.pages import snippets
from web.pages.forms import PipelineForm, example, pipeline_form, way_of, ways
from web.pages.offers import offer_of, offers
from web.pages.site import blueprint, check_token
from web.services import services


@blueprint.get("/pipelines")
def pipelines() -> str:
    with reading(services().engine) as conn:
        return render_template("pipelines.html", offers=offers(conn))


@blueprint.get("/pipelines/<name>")
def pipeline(name: str) -> str:
    with reading(services().engine) as conn:
        stored = named(conn, name)
        earlier = _earlier(conn, stored)
    way = way_of(stored.spec.catalogue, request.args.get("as"), earlier)
    if "example" in request.args:
        earlier = example(stored.spec.catalogue, way)
    return _page(stored, pipeline_form(stored.spec, way=way, request=earlier), pristine=earlier is None)


@blueprint.post("/pipelines/<name>")
def submit(name: str) -> Response | tuple[str, int]:
    with reading(services().engine) as conn:
        stored = named(conn, name)
    way = way_of(stored.spec.catalogue, request.args.get("as"), None)
    form = pipeline_form(stored.spec, way=way, posted=request.form)
    try:
        check_token()
        submitted = take_job(services(), form.body())
    except RequestError as error:
        form.refuse(error)
        return _page(stored, form, pristine=False), 422
    return redirect(url_for("pages.job", job_id=submitted.job_id), 303)


def _page(stored: StoredPipeline, form: PipelineForm, *, pristine: bool) -> str:
    task = stored.spec.catalogue
    body = {"pipeline": stored.spec.name, **example(task, form.way)} if pristine else form.body()
    with reading(services().engine) as conn:
        offer = offer_of(conn, stored.spec.name)
    return render_template(
        "pipeline.html", offer=offer, task=task, asked=form, ways=ways(task), snippets=as_programs(body)
    )


def as_programs(body: dict[str, Any]) -> list[tuple[str, str]]:
    """`(language, text)` of the same request."""
    url = request.host_url + "api/v1/jobs"
    return [("curl", snippets.as_curl(url, body)), ("Python", snippets.as_python(url, body))]


def named(conn: sa.Connection, name: str) -> StoredPipeline:
    stored = find_pipeline(conn, name)
    if stored is None:
        raise not_found("pipeline")
    return stored


def _earlier(conn: sa.Connection, stored: StoredPipeline) -> dict[str, Any] | None:
    """What the job in ?job= was sent; with ?continue its answer as the last turn."""
    job_id = request.args.get("job", "")
    job = find_job(conn, job_id) if is_id(job_id) else None
    if job is None or job.pipeline != stored.spec.name:
        return None
    inputs = job.inputs
    if "continue" in request.args and "messages" in inputs and isinstance(job.result, dict):
        answer = job.result.get("message")
        inputs = {"messages": [*inputs["messages"], answer]} if answer else inputs
    return {"inputs": inputs, "parameters": job.parameters}
