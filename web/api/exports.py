"""What a batch gives back while it runs and after: results, errors, and its progress as it happens."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response, g
from werkzeug.http import dump_options_header

from contract.errors import ErrorCode, FournilError, RequestError
from contract.statuses import BATCH_OVER, BatchStatus
from contract.times import utc_now
from models import results
from models.batches import Batch, find_batch
from models.database import reading
from models.pipelines import find_pipeline
from models.sheets.export import MEDIA
from web.api.batches import load
from web.api.events import BEAT_SECONDS, LONGEST_SECONDS, event, event_stream
from web.batches import load_batch, show_batch
from web.errors import overloaded
from web.operations import Answer, operation
from web.requests import Param
from web.services import Services, services

blueprint = Blueprint("exports", __name__, url_prefix="/api/v1")

#: Seconds between two snapshots of a stream, at least.
APART = 0.5
_FORMAT = Param(
    "format", {"type": "string", "enum": list(MEDIA)}, "Format of the file; left out: the one that was uploaded."
)
_COLUMNS = Param(
    "columns",
    {"type": "string", "minLength": 1, "maxLength": 20_000},
    "`inputs`, `results`, or a comma list of column names (in double quotes where a name holds a comma).",
)
_STATUS = Param(
    "status",
    {"type": "string", "minLength": 1, "maxLength": 200},
    f"Only rows in one of these, a comma between them: {', '.join(results.STATUSES)}.",
)
_FROM_ROW = Param(
    "from_row",
    {"type": "integer", "minimum": 0, "maximum": 999_999_999, "default": 0},
    "Only rows of the file from this one on, the first being 0: to go on with a download that broke. "
    "A CSV then comes without its header.",
)


@blueprint.get("/batches/<batch_id>/results")
@operation(
    "Download results",
    tag="batches",
    description="Every input column beside the result's, in the order of the file. While the batch runs: the rows "
    "that are over so far. In CSV, Parquet and xlsx the result's columns are flat (a label and a score); in JSONL "
    "and JSON it is as the job has it. In CSV and xlsx a text that begins like a formula gets a ' before it.",
    query=(_FORMAT, _COLUMNS, _STATUS, _FROM_ROW),
    answers={200: Answer("The file.", {"type": "string", "format": "binary"}, media="*/*")},
    errors=(404, 409),
)
def download(batch_id: str) -> Response:
    here, statuses = services(), _statuses(g.query["status"])
    with reading(here.engine) as conn:
        batch = load_batch(conn, batch_id)
        stored = find_pipeline(conn, batch.pipeline)
    if batch.status is BatchStatus.FAILED:
        raise FournilError(ErrorCode.CONFLICT, "Nothing of this file ran; errors says why.")
    if stored is None:
        raise FournilError(ErrorCode.CONFLICT, f"The pipeline '{batch.pipeline}' is no longer offered.")
    path = here.storage.path(batch.file_id)
    if not path.is_file():
        raise FournilError(ErrorCode.CONFLICT, "The uploaded file is no longer there.")
    wanted = g.query["format"] or _own_format(batch)
    pieces = results.results(
        here.engine, path, batch, stored.spec,
        format=wanted, columns=g.query["columns"], statuses=statuses, from_row=g.query["from_row"],
    )  # fmt: skip
    return _file(pieces, MEDIA[wanted], f"{PurePath(batch.filename).stem}-results.{wanted}")


def _own_format(batch: Batch) -> str:
    own = {"arrow": "parquet"}.get(batch.format or "", batch.format)
    return own if own in MEDIA else "csv"


def _statuses(text: str | None) -> frozenset[str] | None:
    if text is None:
        return None
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if word not in results.STATUSES:
            message = f"status must be one of {', '.join(results.STATUSES)}, or several with commas between them."
            raise RequestError(ErrorCode.INVALID_VALUE, message, field="status")
    return frozenset(words)


@blueprint.get("/batches/<batch_id>/errors")
@operation(
    "Download errors",
    tag="batches",
    description="JSONL, one line for each row that is invalid or failed: `row`, `line`, `id`, `code`, `message`, "
    "`input`. Of a refused file the first 10,000.",
    answers={200: Answer("The file.", {"type": "string"}, media="application/x-ndjson")},
    errors=(404,),
)
def errors(batch_id: str) -> Response:
    here = services()
    with reading(here.engine) as conn:
        batch = load_batch(conn, batch_id)
    return _file(results.errors(here.engine, batch), MEDIA["jsonl"], f"{PurePath(batch.filename).stem}-errors.jsonl")


def _file(pieces: Iterator[bytes], content_type: str, name: str) -> Response:
    response = Response(pieces, content_type=content_type)
    response.headers["Content-Disposition"] = _attachment(name)
    response.headers["Cache-Control"] = "private, no-store"
    return response


def _attachment(name: str) -> str:
    """A download's name: plain for old readers, in UTF-8 for the others (RFC 6266)."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\' else "_" for c in name)
    names = {"filename": plain}
    if plain != name:
        names["filename*"] = f"UTF-8''{quote(name, safe='')}"
    return dump_options_header("attachment", names)


@blueprint.get("/batches/<batch_id>/events")
@operation(
    "Follow a batch",
    tag="batches",
    description="Each `batch` event carries the whole batch as JSON, at most two a second; `done` is the last. "
    "A comment line comes every 15 seconds. Coming back needs no Last-Event-ID: every event is a snapshot.",
    answers={200: Answer("The events.", {"type": "string"}, media="text/event-stream")},
    errors=(404, 429),
)
def follow(batch_id: str) -> Response:
    batch, here = load(batch_id), services()
    if not here.changes.take_place():
        raise overloaded("Too many callers wait at once. Poll, or come back in a moment.")
    return event_stream(_events(here, batch["id"]), here)


def _events(here: Services, batch_id: str) -> Iterator[str]:
    yield "retry: 2000\n\n"
    told, number = "", 0
    beat = end = time.monotonic()
    end += LONGEST_SECONDS
    with here.changes.watching([batch_id]) as watch:
        while (batch := _read(here, batch_id)) is not None and time.monotonic() < end:
            news, number = str((batch["status"], batch["counts"], batch["errors"])), number + 1
            if news != told:
                told, beat = news, time.monotonic()
                yield event("batch", str(number), batch)
            if batch["status"] in BATCH_OVER:
                yield event("done", str(number + 1), batch)
                return
            if time.monotonic() - beat >= BEAT_SECONDS:
                beat = time.monotonic()
                yield ": still here\n\n"
            looked = time.monotonic()
            watch.wait(BEAT_SECONDS)
            # A busy batch changes a hundred times a second; nobody reads that fast.
            time.sleep(max(0.0, looked + APART - time.monotonic()))


def _read(here: Services, batch_id: str) -> dict[str, Any] | None:
    """The batch as it is now; None when it was deleted."""
    with reading(here.engine) as conn:
        found = find_batch(conn, batch_id)
        return None if found is None else show_batch(conn, found, now=utc_now())
