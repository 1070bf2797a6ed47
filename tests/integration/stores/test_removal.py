"""What is deleted is gone at once for whoever asks, whole in the end, and takes nothing of others along."""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from contract.ids import first_id_at, new_id
from contract.statuses import BatchStatus
from contract.times import utc_now
from models import batches, records, removal, sweeps
from models.batches import Batch
from models.database import reading, transaction
from models.files import FileStorage, add_file, find_file
from models.jobs import find_job
from models.records import Success, Timing
from models.tables import metadata
from tests.integration.conftest import NOW
from tests.integration.stores.conftest import found_batch
from tests.integration.stores.test_upkeep import sweep
from worker import upkeep

TIMING = Timing(load=0.0, inference=0.1)
OF_BATCHES = ("batches", "batch_counts", "files", "jobs", "job_data", "job_results", "rejected_rows", "row_ids")


@pytest.fixture
def storage(tmp_path: Path) -> FileStorage:
    return FileStorage(tmp_path / "files")


@pytest.fixture
def over_batch(engine, batch_factory, claim_rows, storage):
    """A batch that is over, with rows, results, a rejected row, ids, and a stored file."""

    def make(*, rows: int = 3, now: datetime = NOW) -> Batch:
        batch = batch_factory(rows, now=now)
        good = [Success(row.id, row.fence, [1]) for row in claim_rows(rows, now=now)]
        bad = {"row": 99, "line": 101, "code": "invalid_row", "message": "No."}
        path = storage.path(batch.file_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"text\n")

        def work(conn: sa.Connection) -> None:
            records.finish(conn, good, model={"id": "m"}, timing=TIMING, now=now)
            batches.reject_rows(conn, [{**bad, "batch_id": batch.id, "external_id": None, "input": None}])
            batches.keep_ids(conn, batch.id, [f"r{n}" for n in range(rows)])
            assert batches.close_if_over(conn, batch.id, now=now)

        transaction(engine, work)
        return found_batch(engine, batch.id)

    return make


def left(engine: sa.Engine) -> dict[str, int]:
    with engine.connect() as conn:
        counts = {name: conn.scalar(sa.text(f"SELECT count(*) FROM {name}")) or 0 for name in OF_BATCHES}
    assert set(OF_BATCHES) < set(metadata.tables)
    return {name: count for name, count in counts.items() if count}


def stored(storage: FileStorage, batch: Batch) -> bool:
    return storage.path(batch.file_id).exists()


def delete(engine: sa.Engine, batch: Batch) -> removal.Remains:
    remains = transaction(engine, lambda conn: removal.delete_batch(conn, batch, now=NOW))
    assert remains is not None
    return remains


def test_a_deleted_batch_leaves_nothing(engine, over_batch, storage):
    batch = over_batch()
    assert removal.remove(engine, storage, delete(engine, batch), until=time.monotonic() + 60)
    assert (left(engine), stored(storage, batch)) == ({}, False)


def test_a_delete_that_was_broken_off_is_finished_by_the_sweep(engine, over_batch, storage, monkeypatch):
    monkeypatch.setattr(removal, "PIECE", 2)
    batch, other = over_batch(rows=5), over_batch(rows=2)
    assert not removal.remove(engine, storage, delete(engine, batch), until=time.monotonic())
    with reading(engine) as conn:
        assert batches.find_batch(conn, batch.id) is None
        assert [one.id for one in batches.list_batches(conn, limit=9)[0]] == [other.id]
    assert stored(storage, batch)
    assert transaction(engine, lambda conn: removal.delete_batch(conn, batch, now=NOW)) is None
    sweep(engine, storage)
    assert left(engine) == {**dict.fromkeys(OF_BATCHES, 1), "jobs": 2, "job_data": 2, "job_results": 2, "row_ids": 2}
    assert (stored(storage, batch), stored(storage, other)) == (False, True)


def test_a_file_that_another_batch_was_made_from_stays(engine, over_batch, storage):
    batch, other = over_batch(), over_batch()
    with engine.begin() as conn:
        conn.execute(sa.text("UPDATE batches SET file_id = :file"), {"file": batch.file_id})
    assert removal.remove(engine, storage, delete(engine, batch), until=time.monotonic() + 60)
    assert stored(storage, batch)
    assert found_batch(engine, other.id).file_id == batch.file_id


