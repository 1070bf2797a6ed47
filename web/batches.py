"""Batches, shared by the API and the pages: from an upload to a batch, a dry run, and what is shown of one."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from contract.errors import ErrorCode, FournilError, RequestError
from contract.ids import is_id
from contract.pipelines import PipelineSpec
from contract.statuses import BATCH_OVER, BatchStatus, OnInvalidRows
from contract.tasks import JsonSchema
from contract.times import rfc3339, utc_now
from contract.webhooks import BATCH_EVENTS
from models import batches, removal
from models.batches import Batch, NewBatch, create_batch, find_batch
from models.database import transaction
from models.files import add_file
from models.hub.dataset import NAME, Dataset
from models.pipelines import find_pipeline
from models.porter import Porter
from models.sheets import formats
from models.sheets.layout import FileError
from models.sheets.mapping import PARAMETER, Column, check_request, resolve
from models.sheets.preview import NO_ROWS, Preview, preview
from models.sheets.rows import Row
from models.sweeps import go_on_canceling
from models.webhooks import NewWebhook, add_webhooks, find_webhooks
from web.errors import not_found
from web.intake import EXPIRES_IN, METADATA, expiry, named_pipeline, read_parameters
from web.pace import speed
from web.requests import check
from web.services import Services
from web.uploads import Received, no_such_file
from web.webhooks import read_webhook, refuse_webhook, shown_webhook, webhook_schema

#: Rows that a cancel ends before it answers; of a larger batch a worker does.
CANCELED_AT_ONCE = 5_000
#: Seconds that a delete takes rows away before it answers; upkeep takes the rest.
REMOVED_AT_ONCE = 1.0
_COLUMN: JsonSchema = {"type": ["string", "integer"], "minimum": 0, "minLength": 1, "maxLength": 1_000}

_WORD: JsonSchema = {"type": ["string", "null"], "minLength": 1, "maxLength": 255}
DATASET: JsonSchema = {
    "type": ["object", "null"],
    "description": "A dataset of the Hugging Face Hub, in place of a file; or a folder that the operator offers.",
    "properties": {
        "name": {
            "type": "string",
            "pattern": NAME,
            "x-pattern-words": "be a name of the Hub, such as owner/name",
            "description": "As the Hub has it: `owner/name`.",
        },
        "config": {**_WORD, "description": "Left out: the only one, or the one it calls its default."},
        "split": {**_WORD, "description": "Left out: the only one, or `train`."},
        "revision": {**_WORD, "description": "Branch, tag or commit; pinned to a commit when the batch is accepted."},
    },
    "required": ["name"],
    "additionalProperties": False,
}

BATCH_REQUEST: JsonSchema = {
    "type": "object",
    "properties": {
        "pipeline": {"type": "string", "description": "Name of a pipeline, as GET /api/v1/pipelines lists them."},
        "inputs": {
            "type": ["object", "null"],
            "description": "Input field to column, by name or by number from 0; `parameters.NAME` takes that "
            "parameter from a column. Left out: columns are found by their names.",
            "additionalProperties": _COLUMN,
        },
        "parameters": {"type": ["object", "null"], "description": "For every row that has none of its own."},
        "id_column": {**_COLUMN, "type": ["string", "integer", "null"], "description": "Your ids; each only once."},
        "format": {
            "type": ["string", "null"],
            "enum": [*formats.REQUESTABLE, None],
            "description": "A hint; the content decides.",
        },
        "on_invalid_rows": {
            "type": ["string", "null"],
            "enum": [*(word.value for word in OnInvalidRows), None],
            "default": OnInvalidRows.FAIL.value,
            "description": "fail: one bad row and nothing runs. skip: good rows run, bad ones are listed.",
        },
        "metadata": METADATA,
        "expires_in": EXPIRES_IN,
        "webhook": webhook_schema(BATCH_EVENTS),
        "file_id": {
            "type": ["string", "null"],
            "description": "A file of POST /api/v1/files, in place of the part `file`.",
        },
        "dataset": DATASET,
    },
    "required": ["pipeline"],
    "additionalProperties": False,
}


@dataclasses.dataclass(frozen=True)
class Asked:
    """A checked request for a batch."""

    spec: PipelineSpec
    mapping: dict[str, Column]
    parameters: dict[str, Any]
    id_column: Column | None
    format: str | None
    on_invalid_rows: OnInvalidRows
    metadata: dict[str, Any] | None
    expires_in: float | None
    dataset: Dataset | None = None
    webhook: NewWebhook | None = None


def read_request(here: Services, conn: sa.Connection, body: Mapping[str, Any]) -> Asked:
    """What a body asks for; raises RequestError that names the field. `file_id` is the caller's affair."""
    refuse_webhook(here.settings, dict(body))
    check(BATCH_REQUEST, dict(body))
    spec = named_pipeline(conn, body["pipeline"]).spec
    mapping = check_request(spec, body.get("inputs"))
    mapped = frozenset(name.removeprefix(PARAMETER) for name in mapping if name.startswith(PARAMETER))
    return Asked(
        spec=spec,
        mapping=mapping,
        parameters=read_parameters(spec, body.get("parameters") or {}, mapped=mapped),
        id_column=body.get("id_column"),
        format=body.get("format"),
        on_invalid_rows=OnInvalidRows(body.get("on_invalid_rows") or OnInvalidRows.FAIL),
        metadata=body.get("metadata"),
        expires_in=body.get("expires_in"),
        dataset=_dataset(body),
        webhook=read_webhook(here.settings, dict(body)),
    )


