"""Batches of datasets: found and looked at while the caller waits, read by the worker that reads files."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from contract.errors import ErrorCode, FournilError
from contract.times import utc_now
from models.database import transaction
from models.files import add_file
from models.hub.dataset import Dataset, Reach
from models.hub.stream import DatasetAway, Stream, layout_of
from models.sheets.layout import FileError, Layout
from models.sheets.mapping import resolve
from models.sheets.preview import NO_ROWS, Preview, preview_of
from web.batches import Asked, enter, new_batch
from web.services import Services

_CONTENT_TYPE = "application/x-ndjson"
#: Each is a process of some 200 MB.
_looks = threading.BoundedSemaphore(4)


def take_dataset(here: Services, asked: Asked) -> str:
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


def try_dataset(here: Services, asked: Asked) -> Preview:
    """Read on in a dataset for as long as a request may, and keep nothing."""
    with _looking(here, asked) as (stream, layout):
        return preview_of(
            layout, stream.records, spec=asked.spec, mapping=asked.mapping, id_column=asked.id_column,
            parameters=asked.parameters, seconds=here.settings.datasets.seconds,
        )  # fmt: skip


@contextmanager
def _looking(here: Services, asked: Asked) -> Iterator[tuple[Stream, Layout]]:
    """A stream at the first row of the dataset asked for; closed in the end."""
    assert asked.dataset is not None
    if not _looks.acquire(timeout=1):
        raise FournilError(ErrorCode.OVERLOADED, "Too many datasets are looked at. Try again in a moment.")
    try:
        with _answers(here, asked.dataset) as stream:
            limit = here.settings.storage.max_unpacked_bytes
            yield stream, layout_of(stream.about, main_field=asked.spec.catalogue.main_field, limit=limit)
    finally:
        _looks.release()


@contextmanager
def _answers(here: Services, dataset: Dataset) -> Iterator[Stream]:
    try:
        stream = Stream(Reach.of(here.settings), dataset, silence=here.settings.datasets.seconds)
        try:
            yield stream
        finally:
            stream.close()
    except DatasetAway as error:
        message = "The dataset cannot be reached in time. Try again later."
        raise FournilError(ErrorCode.UNAVAILABLE, message, field="dataset.name") from error
