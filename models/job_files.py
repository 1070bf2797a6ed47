"""Files of jobs: what they were sent and what came back, kept as long as a job needs them.

Bytes are written before a row names them and deleted after the last row is gone: a crash in between leaves bytes that
nobody knows of, never a job whose file is missing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

import sqlalchemy as sa

from models.bulk import load
from models.files import NewFile, is_needed
from models.tables import files, job_files, jobs

_AT_ONCE = 500


def attach(conn: sa.Connection, job_id: str, made: Sequence[NewFile], *, now: datetime) -> None:
    """Enter files that were made for a job."""
    if made:
        rows = [
            {"id": f.id, "name": f.name, "content_type": f.content_type, "bytes": f.bytes, "created_at": now}
            for f in made
        ]
        conn.execute(sa.insert(files).values(of_jobs=True), rows)
        link(conn, job_id, [file.id for file in made])


def attach_rows(conn: sa.Connection, made: Sequence[tuple[str, NewFile]], *, now: datetime) -> None:
    """Enter files that were made for many jobs, each with the job's id."""
    rows = ((f.id, f.name, f.content_type, f.bytes) for _, f in made)
    load(conn, files, ("id", "name", "content_type", "bytes"), rows, created_at=now, of_jobs=True)
    link_rows(conn, [(job_id, file.id) for job_id, file in made])


def link_rows(conn: sa.Connection, pairs: Sequence[tuple[str, str]]) -> None:
    """Say that jobs need files that are there: `(job id, file id)`, each pair once."""
    load(conn, job_files, ("job_id", "file_id"), pairs)


def link(conn: sa.Connection, job_id: str, file_ids: Collection[str]) -> None:
    """Say that a job needs files that are there; raises IntegrityError where one is gone."""
    if file_ids:
        conn.execute(sa.insert(job_files), [{"job_id": job_id, "file_id": file_id} for file_id in set(file_ids)])


def delete_jobs(conn: sa.Connection, which: sa.ColumnElement[bool]) -> tuple[int, list[str]]:
    """Delete jobs: how many, and files that nobody needs any more, whose bytes go after the commit."""
    needed = sa.select(job_files.c.file_id).distinct().join(jobs, jobs.c.id == job_files.c.job_id).where(which)
    held = list(conn.scalars(needed))
    count = conn.execute(sa.delete(jobs).where(which)).rowcount
    return count, _forget(conn, held) if count else []


def _forget(conn: sa.Connection, ids: Sequence[str]) -> list[str]:
    return [gone for some in _pieces(ids) for gone in _forget_some(conn, some)]


def _pieces(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE))


def _forget_some(conn: sa.Connection, ids: Sequence[str]) -> list[str]:
    # Locked before it is asked who needs them: a job that is just being linked to one must be seen.
    conn.execute(sa.select(files.c.id).where(files.c.id.in_(ids)).with_for_update())
    gone = sa.delete(files).where(files.c.id.in_(ids), files.c.of_jobs, ~is_needed()).returning(files.c.id)
    return list(conn.scalars(gone))