def test_what_is_over_for_longer_than_it_is_kept_goes(engine, over_batch, batch_factory, job_factory, storage):
    now = utc_now()
    old, new = now - timedelta(days=8), now - timedelta(days=6)
    gone, kept, running = over_batch(now=old), over_batch(now=new), batch_factory(2, now=old)
    sweep(engine, storage)
    assert [found_batch(engine, one.id).id for one in (gone, kept)] == [gone.id, kept.id]
    sweep(engine, storage, keep_days=7)
    with reading(engine) as conn:
        assert batches.find_batch(conn, gone.id) is None
    assert (stored(storage, gone), stored(storage, kept)) == (False, True)
    assert found_batch(engine, running.id).status is BatchStatus.RUNNING


def test_old_jobs_go_and_those_that_are_open_or_were_over_lately_stay(engine, job_factory, storage):
    now = utc_now()
    ids = {name: job_factory(name) for name in ("old", "open", "lately")}
    for name, days in (("old", 8), ("lately", 6)):
        transaction(engine, lambda conn, name=name: sweeps.cancel(conn, ids[name], now=NOW))
        _was_over(engine, ids[name], now - timedelta(days=days))
    made_before = _renamed(engine, ids, now - timedelta(days=9))
    sweep(engine, storage, keep_days=7)
    with reading(engine) as conn:
        assert {name: find_job(conn, job_id) is not None for name, job_id in made_before.items()} == {
            "old": False, "open": True, "lately": True,
        }  # fmt: skip


def _was_over(engine: sa.Engine, job_id: str, when: datetime) -> None:
    jobs = metadata.tables["jobs"]
    with engine.begin() as conn:
        conn.execute(sa.update(jobs).where(jobs.c.id == job_id).values(finished_at=when))


def _renamed(engine: sa.Engine, ids: dict[str, str], when: datetime) -> dict[str, str]:
    """Ids are stamped by the clock: give these jobs ids of that moment."""
    jobs, data = metadata.tables["jobs"], metadata.tables["job_data"]
    renamed = {name: first_id_at(when) + job_id[12:] for name, job_id in ids.items()}
    with engine.begin() as conn:
        if conn.dialect.name == "sqlite":
            conn.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        else:
            conn.exec_driver_sql("SET session_replication_role = replica")
        for name, job_id in ids.items():
            conn.execute(sa.update(jobs).where(jobs.c.id == job_id).values(id=renamed[name]))
            conn.execute(sa.update(data).where(data.c.job_id == job_id).values(job_id=renamed[name]))
    return renamed


def test_an_upload_that_nothing_was_made_from_goes(engine, over_batch, storage):
    now = utc_now()
    batch = over_batch(now=now - timedelta(days=1))
    ids = [storage.save([b"text\n"], max_bytes=99)[0] for _ in range(2)]
    for file_id, days in zip(ids, (8, 6), strict=True):
        when = now - timedelta(days=days)
        about = {"name": "x", "content_type": "text/csv", "size": 5, "now": when}
        transaction(engine, lambda conn, f=file_id, about=about: add_file(conn, file_id=f, **about))
    sweep(engine, storage, keep_days=7)
    assert [storage.path(file_id).exists() for file_id in (*ids, batch.file_id)] == [False, True, True]
    with reading(engine) as conn:
        assert [find_file(conn, file_id) is not None for file_id in ids] == [False, True]


def test_what_a_killed_process_left_in_storage_goes_and_nothing_else(engine, over_batch, storage):
    batch = over_batch()
    torn, orphan, arriving = (storage.path(new_id()) for _ in range(3))
    torn = torn.with_name(torn.name + ".part")
    copy = storage.path(batch.file_id).with_suffix(".plain")
    half_a_copy = copy.with_suffix(".0123abcd.part")
    for path in (torn, orphan, arriving, copy, half_a_copy):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"text\n")
    long_ago = (utc_now() - timedelta(hours=3)).timestamp()
    for path in (torn, orphan, copy, half_a_copy, storage.path(batch.file_id)):
        os.utime(path, (long_ago, long_ago))
    upkeep.tidy(engine, storage, upload_seconds=60)
    gone, kept = (torn, orphan, half_a_copy), (arriving, copy)
    assert [path.exists() for path in (*gone, *kept)] == [False, False, False, True, True]
    assert stored(storage, batch)


def test_an_id_is_sorted_by_the_moment_it_was_made():
    assert first_id_at(utc_now() - timedelta(seconds=2)) < new_id() < first_id_at(utc_now() + timedelta(seconds=2))
