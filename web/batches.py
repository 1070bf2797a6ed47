"""Batches, shared by the API and the pages: from an upload to a batch, a dry run, what is shown of one, its end."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from contract.errors import ErrorCode, FournilError
from contract.ids import is_id
from contract.pipelines import PipelineSpec
from contract.statuses import BATCH_OVER, BatchStatus
from contract.times import rfc3339, utc_now
from models import batches, removal
from models.batches import Batch, NewBatch, create_batch, find_batch
from models.database import transaction
from models.files import add_file
from models.pipelines import find_pipeline
from models.porter import Porter
from models.sheets import formats
from models.sheets.layout import AS_FOUND, FileError, Layout
from models.sheets.mapping import resolve
from models.sheets.preview import NO_ROWS, Preview, preview
from models.sheets.rows import Row
from models.sweeps import go_on_canceling
from models.webhooks import add_webhooks, find_webhooks
from web.batch_requests import BatchRequest
from web.errors import not_found
from web.intake import expiry
from web.pace import speed
from web.serializers import sent_for
from web.services import Services
from web.uploads import Received, no_such_file
from web.webhooks import shown_webhook

#: Rows that a cancel ends before it answers; of a larger batch a worker does.
CANCELED_AT_ONCE = 5_000
#: Seconds that a delete takes rows away before it answers; upkeep takes the rest.
REMOVED_AT_ONCE = 1.0


def dry_run(here: Services, asked: BatchRequest, file: Received, *, seconds: float | None = None) -> Preview:
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
            corrections=asked.corrections,
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


def take_batch(here: Services, asked: BatchRequest, file: Received, *, is_known: bool) -> str:
    """Commit a batch for a file that is in storage, and ask for it to be read; its id.

    `is_known`: the file was uploaded before and has its row. Refuses at once what a look at the file's beginning
    tells; the rows are looked at by the worker that reads them.
    """
    now = utc_now()
    # The worker finds by itself what is found in the file, and not what the caller says of it.
    is_corrected = asked.corrections != AS_FOUND

    def work(conn: sa.Connection) -> str:
        if not is_known:
            about = {"name": file.filename, "content_type": file.content_type, "size": file.bytes}
            add_file(conn, file_id=file.file_id, now=now, **about)  # type: ignore[arg-type]
        return enter(conn, asked, new, now=now, layout=layout.as_dict() if is_corrected else None)

    try:
        layout, guessed = look(here, asked, file)
        new = new_batch(asked, guessed, file_id=file.file_id, filename=file.filename[:255], now=now)
        if is_corrected:
            new = dataclasses.replace(new, format=layout.format)
        batch_id = transaction(here.engine, work)
    except (FileNotFoundError, IntegrityError) as error:
        if not is_known:
            raise
        # Since it was looked up somebody deleted it.
        raise no_such_file() from error
    here.dispatch.ingest(batch_id)
    return batch_id


def enter(
    conn: sa.Connection, asked: BatchRequest, new: NewBatch, *, now: datetime, layout: dict[str, Any] | None = None
) -> str:
    """Insert a batch, and whom to tell of its end; its id."""
    batch_id = create_batch(conn, new, now=now, layout=layout)
    add_webhooks(conn, [(batch_id, asked.webhook)], of_jobs=False)
    return batch_id


def new_batch(
    asked: BatchRequest, guessed: dict[str, str], *, file_id: str, filename: str, now: datetime
) -> NewBatch:
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
        task=asked.spec.task,
    )


def look(here: Services, asked: BatchRequest, file: Received) -> tuple[Layout, dict[str, str]]:
    """How a file is laid out, and which column feeds which field; raises FileError for one that cannot be used."""
    path = here.storage.path(file.file_id)
    main_field, limit = asked.spec.catalogue.main_field, here.settings.storage.max_unpacked_bytes
    layout = formats.sniff(
        path, main_field=main_field, filename=file.filename, said=asked.format, limit=limit,
        files=most_files(here, asked.spec), corrections=asked.corrections,
    )  # fmt: skip
    found = resolve(asked.spec, layout, asked.mapping, asked.id_column)
    if next(formats.records(path, layout), None) is None:
        raise FileError(ErrorCode.NO_ROWS, NO_ROWS)
    return layout, found.as_dict()


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
        "task": sent_for(batch, stored),
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
        if refusal := why_not_again(conn, batch):
            raise FournilError(ErrorCode.PIPELINE_CHANGED, refusal)
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


def why_not_again(conn: sa.Connection, batch: Batch) -> str | None:
    """Why what is left of a batch cannot run: of one file all rows have one task."""
    stored = find_pipeline(conn, batch.pipeline)
    return stored.spec.refusal(batch.task) if stored else None


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
