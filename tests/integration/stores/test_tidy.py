"""Tidying takes what belongs to nothing, and never what somebody is still at: however long that takes."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from contract.ids import new_id
from contract.statuses import BatchStatus
from contract.times import utc_now
from models import batches
from models.database import transaction
from models.files import FileStorage
from models.resumable import Announcement, Uploads
from models.tables import batches as table
from worker import upkeep

DAY = 86_400.0


@pytest.fixture
def storage(tmp_path: Path) -> FileStorage:
    return FileStorage(tmp_path / "files")


def aged(path: Path, *, hours: float) -> Path:
    """A file that nobody has written to for so long."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    then = (utc_now() - timedelta(hours=hours)).timestamp()
    os.utime(path, (then, then))
    return path


def tidied(engine: sa.Engine, storage: FileStorage, paths: list[Path], *, upload_seconds: float = DAY) -> list[bool]:
    """Which of the files are there afterwards."""
    upkeep.tidy(engine, storage, upload_seconds=upload_seconds)
    return [path.exists() for path in paths]


def set_status(engine: sa.Engine, batch_id: str, status: BatchStatus) -> None:
    with engine.begin() as conn:
        conn.execute(sa.update(table).where(table.c.id == batch_id).values(status=status.value))


@pytest.mark.parametrize("status", [BatchStatus.VALIDATING, BatchStatus.RUNNING])
def test_what_was_fetched_for_a_batch_that_is_still_read_stays(engine, batch_factory, storage, status):
    unread = batch_factory(1, now=utc_now() - timedelta(hours=9), ingested=False)
    set_status(engine, unread.id, status)
    # Beside the unread one, one that came and was read since changes nothing.
    batch_factory(1, now=utc_now() - timedelta(hours=1))
    fetched = [aged(storage.path(new_id()), hours=hours) for hours in (8, 3)]
    half = aged(storage.path(unread.file_id).with_suffix(".0123abcd.part"), hours=3)
    waste = aged(storage.path(new_id()), hours=10)
    assert tidied(engine, storage, [*fetched, half, waste]) == [True, True, True, False]


def test_what_was_fetched_goes_two_hours_after_its_batch_was_refused(engine, batch_factory, storage):
    batch = batch_factory(0, now=utc_now() - timedelta(hours=9), ingested=False)
    set_status(engine, batch.id, BatchStatus.VALIDATING)
    old, new = aged(storage.path(new_id()), hours=3), aged(storage.path(new_id()), hours=1)
    assert transaction(engine, lambda conn: batches.refuse_batch(conn, batch.id, [{"line": 1}], now=utc_now()))
    assert tidied(engine, storage, [old, new]) == [False, True]


@pytest.mark.parametrize("made", ["", ".plain", ".rows", ".sheet", ".0123abcd.sheet", ".list"])
@pytest.mark.parametrize("ingested", [False, True])
def test_the_file_of_a_batch_and_what_was_made_from_it_stay(engine, batch_factory, storage, made, ingested):
    batch = batch_factory(1, now=utc_now() - timedelta(days=9), ingested=ingested)
    path = storage.path(batch.file_id)
    # A dataset's file is empty until its first row is read, and written to by nobody while the Hub is away.
    assert tidied(engine, storage, [aged(path.with_name(path.name + made), hours=200)]) == [True]


def test_an_upload_under_way_stays_for_as_long_as_it_can_be_gone_on_with(engine, storage):
    uploads = Uploads(storage)
    upload_id = uploads.begin(Announcement(9, "a.csv", "text/csv"))
    path = storage.path(upload_id)
    parts = [aged(path.with_name(path.name + ending), hours=23) for ending in (".upload", ".upload.json")]
    assert tidied(engine, storage, parts) == [True, True]
    assert tidied(engine, storage, parts, upload_seconds=DAY / 2) == [False, False]


def test_an_upload_that_is_whole_and_not_entered_yet_stays_as_long(engine, storage):
    uploads = Uploads(storage)
    upload_id = uploads.begin(Announcement(4, "a.csv", "text/csv"))
    found = uploads.find(upload_id)
    assert found is not None
    assert uploads.append(found, 0, [b"text"]) == 4
    # Its process dies between the file's name and its row.
    assert uploads.settle(found)
    whole = aged(storage.path(upload_id), hours=23)
    assert tidied(engine, storage, [whole]) == [True]
    again = uploads.find(upload_id)
    assert again is not None
    assert again.is_whole
    assert tidied(engine, storage, [whole], upload_seconds=DAY / 2) == [True]
    assert uploads.find(upload_id) is None
    assert tidied(engine, storage, [whole]) == [False]
