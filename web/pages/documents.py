"""Pages of a PDF as pictures, drawn when somebody looks at them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from flask import Response

from models.media import MediaRefused
from models.media.documents import PDF, page_picture
from web.api.jobs import load
from web.errors import not_found, overloaded
from web.pages.site import blueprint
from web.services import services

#: Pages that are drawn at a time: each is a process with a processor of its own.
_AT_A_TIME = threading.Semaphore(2)
_WAIT_SECONDS = 10.0


@blueprint.get("/jobs/<job_id>/pages/<int:number>")
def document_page(job_id: str, number: int) -> Response:
    """A page of the PDF that a job was sent, from 1, as a picture."""
    here, inputs = services(), load(job_id)["inputs"]
    file = inputs.get("image", {}).get("file") if isinstance(inputs.get("image"), dict) else None
    if file is None or file["content_type"] != PDF or number < 1:
        raise not_found("page")
    try:
        with _turn(), here.storage.open(file["id"]) as stream:
            picture = page_picture(stream.read(), here.settings.media, number - 1)
    except (OSError, ValueError, MediaRefused) as error:
        raise not_found("page") from error
    response = Response(picture, mimetype="image/png")
    # What a job was sent never changes.
    response.headers["Cache-Control"] = "private, max-age=86400, immutable"
    return response


@contextlib.contextmanager
def _turn() -> Iterator[None]:
    if not _AT_A_TIME.acquire(timeout=_WAIT_SECONDS):
        raise overloaded("Many pages are being drawn. Ask again in a few seconds.")
    try:
        yield
    finally:
        _AT_A_TIME.release()
