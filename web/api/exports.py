"""What a batch gives back while it runs and after: results and errors."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import PurePath
from urllib.parse import quote

from flask import Blueprint, Response, g, request
from werkzeug.http import dump_options_header

from contract.errors import ErrorCode, FournilError, RequestError
from contract.statuses import BatchStatus
from contract.tasks import CATALOGUE
from models import results
from models.batches import Batch
from models.database import reading
from models.pipelines import find_pipeline
from models.sheets.export import ENDINGS, MEDIA
from web.batches import load_batch
from web.operations import Answer, operation
from web.requests import Param
from web.serializers import sent_for
from web.services import services

blueprint = Blueprint("exports", __name__, url_prefix="/api/v1")

_FORMAT = Param(
    "format", {"type": "string", "enum": list(MEDIA)}, "Format of the file; left out: the one that was uploaded."
)
_COLUMNS = Param(
    "columns",
    {"type": "string", "minLength": 1, "maxLength": 8_000},
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
_NUMBERED = Param(
    "numbered",
    {"type": "boolean", "default": False},
    "CSV and JSONL: before the columns there is one more, `row_number`. A download that breaks goes on with "
    "`from_row` one more than the last of them, also where rows are left out.",
)


@blueprint.get("/batches/<batch_id>/results")
@operation(
    "Download results",
    tag="batches",
    description="Every input column beside the result's, in the order of the file. While the batch runs: the rows "
    "that are over so far. In JSONL and JSON the result is as the job has it, elsewhere in flat columns (a label, a "
    "score). In CSV and xlsx a text that begins like a formula gets a ' before it. "
    "datasets is a .zip of Parquet files and a card: unpacked, a folder that datasets.load_dataset reads.",
    query=(_FORMAT, _COLUMNS, _STATUS, _FROM_ROW, _NUMBERED),
    answers={200: Answer("The file.", {"type": "string", "format": "binary"}, media="*/*")},
    errors=(404, 409),
)
def download(batch_id: str) -> Response:
    here, statuses = services(), _statuses(g.query["status"])
    with reading(here.engine) as conn:
        batch = load_batch(conn, batch_id)
        task = sent_for(batch, find_pipeline(conn, batch.pipeline))
    if batch.status is BatchStatus.FAILED:
        raise FournilError(ErrorCode.CONFLICT, "Nothing of this file ran; errors says why.")
    path = here.storage.path(batch.file_id)
    if not path.is_file():
        raise FournilError(ErrorCode.CONFLICT, "The uploaded file is no longer there.")
    wanted = g.query["format"] or _own_format(batch)
    pieces = results.results(
        here.engine, path, batch, CATALOGUE.get(task or ""),
        format=wanted, columns=g.query["columns"], statuses=statuses, from_row=g.query["from_row"],
        numbered=g.query["numbered"],
    )  # fmt: skip
    return _file(pieces, MEDIA[wanted], f"{PurePath(batch.filename).stem}-results.{ENDINGS.get(wanted, wanted)}")


def _own_format(batch: Batch) -> str:
    own = {"arrow": "parquet", "dataset": "parquet"}.get(batch.format or "", batch.format)
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
    # What fails before the first piece can still be said; later it cuts the connection. HEAD makes no file.
    first = b"" if request.method == "HEAD" else next(pieces, b"")
    response = Response(chain([first], pieces), content_type=content_type)
    response.headers["Content-Disposition"] = _attachment(name)
    response.headers["Cache-Control"] = "private, no-store"
    # It is made as it is sent; from_row is how to go on with it.
    response.headers["Accept-Ranges"] = "none"
    return response


def _attachment(name: str) -> str:
    """A download's name: plain for old readers, in UTF-8 for the others (RFC 6266)."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\' else "_" for c in name)
    names = {"filename": plain}
    if plain != name:
        names["filename*"] = f"UTF-8''{quote(name, safe='')}"
    return dump_options_header("attachment", names)
