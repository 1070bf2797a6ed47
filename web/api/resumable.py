"""Uploads that go on where they were broken off: the tus protocol 1.0 (https://tus.io/protocols/resumable-upload).

POST says how long a file is, PATCH sends bytes from an offset on, HEAD asks where that is. With the last byte the
upload is a stored file of the same id, for a batch's or a job's `file_id`.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import BinaryIO, cast

from flask import Blueprint, Response, request
from sqlalchemy.exc import IntegrityError
from werkzeug.http import http_date

from contract.errors import ErrorCode, FournilError, RequestError
from contract.ids import is_id
from contract.times import utc_now
from models.database import reading, transaction
from models.files import StoredFile, add_file, delete_file, find_file
from models.resumable import Announcement, Moved, Upload, Uploads, WrongDigest
from web.errors import answer, not_found
from web.operations import Answer, Header, operation
from web.responses import no_content
from web.services import Services, services
from web.uploads import clean_name, media_type

blueprint = Blueprint("resumable", __name__, url_prefix="/api/v1")

VERSION = "1.0.0"
_EXTENSIONS = "creation,creation-with-upload,termination,expiration,checksum"
_ALGORITHMS = ("sha1", "sha256", "md5")
_BYTES = "application/offset+octet-stream"
_MOST_METADATA = 4_096
_NUMBER = re.compile(r"^[0-9]{1,15}$")
#: Smaller than what other uploads are read by: a kill of this process loses the piece in hand.
_PIECE = 1 << 16
_MISMATCH = 460

_TUS = Header("Tus-Resumable", {"type": "string", "const": VERSION}, "The version of the protocol.")
_LENGTH = Header("Upload-Length", {"type": "integer", "minimum": 0}, "Bytes of the whole file.")
_OFFSET = Header("Upload-Offset", {"type": "integer", "minimum": 0}, "Where these bytes begin: what HEAD answers.")
_METADATA = Header("Upload-Metadata", {"type": "string"}, "`filename` and `filetype`, each with its value in base64.")
_CHECKSUM = Header("Upload-Checksum", {"type": "string"}, "`sha1`, `sha256` or `md5` and the digest in base64.")
_BODY = {_BYTES: {"type": "string", "format": "binary"}}
_ANSWERED = {"Upload-Offset": "Bytes that are on the disk.", "Upload-Expires": "Until when it can be gone on with."}
_OFFERED = {
    "Tus-Version": "Versions of the protocol.",
    "Tus-Extension": "Its extensions.",
    "Tus-Max-Size": "Bytes that a file may have.",
    "Tus-Checksum-Algorithm": "What Upload-Checksum may name.",
}


@blueprint.before_request
def _speak_tus() -> Response | None:
    if request.method == "OPTIONS" or request.headers.get("Tus-Resumable") == VERSION:
        return None
    message = f"Send Tus-Resumable: {VERSION}. POST /api/v1/files takes a file in one request."
    refused = answer(RequestError(ErrorCode.INVALID_REQUEST, message, field="Tus-Resumable"), status=412)
    refused.headers["Tus-Version"] = VERSION
    return refused


@blueprint.after_request
def _answer_tus(response: Response) -> Response:
    response.headers["Tus-Resumable"] = VERSION
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.route("/uploads", methods=["OPTIONS"], provide_automatic_options=False)
@blueprint.route("/uploads/<upload_id>", methods=["OPTIONS"], endpoint="offer_of", provide_automatic_options=False)
@operation(
    "Ask what of the tus protocol is offered",
    tag="files",
    answers={204: Answer("In headers.", headers=_OFFERED)},
)
def offer(upload_id: str | None = None) -> Response:  # noqa: ARG001 - the same of every upload
    response = no_content()
    response.headers["Tus-Version"] = VERSION
    response.headers["Tus-Extension"] = _EXTENSIONS
    response.headers["Tus-Max-Size"] = str(services().settings.web.max_upload_bytes)
    response.headers["Tus-Checksum-Algorithm"] = ",".join(_ALGORITHMS)
    return response


@blueprint.route("/uploads", methods=["POST"], provide_automatic_options=False)
@operation(
    "Begin a resumable upload",
    tag="files",
    description="The tus protocol 1.0, for files that are sent in pieces. HEAD of the upload says how far it is; "
    "with its last byte it is a file of the same id.",
    headers=(_TUS, _LENGTH, _METADATA),
    answers={201: Answer("Begun.", headers={"Location": "The upload.", **_ANSWERED})},
    errors=(400, 409, 412, 413, _MISMATCH),
)
def create() -> Response:
    here = services()
    uploads = Uploads(here.storage)
    upload_id = uploads.begin(_announced(here.settings.web.max_upload_bytes))
    begun = _load(upload_id)
    try:
        # Bytes may come along at once.
        response = _told(_receive(begun, 0) if request.mimetype == _BYTES else begun)
    except BaseException:
        # Nobody was told its name.
        uploads.drop(upload_id)
        raise
    response.status_code = 201
    response.headers["Location"] = f"/api/v1/uploads/{upload_id}"
    return response


@blueprint.route("/uploads/<upload_id>", methods=["HEAD"], provide_automatic_options=False)
@operation(
    "Ask how far a resumable upload is",
    tag="files",
    headers=(_TUS,),
    answers={200: Answer("So far.", headers={"Upload-Length": "Bytes of the whole file.", **_ANSWERED})},
    errors=(404, 412),
)
def show(upload_id: str) -> Response:
    upload = _load(upload_id)
    response = _told(upload)
    response.status_code = 200
    response.headers["Upload-Length"] = str(upload.about.length)
    if upload.about.metadata:
        response.headers["Upload-Metadata"] = upload.about.metadata
    return response


@blueprint.route("/uploads/<upload_id>", methods=["PATCH"], provide_automatic_options=False)
@operation(
    "Send bytes of a resumable upload",
    tag="files",
    description="What came before the connection broke is kept. 409: the upload ends at another offset.",
    headers=(_TUS, _OFFSET, _CHECKSUM),
    body=_BODY,
    answers={204: Answer("They are on the disk.", headers=_ANSWERED)},
    errors=(400, 404, 409, 412, 413, 415, _MISMATCH),
)
def append(upload_id: str) -> Response:
    if request.mimetype != _BYTES:
        raise RequestError(ErrorCode.UNSUPPORTED_MEDIA_TYPE, f"Send the bytes with Content-Type: {_BYTES}.")
    return _told(_receive(_load(upload_id), _number("Upload-Offset")))


@blueprint.route("/uploads/<upload_id>", methods=["POST"], provide_automatic_options=False)
@operation(
    "Do as X-HTTP-Method-Override says",
    tag="files",
    description="PATCH, HEAD or DELETE.",
    headers=(_TUS,),
    answers={200: Answer("HEAD."), 204: Answer("PATCH or DELETE.", headers=_ANSWERED)},
    errors=(400, 404, 405, 409, 412, 413, 415, _MISMATCH),
)
def overridden(upload_id: str) -> Response:
    """For clients that something on their way allows no other methods."""
    views = {"PATCH": append, "DELETE": delete, "HEAD": show}
    view = views.get(request.headers.get("X-HTTP-Method-Override", "").upper())
    if view is None:
        raise FournilError(ErrorCode.METHOD_NOT_ALLOWED, "Send PATCH, HEAD or DELETE.")
    return view(upload_id=upload_id)


@blueprint.route("/uploads/<upload_id>", methods=["DELETE"], provide_automatic_options=False)
@operation(
    "Give up a resumable upload",
    tag="files",
    headers=(_TUS,),
    answers={204: Answer("Gone, with the file where it was whole.")},
    errors=(404, 409, 412),
)
def delete(upload_id: str) -> Response:
    here = services()
    _load(upload_id)
    Uploads(here.storage).drop(upload_id)
    if _file(here, upload_id) is not None:
        if not transaction(here.engine, lambda conn: delete_file(conn, upload_id)):
            raise FournilError(ErrorCode.CONFLICT, "A batch or a job needs this file. Delete that first.")
        here.storage.delete(upload_id)
    return no_content()


def _load(upload_id: str) -> Upload:
    """An upload that is under way, or the file that it became; 404."""
    here = services()
    found = Uploads(here.storage).find(upload_id)
    if found is not None:
        return found
    stored = _file(here, upload_id)
    if stored is None:
        raise not_found("upload")
    about = Announcement(stored.bytes, stored.name, stored.content_type)
    return Upload(stored.id, about, stored.bytes, stored.created_at)


def _file(here: Services, file_id: str) -> StoredFile | None:
    with reading(here.engine) as conn:
        return find_file(conn, file_id) if is_id(file_id) else None


def _receive(upload: Upload, offset: int) -> Upload:
    """Take the body; the upload as it is then."""
    # One more than there is room for: at the limit itself a stream cannot be told from one that is too long.
    request.max_content_length = max(0, upload.about.length - offset) + 1
    try:
        return dataclasses.replace(upload, offset=_append(upload, offset), touched_at=utc_now())
    except Moved as error:
        message = "The upload ends at another offset. HEAD says at which."
        raise FournilError(ErrorCode.CONFLICT, message, field="Upload-Offset") from error
    except FileNotFoundError as error:
        raise not_found("upload") from error


def _append(upload: Upload, offset: int) -> int:
    uploads, checksum = Uploads(services().storage), request.headers.get("Upload-Checksum")
    if upload.is_whole:
        # It may be a file already, which nobody writes to.
        if offset != upload.offset:
            raise Moved
        if next(_pieces(), b""):
            raise RequestError(ErrorCode.TOO_LARGE, "The upload has all its bytes.", field="Upload-Length")
        return offset
    if checksum is None:
        return uploads.append(upload, offset, _pieces())
    algorithm, digest = _digest(checksum)
    return uploads.append_checked(upload, offset, _pieces(), algorithm=algorithm, digest=digest)


def _pieces() -> Iterator[bytes]:
    stream = cast(BinaryIO, request.stream)
    while piece := stream.read(_PIECE):
        yield piece


def _told(upload: Upload) -> Response:
    """204 with the offset. An upload that is whole is a file before anybody is told so."""
    here = services()
    response = no_content()
    response.headers["Upload-Offset"] = str(upload.offset)
    if upload.is_whole:
        _enter(here, upload)
    else:
        until = upload.touched_at + timedelta(seconds=here.settings.storage.upload_seconds)
        response.headers["Upload-Expires"] = http_date(until)
    return response


def _enter(here: Services, upload: Upload) -> None:
    """Make a whole upload a stored file, once: also where the process that had its last byte was killed."""
    uploads, about = Uploads(here.storage), upload.about
    if _file(here, upload.id) is None:
        if not uploads.settle(upload):
            raise not_found("upload")
        entry = {"name": about.name, "content_type": about.content_type, "size": about.length, "now": utc_now()}
        # Where two were told the last offset at once, the other entered it.
        with contextlib.suppress(IntegrityError):
            transaction(here.engine, lambda conn: add_file(conn, file_id=upload.id, **entry))  # type: ignore[arg-type]
    uploads.forget(upload.id)


def _announced(max_bytes: int) -> Announcement:
    length = _number("Upload-Length")
    if length > max_bytes:
        message = f"The file is larger than {max_bytes:,} bytes, the most this server takes."
        raise RequestError(ErrorCode.TOO_LARGE, message, field="Upload-Length")
    said = request.headers.get("Upload-Metadata", "")
    known = _metadata(said)
    # One client calls them so, another otherwise.
    name = known.get("filename") or known.get("name") or ""
    kind = known.get("filetype") or known.get("type") or ""
    return Announcement(length, clean_name(name)[:255], media_type(kind), said)


def _metadata(text: str) -> dict[str, str]:
    """Names with values in base64, commas between them."""
    try:
        if len(text) > _MOST_METADATA:
            raise ValueError(text)
        pairs = [pair.strip().partition(" ") for pair in text.split(",") if pair.strip()]
        return {name: base64.b64decode(value.strip(), validate=True).decode() for name, _, value in pairs}
    except ValueError as error:
        message = f"Write names and their values in base64, {_MOST_METADATA:,} bytes in all at most."
        raise RequestError(ErrorCode.INVALID_REQUEST, message, field="Upload-Metadata") from error


def _digest(text: str) -> tuple[str, bytes]:
    algorithm, _, value = text.partition(" ")
    try:
        digest = base64.b64decode(value.strip(), validate=True)
    except ValueError:
        digest = b""
    if algorithm not in _ALGORITHMS or not digest:
        message = f"Write one of {', '.join(_ALGORITHMS)}, a space and the digest in base64."
        raise RequestError(ErrorCode.INVALID_REQUEST, message, field="Upload-Checksum")
    return algorithm, digest


def _number(header: str) -> int:
    text = request.headers.get(header, "")
    if not _NUMBER.match(text):
        raise RequestError(ErrorCode.INVALID_REQUEST, f"{header} must be a number of bytes.", field=header)
    return int(text)


@blueprint.errorhandler(WrongDigest)
def _wrong_digest(_error: WrongDigest) -> Response:
    message = "What came is not what the checksum says; nothing of it was kept. Send it again."
    return answer(RequestError(ErrorCode.INVALID_REQUEST, message, field="Upload-Checksum"), status=_MISMATCH)
