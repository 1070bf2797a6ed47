"""Pipelines: the list, and for each the form that makes a job."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from flask import redirect, render_template, request, url_for
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from contract.errors import ErrorCode, FournilError, RequestError
from contract.ids import is_id
from models.database import reading
from models.jobs import find_job
from models.pipelines import StoredPipeline, find_pipeline
from web.errors import not_found
from web.intake import NO_PARTS, take_job
from web.luggage import Parts, throw_out
from web.pages import snippets
from web.pages.chosen import chosen, is_chosen, most_files, written
from web.pages.forms import PipelineForm, example, pipeline_form, way_of, ways
from web.pages.offers import offer_of, offers
from web.pages.site import blueprint, check_token
from web.services import services
from web.uploads import AROUND_FILE, receive_form


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
    if stored.spec.catalogue.media and request.mimetype == "multipart/form-data":
        return _submit_files(stored)
    return _submit(stored, written(request.form), NO_PARTS)


def _submit_files(stored: StoredPipeline) -> Response | tuple[str, int]:
    """A form with files, which are in storage when all of it is read."""
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        # Said before a byte is read; the token decides.
        raise FournilError(ErrorCode.FORBIDDEN, "This form came from another site.")
    here, task = services(), stored.spec.catalogue
    try:
        sent = receive_form(
            here.storage,
            max_bytes=here.settings.media.most_bytes_of_all,
            max_field_bytes=AROUND_FILE,
            is_file=is_chosen(task),
            may_repeat=lambda _head: True,
            files=most_files(task),
        )
    except RequestError as error:
        form = pipeline_form(stored.spec, way=None)
        form.refuse(error)
        return _page(stored, form, pristine=False), 413 if error.code is ErrorCode.TOO_LARGE else 422
    made = chosen(task, sent)
    throw_out(here.storage, {"nothing": made.empty})
    return _submit(stored, made.texts, made.parts)


def _submit(stored: StoredPipeline, posted: MultiDict[str, str], parts: Parts) -> Response | tuple[str, int]:
    way = way_of(stored.spec.catalogue, request.args.get("as"), None)
    form = pipeline_form(stored.spec, way=way, posted=posted, parts=parts)
    try:
        _check_token(posted, parts)
        submitted = take_job(services(), form.body(), parts=parts)
    except RequestError as error:
        form.refuse(error)
        return _page(stored, form, pristine=False), 422
    return redirect(url_for("pages.job", job_id=submitted.job_id), 303)


def _check_token(posted: MultiDict[str, str], parts: Parts) -> None:
    try:
        check_token(posted.get("csrf_token") or "none")
    except BaseException:
        throw_out(services().storage, parts)
        raise


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
    if job is None or job.pipeline != stored.spec.name or stored.spec.refusal(job.task):
        return None
    inputs = job.inputs
    if "continue" in request.args and "messages" in inputs and isinstance(job.result, dict):
        answer = job.result.get("message")
        inputs = {"messages": [*inputs["messages"], answer]} if answer else inputs
    return {"inputs": inputs, "parameters": job.parameters}
