"""Batches of datasets: found and looked at while the caller waits, read by the worker that reads files."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from contract.errors import ErrorCode, FournilError
from contract.times import utc_now
from models.database import transaction
from models.files import add_file
from models.hub.dataset import Reach
from models.hub.stream import DatasetAway, Stream, layout_of
from models.sheets.layout import FileError, Layout
from models.sheets.mapping import resolve
from models.sheets.preview import NO_ROWS, Preview, preview_of
from web.batch_requests import BatchRequest
from web.batches import enter, glancing, new_batch
from web.services import Services

_CONTENT_TYPE = "application/x-ndjson"
#: Each is a process of some 200 MB.
_looks = threading.BoundedSemaphore(4)


def take_dataset(here: Services, asked: BatchRequest) -> str:
    """Commit a batch of a dataset whose revision is pinned to a commit, and ask for it to be read; its id."""
    with _looking(here, asked) as (stream, layout):
        found = resolve(asked.spec, layout, asked.mapping, asked.id_column)
        if next(stream.records(), None) is None:
            raise FileError(ErrorCode.NO_ROWS, NO_ROWS, field="dataset")
    now, dataset = utc_now(), stream.about.dataset
    # The worker writes the rows into it as it reads them.
    file_id, _ = here.storage.save([], max_bytes=0)

    def work(conn: sa.Connection) -> str:
        name = dataset.filename[:255]
        add_file(conn, file_id=file_id, name=name, content_type=_CONTENT_TYPE, size=0, now=now)
        new = new_batch(asked, found.as_dict(), file_id=file_id, filename=name, now=now)
        return enter(conn, asked, new, now=now, layout=layout.as_dict())

    try:
        batch_id = transaction(here.engine, work)
    except BaseException:
        here.storage.delete(file_id)
        raise
    here.dispatch.ingest(batch_id)
    return batch_id


def try_dataset(here: Services, asked: BatchRequest) -> Preview:
    """Read on in a dataset for as long as a request may, and keep nothing."""
    with _looking(here, asked) as (stream, layout), glancing(here, asked.spec) as bring:
        return preview_of(
            layout, stream.records, spec=asked.spec, mapping=asked.mapping, id_column=asked.id_column,
            parameters=asked.parameters, seconds=here.settings.datasets.seconds, bring=bring,
        )  # fmt: skip


def _refuse_left_out(asked: BatchRequest, left_out: Collection[str]) -> None:
    for field, column in asked.mapping.items():
        if column in left_out:
            message = f"The column '{column}' holds files of a kind that this pipeline does not take."
            raise FileError(ErrorCode.UNKNOWN_COLUMN, message, field=f"inputs.{field}")


@contextmanager
def _looking(here: Services, asked: BatchRequest) -> Iterator[tuple[Stream, Layout]]:
    """A stream at the first row of the dataset asked for; closed in the end."""
    if not _looks.acquire(timeout=1):
        raise FournilError(ErrorCode.OVERLOADED, "Too many datasets are looked at. Try again in a moment.")
    try:
        with _answers(here, asked) as stream:
            _refuse_left_out(asked, stream.about.media)
            limit = here.settings.storage.max_unpacked_bytes
            yield stream, layout_of(stream.about, main_field=asked.spec.catalogue.main_field, limit=limit)
    finally:
        _looks.release()


@contextmanager
def _answers(here: Services, asked: BatchRequest) -> Iterator[Stream]:
    assert asked.dataset is not None
    seconds, files = here.settings.datasets.seconds, asked.spec.catalogue.media.values()
    try:
        stream = Stream(Reach.of(here.settings), asked.dataset, silence=seconds, files=files)
        try:
            yield stream
        finally:
            stream.close()
    except DatasetAway as error:
        message = "The dataset cannot be reached in time. Try again later."
        raise FournilError(ErrorCode.UNAVAILABLE, message, field="dataset.name") from error