def _dataset(body: Mapping[str, Any]) -> Dataset | None:
    named = body.get("dataset")
    if named is None:
        return None
    for other in ("file_id", "format"):
        if body.get(other) is not None:
            raise RequestError(ErrorCode.INVALID_VALUE, f"Give a dataset or a {other}, not both.", field=other)
    return Dataset(**named)


def dry_run(here: Services, asked: Asked, file: Received, *, seconds: float | None = None) -> Preview:
    """Read the file as a batch would, and keep nothing; URLs in it are not fetched."""
    with glancing(here, asked.spec) as bring:
        return preview(
            here.storage.path(file.file_id),
            spec=asked.spec,
            mapping=asked.mapping,
            id_column=asked.id_column,
            format=asked.format,
            filename=file.filename,
            parameters=asked.parameters,
            seconds=seconds,
            limit=here.settings.storage.max_unpacked_bytes,
            files=most_files(here, asked.spec),
            bring=bring,
        )


@contextlib.contextmanager
def glancing(here: Services, spec: PipelineSpec) -> Iterator[Callable[[Row], Row] | None]:
    """What looks at the files that rows name; None for a task without files."""
    if not spec.catalogue.media:
        yield None
        return
    porter = Porter(here.engine, here.storage, here.settings.media, spec)
    try:
        yield lambda row: porter.bring(row, "glance")
    finally:
        porter.close()


def take_batch(here: Services, asked: Asked, file: Received, *, is_known: bool) -> str:
    """Commit a batch for a file that is in storage, and ask for it to be read; its id.

    `is_known`: the file was uploaded before and has its row. Refuses at once what a look at the file's beginning
    tells; the rows are looked at by the worker that reads them.
    """
    now = utc_now()

    def work(conn: sa.Connection) -> str:
        if not is_known:
            about = {"name": file.filename, "content_type": file.content_type, "size": file.bytes}
            add_file(conn, file_id=file.file_id, now=now, **about)  # type: ignore[arg-type]
        return enter(conn, asked, new, now=now)

    try:
        guessed = look(here, asked, file)
        new = new_batch(asked, guessed, file_id=file.file_id, filename=file.filename[:255], now=now)
        batch_id = transaction(here.engine, work)
    except (FileNotFoundError, IntegrityError) as error:
        if not is_known:
            raise
        # Since it was looked up somebody deleted it.
        raise no_such_file() from error
    here.dispatch.ingest(batch_id)
    return batch_id


def enter(
    conn: sa.Connection, asked: Asked, new: NewBatch, *, now: datetime, layout: dict[str, Any] | None = None
) -> str:
    """Insert a batch, and whom to tell of its end; its id."""
    batch_id = create_batch(conn, new, now=now, layout=layout)
    add_webhooks(conn, [(batch_id, asked.webhook)], of_jobs=False)
    return batch_id


def new_batch(asked: Asked, guessed: dict[str, str], *, file_id: str, filename: str, now: datetime) -> NewBatch:
    return NewBatch(
        pipeline=asked.spec.name,
        filename=filename,
        file_id=file_id,
        parameters=asked.parameters,
        mapping={**guessed, **asked.mapping},
        on_invalid_rows=asked.on_invalid_rows,
        id_column=asked.id_column,
        format=asked.format if asked.dataset is None else "dataset",
        metadata=asked.metadata,
        expires_at=expiry(asked.expires_in, now),
    )


def look(here: Services, asked: Asked, file: Received) -> dict[str, str]:
    """Which column feeds which field; raises FileError for a file that cannot be used at all."""
    path = here.storage.path(file.file_id)
    main_field, limit = asked.spec.catalogue.main_field, here.settings.storage.max_unpacked_bytes
    layout = formats.sniff(
        path, main_field=main_field, filename=file.filename, said=asked.format, limit=limit,
        files=most_files(here, asked.spec),
    )  # fmt: skip
    found = resolve(asked.spec, layout, asked.mapping, asked.id_column)
    if next(formats.records(path, layout), None) is None:
        raise FileError(ErrorCode.NO_ROWS, NO_ROWS)
    return found.as_dict()


