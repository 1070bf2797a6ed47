"""Jobs over HTTP: submit one, poll it, list, cancel, delete."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, g, request
from werkzeug.sansio.multipart import Field, File

from contract.errors import ErrorCode, FournilError, RequestError
from contract.ids import is_id, new_id
from contract.statuses import JOB_OVER, JobStatus
from contract.tasks.media import MOST_FILES
from contract.times import utc_now
from models.database import reading, transaction
from models.jobs import delete_job, find_status, list_jobs
from models.submit import Submitted
from models.sweeps import cancel
from web.changes import Watch
from web.errors import not_found
from web.intake import NO_PARTS, take_job
from web.luggage import Parts, throw_out
from web.operations import IDEMPOTENCY_KEY, IF_NONE_MATCH, JSON, PREFER, Answer, operation, ref
from web.requests import (
    CURSOR,
    LIMIT,
    Param,
    decode_cursor,
    idempotency_key,
    json_object,
    object_from,
    wait_seconds,
)
from web.responses import json_response, no_content, seen_statuses, tagged, time_left, waited
from web.serializers import is_over, page_json, show_jobs
from web.services import Services, services
from web.uploads import Form, receive_form

blueprint = Blueprint("jobs", __name__, url_prefix="/api/v1")

_NAME = {
    "type": "string",
    "minLength": 1,
    "maxLength": 64,
    "pattern": r"^[A-Za-z0-9._~-]+$",
    "x-pattern-words": "be letters, digits, '.', '_', '~' and '-'",
}
FILTERS = (
    Param("pipeline", _NAME, "Only jobs of this pipeline."),
    Param("status", {"type": "string", "enum": [status.value for status in JobStatus]}, "Only jobs in this status."),
    Param("batch", _NAME, "Only rows of this batch."),
    CURSOR,
    LIMIT,
)
KIND = "jobs"
RETRY = "Seconds until it is worth asking again; only while the job is open."

_JOB = Answer("The job.", ref("Job"), headers={"ETag": "Validator of this representation.", "Retry-After": RETRY})
_ACCEPTED = Answer(
    "Accepted and committed; not finished yet.",
    ref("Job"),
    headers={
        "Location": "Where to poll.",
        "Retry-After": RETRY,
        "Idempotent-Replayed": "`true` when the key was known and this is the first job.",
    },
)


@blueprint.post("/jobs")
@operation(
    "Submit a job",
    tag="jobs",
    headers=(PREFER, IDEMPOTENCY_KEY),
    body={
        JSON: ref("JobRequest"),
        "multipart/form-data": {
            "type": "object",
            "description": "Files are parts named after the input field that they are for, such as `image`; several "
            "of one name are a list, such as `images`, in their order. A part without a file name is its text.",
            "properties": {"request": ref("JobRequest")},
            "required": ["request"],
            "additionalProperties": {"type": "string", "contentMediaType": "application/octet-stream"},
        },
    },
    answers={202: _ACCEPTED, 200: Answer("Finished, when asked to wait or asked again.", ref("Job"))},
    errors=(400, 409, 413, 415, 422),
)
def create() -> Response:
    here, job_id, key, wait = services(), new_id(), idempotency_key(), wait_seconds()
    body, parts = _received(here)
    # Before the commit: no change of the row can come unseen, and there is no need to look before the first.
    with here.changes.watching([job_id]) as watch:
        submitted = take_job(here, body, key=key, job_id=job_id, parts=parts)
        job = _when_over(submitted, watch, wait) or load(submitted.job_id)
    headers = {"Location": job["urls"]["self"], **_pace(job), **waited(wait)}
    if submitted.replayed:
        headers["Idempotent-Replayed"] = "true"
    answered_now = is_over(job) and (wait or submitted.replayed)
    return tagged(job, 200 if answered_now else 202, headers)


@blueprint.get("/jobs/<job_id>")
@operation(
    "Poll a job",
    tag="jobs",
    description="With `Prefer: wait=N` it answers when the status changes, or after N seconds.",
    headers=(PREFER, IF_NONE_MATCH),
    answers={200: _JOB, 304: Answer("You have it.")},
    errors=(404,),
)
def show(job_id: str) -> Response:
    wait = wait_seconds()
    if wait:
        _wait_for_news(job_id, wait)
    job = load(job_id)
    return tagged(job, 200, {**_pace(job), **waited(wait)})


@blueprint.get("/jobs")
@operation("List jobs, newest first", tag="jobs", query=FILTERS, answers={200: Answer("A page.", ref("JobPage"))})
def index() -> Response:
    query = g.query
    after = decode_cursor(KIND, query["cursor"])
    with reading(services().engine) as conn:
        page = list_jobs(
            conn,
            limit=query["limit"],
            after=after,
            pipeline=query["pipeline"],
            status=None if query["status"] is None else JobStatus(query["status"]),
            batch_id=query["batch"],
        )
        shown = show_jobs(conn, page.items)
    return json_response(page_json(shown, kind=KIND, after=page.next_cursor))


@blueprint.post("/jobs/<job_id>/cancel")
@operation(
    "Cancel a job",
    tag="jobs",
    description="Idempotent; a job that is over stays what it is.",
    answers={200: Answer("The job as it is now.", ref("Job"))},
    errors=(404,),
)
def cancel_job(job_id: str) -> Response:
    cancel_one(job_id)
    return tagged(load(job_id))


@blueprint.delete("/jobs/<job_id>")
@operation("Delete a job that is over", tag="jobs", answers={204: Answer("Gone.")}, errors=(404, 409))
def delete(job_id: str) -> Response:
    job = load(job_id)
    if job["batch_id"] is not None:
        raise FournilError(ErrorCode.CONFLICT, "This job is a row of a batch. Delete the batch as a whole.")
    here = services()
    gone = transaction(here.engine, lambda conn: delete_job(conn, job_id))
    if gone is None and _is_there(job_id):
        raise FournilError(ErrorCode.CONFLICT, "This job is not over. Cancel it first.")
    for file_id in gone or ():
        here.storage.delete(file_id)
    return no_content()


def _received(here: Services) -> tuple[dict[str, Any], Parts]:
    """The request as JSON or as the part `request` of a form, and the form's other parts by input field."""
    if request.mimetype != "multipart/form-data":
        return json_object(), NO_PARTS
    form = receive_form(
        here.storage,
        max_bytes=here.settings.media.most_bytes_of_all,
        max_field_bytes=here.settings.web.max_json_bytes,
        is_file=_is_media,
        may_repeat=_is_media,
        files=MOST_FILES,
    )
    try:
        return _with_texts(form), form.files
    except BaseException:
        throw_out(here.storage, form.files)
        raise


