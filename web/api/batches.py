"""Batches over HTTP: upload a file, try it, poll, list, cancel, retry, delete."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import sqlalchemy as sa
from flask import Blueprint, Response, g, request

from contract.errors import ErrorCode, RequestError
from contract.ids import is_id
from contract.statuses import BATCH_OVER, BatchStatus, JobStatus
from contract.times import utc_now
from models.batches import Batch, find_batch, list_batches
from models.database import reading
from models.jobs import list_batch_jobs
from web.batch_requests import BatchRequest, read_request
from web.batches import (
    cancel_batch,
    delete_batch,
    dry_run,
    load_batch,
    retry_batch,
    show_batch,
    take_batch,
)
from web.datasets import take_dataset, try_dataset
from web.estimate import estimate
from web.operations import IF_NONE_MATCH, JSON, PREFER, Answer, operation, ref
from web.requests import CURSOR, LIMIT, Param, decode_cursor, json_object, object_from, wait_seconds
from web.responses import json_response, no_content, seen_statuses, tagged, waited
from web.serializers import page_json, show_jobs
from web.services import Services, services
from web.uploads import Form, Received, receive_form, stored_file

blueprint = Blueprint("batches", __name__, url_prefix="/api/v1")

T = TypeVar("T")
KIND = "batches"
ROWS_KIND = "batch-rows"
#: Change with the clock though nothing happened.
VOLATILE = ("rate", "eta")
_RETRY = "Seconds until it is worth asking again; only while the batch is open."
_BODY = {
    "multipart/form-data": {
        "type": "object",
        "properties": {"request": ref("BatchRequest"), "file": {"type": "string", "format": "binary"}},
        "required": ["request", "file"],
        "additionalProperties": False,
    },
    JSON: ref("BatchRequest"),
}
_BATCH = Answer(
    "The batch.", ref("Batch"), headers={"ETag": "Validator of this representation.", "Retry-After": _RETRY}
)
_STATUS = Param(
    "status", {"type": "string", "enum": [status.value for status in JobStatus]}, "Only rows in this status."
)


@blueprint.post("/batches")
@operation(
    "Run a file",
    tag="batches",
    description="The parts may come in either order. The file is streamed to storage; its rows are checked and "
    "queued after the answer.",
    body=_BODY,
    answers={202: Answer("Accepted and committed.", ref("Batch"), headers={"Location": "Where to poll."})},
    errors=(400, 413, 415, 422),
)
def create() -> Response:
    here = services()
    with _received(here) as (body, file, is_known):
        batch_id = (
            take_dataset(here, _asked(here, body))
            if file is None
            else take_batch(here, _asked(here, body), file, is_known=is_known)
        )
    shown = load(batch_id)
    return tagged(shown, 202, {"Location": shown["urls"]["self"], **pace(shown)}, volatile=VOLATILE)


@blueprint.post("/batches/validate")
@operation(
    "Try a file",
    tag="batches",
    description="A dry run of the whole file: how it is read, the first rows as they would be sent, every bad row, "
    "how long it would take. Nothing is kept.",
    body=_BODY,
    answers={200: Answer("What it would come to.", ref("BatchReport"))},
    errors=(400, 413, 415, 422),
)
def validate() -> Response:
    here = services()
    with _received(here) as (body, file, is_known):
        try:
            asked = _asked(here, body)
            found = (try_dataset(here, asked) if file is None else dry_run(here, asked, file)).as_dict()
        finally:
            if file is not None and not is_known:
                here.storage.delete(file.file_id)
    counts = {"total": found.pop("total"), "invalid": found.pop("invalid")}
    report = {"object": "batch_report", "pipeline": asked.spec.name, "inputs": found.pop("mapping"), **found}
    good = None if counts["total"] is None else counts["total"] - counts["invalid"]
    takes = _look(lambda conn: estimate(conn, asked.spec.name, good, now=utc_now()))
    return json_response({**report, "counts": counts, "estimate": takes})


@blueprint.get("/batches/<batch_id>")
@operation(
    "Poll a batch",
    tag="batches",
    description="With `Prefer: wait=N` it answers when the status changes, or after N seconds.",
    headers=(PREFER, IF_NONE_MATCH),
    answers={200: _BATCH, 304: Answer("You have it.")},
    errors=(404,),
)
def show(batch_id: str) -> Response:
    wait = wait_seconds()
    if wait:
        _wait_for_news(batch_id, wait)
    shown = load(batch_id)
    return tagged(shown, 200, {**pace(shown), **waited(wait)}, volatile=VOLATILE)


@blueprint.get("/batches")
@operation(
    "List batches, newest first",
    tag="batches",
    query=(CURSOR, LIMIT),
    answers={200: Answer("A page.", ref("BatchPage"))},
)
def index() -> Response:
    after = decode_cursor(KIND, g.query["cursor"])
    with reading(services().engine) as conn:
        found, next_after = list_batches(conn, limit=g.query["limit"], after=after)
        now = utc_now()
        shown = [show_batch(conn, batch, now=now) for batch in found]
    return json_response(page_json(shown, kind=KIND, after=next_after))


@blueprint.get("/batches/<batch_id>/jobs")
@operation(
    "List a batch's rows",
    tag="batches",
    description="In the order of the file. Rows that were not taken are in `errors`.",
    query=(_STATUS, CURSOR, LIMIT),
    answers={200: Answer("A page.", ref("JobPage"))},
    errors=(404,),
)
def rows(batch_id: str) -> Response:
    query = g.query
    after = decode_cursor(ROWS_KIND, query["cursor"], pattern=r"\d{1,15}")
    status = None if query["status"] is None else JobStatus(query["status"])
    with reading(services().engine) as conn:
        load_batch(conn, batch_id)
        page = list_batch_jobs(
            conn, batch_id, limit=query["limit"], after_row=-1 if after is None else int(after), status=status
        )
        shown = show_jobs(conn, page.items)
    return json_response(page_json(shown, kind=ROWS_KIND, after=page.next_cursor))


@blueprint.post("/batches/<batch_id>/cancel")
@operation(
    "Cancel a batch",
    tag="batches",
    description="Idempotent; what is finished stays. A batch that is over stays what it is.",
    answers={200: _BATCH, 202: Answer("It is being canceled.", ref("Batch"))},
    errors=(404,),
)
def cancel(batch_id: str) -> Response:
    load(batch_id)
    cancel_batch(services(), batch_id)
    shown = load(batch_id)
    return tagged(shown, 202 if shown["status"] == BatchStatus.CANCELING else 200, pace(shown), volatile=VOLATILE)


@blueprint.post("/batches/<batch_id>/retry")
@operation(
    "Run what did not succeed again",
    tag="batches",
    description="Only rows that failed, were canceled or expired, into the same batch.",
    answers={202: Answer("They are queued.", ref("Batch")), 200: Answer("There was nothing to run.", ref("Batch"))},
    errors=(404, 409),
)
def retry(batch_id: str) -> Response:
    load(batch_id)
    again = retry_batch(services(), batch_id)
    shown = load(batch_id)
    return tagged(shown, 202 if again else 200, pace(shown), volatile=VOLATILE)


@blueprint.delete("/batches/<batch_id>")
@operation(
    "Delete a batch that is over",
    tag="batches",
    description="With its rows, its results and its file.",
    answers={204: Answer("Gone.")},
    errors=(404, 409),
)
def delete(batch_id: str) -> Response:
    load(batch_id)
    delete_batch(services(), batch_id)
    return no_content()


def _asked(here: Services, body: dict[str, Any]) -> BatchRequest:
    with reading(here.engine) as conn:
        return read_request(here, conn, body)


@contextmanager
def _received(here: Services) -> Iterator[tuple[dict[str, Any], Received | None, bool]]:
    """The request, its file, and whether that was known before; no file where it names a dataset.

    What fails leaves no new file behind.
    """
    if request.mimetype != "multipart/form-data":
        body = json_object()
        yield body, _named_file(here, body), True
        return
    web = here.settings.web
    form = receive_form(here.storage, max_bytes=web.max_upload_bytes, max_field_bytes=web.max_json_bytes)
    try:
        body = _request_of(form)
        assert form.file is not None
        yield body, form.file, False
    except BaseException:
        if form.file is not None:
            here.storage.delete(form.file.file_id)
        raise


def _request_of(form: Form) -> dict[str, Any]:
    for name in form.fields:
        if name != "request":
            message = f"{name[:64]} is not a part. Known: request, file."
            raise RequestError(ErrorCode.UNKNOWN_FIELD, message, field=name[:64])
    for name, there in (("request", "request" in form.fields), ("file", form.file is not None)):
        if not there:
            raise RequestError(ErrorCode.MISSING_FIELD, f"The part {name} is missing.", field=name)
    body = object_from(form.fields["request"], field="request")
    for other in ("file_id", "dataset"):
        if body.get(other) is not None:
            raise RequestError(ErrorCode.INVALID_VALUE, f"Give the part file or a {other}, not both.", field=other)
    return body


def _named_file(here: Services, body: dict[str, Any]) -> Received | None:
    with reading(here.engine) as conn:
        # Whatever else is wrong is said first: a misspelled field is no missing file.
        if read_request(here, conn, body).dataset is not None:
            return None
        if body.get("file_id") is None:
            message = (
                "Send the file as the part `file` of multipart/form-data, or name one with file_id, or a dataset."
            )
            raise RequestError(ErrorCode.MISSING_FIELD, message, field="file")
        return stored_file(conn, here.storage, body["file_id"])


def load(batch_id: str) -> dict[str, Any]:
    """A batch's JSON; 404 for an id that is none of ours."""
    return _look(lambda conn: show_batch(conn, load_batch(conn, batch_id), now=utc_now()))


def _look(read: Callable[[sa.Connection], T]) -> T:
    with reading(services().engine) as conn:
        return read(conn)


def _status(batch_id: str) -> BatchStatus | None:
    found: Batch | None = _look(lambda conn: find_batch(conn, batch_id)) if is_id(batch_id) else None
    return None if found is None else found.status


def _wait_for_news(batch_id: str, seconds: float) -> None:
    """Until the status is another than the caller knows: the one its ETag names, else the one of this moment."""
    first = _status(batch_id)
    known = seen_statuses() or {str(first)}
    if first is None or first in BATCH_OVER or first not in known:
        return
    services().changes.until([batch_id], lambda: _status(batch_id) != first or None, seconds)


def pace(batch: dict[str, Any]) -> dict[str, str]:
    """When to ask again: sooner the sooner it may be over."""
    if batch["status"] in BATCH_OVER:
        return {}
    return {"Retry-After": str(round(min(10.0, max(1.0, (batch["eta"] or 0) / 20))))}
