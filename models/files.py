"""File storage: bytes in the data directory, names in the database. Streamed in bounded pieces, at any size."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import secrets
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import sqlalchemy as sa

from contract.errors import ErrorCode, RequestError
from contract.ids import is_id, new_id
from models.tables import batches, files, job_files

PIECE = 1 << 18


@dataclasses.dataclass(frozen=True)
class StoredFile:
    id: str
    name: str
    content_type: str
    bytes: int
    created_at: datetime
    #: Made for a job, and gone with the last job that needs it.
    of_jobs: bool = False


@dataclasses.dataclass(frozen=True)
class NewFile:
    """A file whose bytes are in storage, and which the database does not know yet."""

    id: str
    name: str
    content_type: str
    bytes: int

    def shown(self) -> dict[str, dict[str, str | int]]:
        """What inputs and results show of it."""
        return shown_file(self.id, self.content_type, self.bytes)


def shown_file(file_id: str, content_type: str, size: int) -> dict[str, dict[str, str | int]]:
    url = f"/api/v1/files/{file_id}/content"
    return {"file": {"id": file_id, "content_type": content_type, "bytes": size, "url": url}}


class FileStorage:
    """A folder of files named by id; a file is there whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, file_id: str) -> Path:
        """Where a stored file is. Only ids we made are ever joined to a path."""
        if not is_id(file_id):
            raise ValueError(file_id)
        return self._folder / file_id[-2:] / file_id

    def save(
        self, pieces: Iterable[bytes], *, max_bytes: int, field: str = "file", file_id: str | None = None
    ) -> tuple[str, int]:
        """Write pieces as they come and sync them to the disk; `(id, bytes)`.

        Raises RequestError(too_large), which names `field`, past `max_bytes`. Whatever goes wrong, no part of a file
        stays behind. `file_id`: what it is to be called; None: a fresh id.
        """
        file_id = file_id or new_id()
        path = self.path(file_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Two may write one name at once: each its own part.
        part = path.with_name(f"{file_id}.{secrets.token_hex(4)}.part")
        try:
            with part.open("wb") as out:
                size = _write(out, pieces, max_bytes, field)
                out.flush()
                os.fsync(out.fileno())
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        return file_id, size

    def held(self, file_id: str) -> int | None:
        """Bytes of a file that is there, which counts as written to just now; None where there is none."""
        try:
            os.utime(self.path(file_id))
            return self.path(file_id).stat().st_size
        except FileNotFoundError:
            return None

    def open(self, file_id: str) -> BinaryIO:
        return self.path(file_id).open("rb")

    def digest(self, file_id: str) -> str:
        """SHA-256 of what is in a file, in hexadecimal."""
        with self.path(file_id).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def delete(self, file_id: str) -> None:
        path = self.path(file_id)
        path.unlink(missing_ok=True)
        # What was made from it to read it, its name before the dot.
        for copy in path.parent.glob(f"{path.name}.*"):
            copy.unlink(missing_ok=True)

    def named(self, pattern: str) -> Iterator[Path]:
        """What lies in storage under names that fit."""
        return self._folder.glob(f"*/{pattern}")

    def untouched_since(self, moment: datetime) -> Iterator[Path]:
        """Files and parts of files that nobody has written to since."""
        for path in self.named("*"):
            try:
                if path.stat().st_mtime < moment.timestamp():
                    yield path
            except FileNotFoundError:
                continue


def _write(out: BinaryIO, pieces: Iterable[bytes], max_bytes: int, field: str) -> int:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > max_bytes:
            raise RequestError(
                ErrorCode.TOO_LARGE,
                f"The file is larger than {max_bytes:,} bytes, the most this server takes.",
                field=field,
            )
        out.write(piece)
    return size


def pieces_of(stream: BinaryIO) -> Iterator[bytes]:
    while piece := stream.read(PIECE):
        yield piece


def add_file(
    conn: sa.Connection, *, file_id: str, name: str, content_type: str, size: int, now: datetime
) -> StoredFile:
    stored = StoredFile(id=file_id, name=name[:255], content_type=content_type[:255], bytes=size, created_at=now)
    conn.execute(sa.insert(files).values(**dataclasses.asdict(stored)))
    return stored


def set_size(conn: sa.Connection, file_id: str, size: int) -> None:
    """How long a file is that was written to."""
    conn.execute(sa.update(files).where(files.c.id == file_id).values(bytes=size))


def find_file(conn: sa.Connection, file_id: str) -> StoredFile | None:
    found = conn.execute(sa.select(files).where(files.c.id == file_id)).first()
    return None if found is None else StoredFile(**found._mapping)


def find_files(conn: sa.Connection, ids: Collection[str]) -> set[str]:
    """Those of `ids` that are there, and stay until this transaction is over."""
    held = sa.select(files.c.id).where(files.c.id.in_(ids)).with_for_update(read=True, key_share=True)
    return set(conn.scalars(held)) if ids else set()


def entered(conn: sa.Connection, ids: Collection[str]) -> set[str]:
    """Those of `ids` that the database knows now."""
    return set(conn.scalars(sa.select(files.c.id).where(files.c.id.in_(ids))))


def is_needed() -> sa.ColumnElement[bool]:
    """Whether a batch was made from a file, or a job needs it."""
    return sa.or_(
        sa.exists().where(batches.c.file_id == files.c.id), sa.exists().where(job_files.c.file_id == files.c.id)
    )


def delete_file(conn: sa.Connection, file_id: str) -> bool:
    """Forget a file; False when a batch or a job needs it."""
    return conn.execute(sa.delete(files).where(files.c.id == file_id, ~is_needed())).rowcount == 1