def most_files(here: Services, spec: PipelineSpec) -> int | None:
    """How many files an archive may hold; None for a pipeline that takes none."""
    return here.settings.media.max_archive_files if spec.catalogue.media else None


def load_batch(conn: sa.Connection, batch_id: str) -> Batch:
    """404 for an id that is none of ours."""
    batch = find_batch(conn, batch_id) if is_id(batch_id) else None
    if batch is None:
        raise not_found("batch")
    return batch


def show_batch(conn: sa.Connection, batch: Batch, *, now: datetime) -> dict[str, Any]:
    """One batch as JSON."""
    path, stored = f"/api/v1/batches/{batch.id}", find_pipeline(conn, batch.pipeline)
    counts = batches.counts(conn, batch)
    return {
        "object": "batch",
        "id": batch.id,
        "pipeline": batch.pipeline,
        "task": stored.spec.task if stored else None,
        "status": batch.status.value,
        "filename": batch.filename,
        "format": batch.format,
        "dataset": (batch.layout or {}).get("dataset"),
        "parameters": batch.parameters,
        "inputs": batch.mapping,
        "id_column": batch.id_column,
        "on_invalid_rows": batch.on_invalid_rows.value,
        "file_id": batch.file_id,
        "metadata": batch.metadata or {},
        "counts": counts,
        "rows_read": batch.cursor.row,
        **speed(conn, batch, counts, now),
        "created_at": rfc3339(batch.created_at),
        "started_at": rfc3339(batch.started_at),
        "finished_at": rfc3339(batch.finished_at),
        "expires_at": rfc3339(batch.expires_at),
        "errors": batch.errors,
        **shown_webhook(find_webhooks(conn, [batch.id]).get(batch.id)),
        "urls": {"self": path, **{name: f"{path}/{name}" for name in _PARTS}},
    }


_PARTS = ("events", "results", "errors", "cancel", "retry", "jobs")


def cancel_batch(here: Services, batch_id: str) -> None:
    """Stop a batch: rows that nobody has at once, those a worker has in hand within its microbatch."""
    now = utc_now()
    if not transaction(here.engine, lambda conn: batches.begin_cancel(conn, batch_id)):
        return
    ended = transaction(here.engine, lambda conn: go_on_canceling(conn, batch_id, limit=CANCELED_AT_ONCE, now=now))
    # From the first commit on no worker begins a row of it, and from the second on none goes on with one.
    if ended < CANCELED_AT_ONCE:
        transaction(here.engine, lambda conn: batches.close_if_over(conn, batch_id, now=utc_now()))
    else:
        here.dispatch.cancel_batch(batch_id)
    here.dispatch.changed(batch_id)


def retry_batch(here: Services, batch_id: str) -> bool:
    """Run what did not succeed again; False when there is nothing to run. 409 while the batch runs."""

    def work(conn: sa.Connection) -> tuple[Batch, int]:
        batch = load_batch(conn, batch_id)
        if batch.status not in BATCH_OVER:
            raise FournilError(ErrorCode.CONFLICT, "This batch is not over. Wait for it, or cancel it first.")
        if batch.status is BatchStatus.FAILED:
            raise FournilError(ErrorCode.CONFLICT, "Its file cannot be used: errors says why. Upload it again.")
        queued = batches.retry(conn, batch, now=utc_now())
        return load_batch(conn, batch_id), queued

    batch, queued = transaction(here.engine, work)
    if batch.status in BATCH_OVER:
        return False
    if queued:
        here.dispatch.wake(batch.pipeline)
    if not batch.ingested:
        here.dispatch.ingest(batch_id)
    here.dispatch.changed(batch_id)
    return True


def delete_batch(here: Services, batch_id: str) -> None:
    """Remove a batch that is over with its rows, its results and its file. 409 while it runs.

    Nobody finds it from the first commit on; what is left of a large one then is upkeep's.
    """

    def work(conn: sa.Connection) -> removal.Remains:
        remains = removal.delete_batch(conn, load_batch(conn, batch_id), now=utc_now())
        if remains is None:
            raise FournilError(ErrorCode.CONFLICT, "This batch is not over. Cancel it first.")
        return remains

    remains = transaction(here.engine, work)
    removal.remove(here.engine, here.storage, remains, until=time.monotonic() + REMOVED_AT_ONCE)
