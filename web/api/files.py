"""Files over HTTP: uploads that are streamed in and read back, whole or in ranges."""

from __future__ import annotations

import re

from flask import Blueprint, Response, g, request, send_file

from contract.errors import ErrorCode, FournilError, RequestError
from contract.ids import is_id
from contract.times import utc_now
from models.database import reading, transaction
from models.files import StoredFile, add_file, delete_file, find_file
from web.errors import not_found
from web.operations import Answer, operation, ref
from web.requests import Param
from web.responses import json_response, no_content
from web.serializers import file_json
from web.services import Services, services
from web.uploads import Received, receive_body, receive_form

blueprint = Blueprint("files", __name__, url_prefix="/api/v1")

_FILENAME = Param(
    "filename", {"type": "string", "minLength": 1, "maxLength": 255}, "What to call a raw body; a name, not a path."
)
#: A range that is understood; HTTP says to pass over any other.
_RANGE = re.compile(r"\s*bytes\s*=\s*(\d+\s*-\s*\d*|-\s*\d+)\s*", re.ASCII | re.IGNORECASE)
_BINARY = {"type": "string", "format": "binary"}


@blueprint.post("/files")
@operation(
    "Upload a file",
    tag="files",
    description="Multipart with a part `file`, or the bytes themselves as the body. Streamed to storage at any size.",
    query=(_FILENAME,),
    body={
        "application/octet-stream": _BINARY,
        "multipart/form-data": {
            "type": "object",
            "properties": {"file": _BINARY},
            "required": ["file"],
            "additionalProperties": False,
        },
    },
    answers={201: Answer("Stored.", ref("File"), headers={"Location": "The file."})},
    errors=(400, 413, 415, 422),
)
def create() -> Response:
    here = services()
    stored = keep(here, _receive(here))
    return json_response(file_json(stored), 201, {"Location": f"/api/v1/files/{stored.id}"})


@blueprint.get("/files/<file_id>")
@operation("Read about a file", tag="files", answers={200: Answer("The file.", ref("File"))}, errors=(404,))
def show(file_id: str) -> Response:
    return json_response(file_json(_load(file_id)))


@blueprint.get("/files/<file_id>/content")
@operation(
    "Download a file",
    tag="files",
    description="Takes `Range` (one range of bytes; others are passed over), `If-Range` and `If-None-Match`.",
    answers={
        200: Answer("The bytes.", _BINARY, media="*/*"),
        206: Answer("The range asked for.", _BINARY, media="*/*"),
        304: Answer("You have it."),
    },
    errors=(404, 416),
)
def content(file_id: str) -> Response:
    stored, path = _load(file_id), services().storage.path(file_id)
    if not path.is_file():
        raise not_found("file")
    if not _RANGE.fullmatch(request.headers.get("Range", "")):
        request.environ.pop("HTTP_RANGE", None)
    # Always a download: what somebody uploaded must never run as a page of this site.
    response = send_file(
        path,
        mimetype=stored.content_type,
        as_attachment=True,
        download_name=stored.name,
        conditional=True,
        etag=stored.id,
        last_modified=stored.created_at,
    )
    # Not "; charset=utf-8" added to it: nobody knows how it is encoded.
    response.headers["Content-Type"] = stored.content_type
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    return response


@blueprint.delete("/files/<file_id>")
@operation("Delete a file", tag="files", answers={204: Answer("Gone.")}, errors=(404, 409))
def delete(file_id: str) -> Response:
    here = services()
    _load(file_id)
    if not transaction(here.engine, lambda conn: delete_file(conn, file_id)):
        raise FournilError(ErrorCode.CONFLICT, "A batch or a job needs this file. Delete that first.")
    here.storage.delete(file_id)
    return no_content()


def keep(here: Services, received: Received) -> StoredFile:
    """Enter a received file in the database; whatever goes wrong, no bytes without a row stay behind."""
    try:
        return transaction(
            here.engine,
            lambda conn: add_file(
                conn,
                file_id=received.file_id,
                name=received.filename,
                content_type=received.content_type,
                size=received.bytes,
                now=utc_now(),
            ),
        )
    except BaseException:
        here.storage.delete(received.file_id)
        raise


def _receive(here: Services) -> Received:
    limit = here.settings.web.max_upload_bytes
    if request.mimetype != "multipart/form-data":
        return receive_body(here.storage, max_bytes=limit, filename=g.query["filename"] or "")
    form = receive_form(here.storage, max_bytes=limit, max_field_bytes=here.settings.web.max_json_bytes)
    wrong = _wrong_parts(form.fields, has_file=form.file is not None)
    if wrong is None and form.file is not None:
        return form.file
    if form.file is not None:
        here.storage.delete(form.file.file_id)
    assert wrong is not None
    raise wrong


def _wrong_parts(fields: dict[str, str], *, has_file: bool) -> RequestError | None:
    for name in fields:
        return RequestError(ErrorCode.UNKNOWN_FIELD, f"{name[:64]} is not a part. Known: file.", field=name[:64])
    if not has_file:
        return RequestError(ErrorCode.MISSING_FIELD, "The part file is missing.", field="file")
    return None


def _load(file_id: str) -> StoredFile:
    with reading(services().engine) as conn:
        stored = find_file(conn, file_id) if is_id(file_id) else None
    if stored is None:
        raise not_found("file")
    return stored
