"""Removing what is over: gone at once for whoever asks, from the tables in pieces, so that no worker waits long.

A batch is marked first. Whoever marked it begins to take its rows away; upkeep goes on where that was broken off.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from datetime import datetime
from itertools import islice
from pathlib import Path

import sqlalchemy as sa

from contract.ids import first_id_at
from contract.statuses import BATCH_OVER, JOB_OVER
from models.batches import READABLE, Batch
from models.database import reading, transaction
from models.files import FileStorage, delete_file, entered, is_needed
from models.job_files import delete_jobs
from models.resumable import Uploads, is_becoming_a_file, is_of_upload
from models.tables import batches, files, jobs, rejected_rows, row_ids

PIECE = 5_000
#: Batches and files that one look finds; the next look finds the others.
_FOUND = 100
#: Files in storage that are looked up in the database at once.
_LOOKED_UP = 1_000
_OVER = batches.c.status.in_([status.value for status in BATCH_OVER])


@dataclasses.dataclass(frozen=True)
class Remains:
    """A batch that was deleted, and how far in its file it had rows."""

    batch_id: str
    file_id: str
    rows: int


def delete_batch(conn: sa.Connection, batch: Batch, *, now: datetime) -> Remains | None:
    """From the commit on nobody finds it; `remove` does the rest. None while it runs, or when somebody was first."""
    marked = sa.update(batches).where(batches.c.id == batch.id, _OVER, batches.c.deleted_at.is_(None))
    if not conn.execute(marked.values(deleted_at=now)).rowcount:
        return None
    return Remains(batch.id, batch.file_id, batch.cursor.row)


def deleted(conn: sa.Connection) -> list[Remains]:
    """Batches of which something may be left."""
    query = sa.select(batches.c.id, batches.c.file_id, batches.c.cursor).where(batches.c.deleted_at.is_not(None))
    return [Remains(row.id, row.file_id, row.cursor["row"]) for row in conn.execute(query.limit(_FOUND))]


def delete_old_batches(conn: sa.Connection, *, before: datetime, now: datetime) -> int:
    """Delete those that were over before a moment; how many."""
    old = sa.select(batches.c.id).where(_OVER, batches.c.finished_at < before, batches.c.deleted_at.is_(None))
    marked = sa.update(batches).where(batches.c.id.in_(old.limit(_FOUND).scalar_subquery()))
    return conn.execute(marked.values(deleted_at=now)).rowcount


def remove(engine: sa.Engine, storage: FileStorage, remains: Remains, *, until: float) -> bool:
    """Take a deleted batch and its file away; False when `until`, in monotonic time, came first."""
    for first in range(0, remains.rows, PIECE):
        if time.monotonic() >= until:
            return False
        _remove_jobs(engine, storage, _rows_from(remains.batch_id, first))
    for table in (rejected_rows, row_ids):
        while _run(engine, lambda conn, table=table: _remove_some(conn, table, remains.batch_id)):  # type: ignore[misc]
            if time.monotonic() >= until:
                return False
    if _run(engine, lambda conn: _remove_batch(conn, remains)):
        # After the commit: a row without its bytes would be a lie, bytes without a row are only waste.
        storage.delete(remains.file_id)
    return True


def _run(engine: sa.Engine, work: Callable[[sa.Connection], int]) -> int:
    # What the power takes back is removed again.
    return transaction(engine, work, lasting=False)


def _rows_from(batch_id: str, first: int) -> sa.ColumnElement[bool]:
    return sa.and_(jobs.c.batch_id == batch_id, jobs.c.row >= first, jobs.c.row < first + PIECE)


def _remove_jobs(engine: sa.Engine, storage: FileStorage, which: sa.ColumnElement[bool]) -> int:
    """Take jobs away, and the files that nobody else needs; how many jobs."""
    count, gone = transaction(engine, lambda conn: delete_jobs(conn, which), lasting=False)
    for file_id in gone:
        storage.delete(file_id)
    return count


def _remove_some(conn: sa.Connection, table: sa.Table, batch_id: str) -> int:
    keys = tuple(table.primary_key.columns)
    some = sa.select(*keys).where(table.c.batch_id == batch_id).limit(PIECE)
    return conn.execute(sa.delete(table).where(sa.tuple_(*keys).in_(some))).rowcount


def _remove_batch(conn: sa.Connection, remains: Remains) -> bool:
    """Its last row; whether its file belongs to no other batch and is to go."""
    conn.execute(sa.delete(batches).where(batches.c.id == remains.batch_id))
    return delete_file(conn, remains.file_id)


def remove_old_jobs(engine: sa.Engine, storage: FileStorage, *, before: datetime) -> int:
    """Remove a piece of the jobs without a batch that were over before a moment; how many, PIECE: there may be more.

    Ids are in the order of time: what was over before was submitted before.
    """
    over: list[sa.ColumnElement[str]] = [sa.literal_column(f"'{status}'") for status in sorted(JOB_OVER)]
    old = (
        sa.select(jobs.c.id)
        .where(
            jobs.c.batch_id.is_(None), jobs.c.id < first_id_at(before), jobs.c.status.in_(over),
            jobs.c.finished_at < before,
        )
        .order_by(jobs.c.id)
        .limit(PIECE)
    )  # fmt: skip
    return _remove_jobs(engine, storage, jobs.c.id.in_(old.scalar_subquery()))


def remove_waste(engine: sa.Engine, storage: FileStorage, *, before: datetime) -> int:
    """Remove what belongs to nothing in storage: parts of files, and files without a row; how many.

    Only what nobody has written to since a moment: an upload that arrives now is neither, what was fetched for a
    batch whose file is still read gets its row later, a resumable upload that is whole when its sender asks again.
    """
    before, removed = min(before, _first_unread(engine) or before), 0
    old = (path for path in storage.untouched_since(before) if not is_of_upload(path))
    while some := list(islice(old, _LOOKED_UP)):
        with reading(engine) as conn:
            known = entered(conn, [_id_of(path) for path in some])
        for path in some:
            is_part = path.suffix == ".part"
            if is_part or (_id_of(path) not in known and not is_becoming_a_file(path)):
                path.unlink(missing_ok=True)
                removed += 1
    return removed


def _first_unread(engine: sa.Engine) -> datetime | None:
    """When the oldest batch came whose file is not read to its end."""
    unread = sa.select(sa.func.min(batches.c.created_at)).where(READABLE, ~batches.c.ingested)
    with reading(engine) as conn:
        found: datetime | None = conn.scalar(unread)
    return found


def _id_of(path: Path) -> str:
    """Of the stored file that it is, or was made from: its name before the dot."""
    return path.name.partition(".")[0]


def remove_broken_off(storage: FileStorage, *, before: datetime) -> int:
    """Give up resumable uploads that nothing has come for since a moment; how many. What was whole is waste then."""
    uploads, removed = Uploads(storage), 0
    for upload_id in uploads.untouched_since(before):
        uploads.drop(upload_id)
        removed += 1
    return removed


def remove_old_files(engine: sa.Engine, storage: FileStorage, *, before: datetime) -> None:
    """Remove files that lie about since before a moment, and no batch and no job needs them."""
    query = sa.select(files.c.id).where(files.c.created_at < before, ~is_needed()).limit(_FOUND)
    with reading(engine) as conn:
        found = list(conn.scalars(query))
    for file_id in found:
        if transaction(engine, lambda conn, file_id=file_id: delete_file(conn, file_id)):  # type: ignore[misc]
            storage.delete(file_id)