def _is_media(head: File | Field) -> bool:
    return isinstance(head, File) and head.name != "request"


def _with_texts(form: Form) -> dict[str, Any]:
    """The request, with parts that are no files among its inputs."""
    texts = form.fields.to_dict()
    if "request" not in texts:
        raise RequestError(ErrorCode.MISSING_FIELD, "The part request is missing.", field="request")
    body = object_from(texts.pop("request"), field="request")
    if (texts or form.files) and body.get("inputs") is None:
        body["inputs"] = {}
    inputs = body.get("inputs")
    if texts and isinstance(inputs, dict):
        for name in texts.keys() & inputs.keys():
            message = f"{name[:64]} came twice: as a part and in the request."
            raise RequestError(ErrorCode.INVALID_VALUE, message, field=f"inputs.{name[:64]}")
        body["inputs"] = {**texts, **inputs}
    return body


def load(job_id: str) -> dict[str, Any]:
    """A job's JSON; 404 for an id that is none of ours."""
    job = services().counter.job(job_id) if is_id(job_id) else None
    if job is None:
        raise not_found("job")
    return job


def cancel_one(job_id: str) -> None:
    """Cancel a job that is not over; any other id changes nothing."""
    here = services()
    if is_id(job_id) and transaction(here.engine, lambda conn: cancel(conn, job_id, now=utc_now())):
        here.dispatch.changed(job_id)


def wait_until_over(job_id: str, seconds: float) -> dict[str, Any]:
    """The job when it is over, or as it is after `seconds`."""
    if seconds:
        services().changes.until([job_id], lambda: _status(job_id) in JOB_OVER or None, time_left(seconds))
    return load(job_id)


def _when_over(submitted: Submitted, watch: Watch, seconds: float) -> dict[str, Any] | None:
    """A job just submitted, once it is over; None when that takes longer than `seconds`."""
    if submitted.replayed:
        return wait_until_over(submitted.job_id, seconds)

    def look() -> dict[str, Any] | None:
        job = load(submitted.job_id)
        return job if is_over(job) else None

    return services().changes.follow(watch, look, time_left(seconds)) if seconds else None


def _wait_for_news(job_id: str, seconds: float) -> None:
    """Until the status is another than the caller knows: the one its ETag names, else the one of this moment."""
    first = _status(job_id)
    known = seen_statuses() or {str(first)}
    if first in JOB_OVER or first not in known:
        return
    services().changes.until([job_id], lambda: _status(job_id) != first or None, time_left(seconds))


def _status(job_id: str) -> JobStatus | None:
    if not is_id(job_id):
        return None
    with reading(services().engine) as conn:
        return find_status(conn, job_id)


def _is_there(job_id: str) -> bool:
    return _status(job_id) is not None


def _pace(job: dict[str, Any]) -> dict[str, str]:
    """When to ask again: soon, but not sooner the more there is in line."""
    if is_over(job):
        return {}
    return {"Retry-After": str(min(30, 1 + (job["position"] or 0) // 200))}
