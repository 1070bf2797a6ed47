"""Uploads that go on where they were broken off: what came is on the disk, and its length is the offset.

    ID.upload        the bytes so far
    ID.upload.json   what was said of them at the beginning; written before, removed after them

With the last byte they become the stored file of the same id. Nobody holds an upload while sending to it: each piece
is written under a lock, and only where the bytes end just before it. So of two who send at once the one that writes
first goes on and the other is told, and a sender whose connection hangs keeps nobody away.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from contract.errors import ErrorCode, RequestError
from contract.ids import is_id, new_id
from contract.jsons import dumps, loads
from models.files import FileStorage, pieces_of

SUFFIX = ".upload"
_ABOUT = f"{SUFFIX}.json"


class Moved(Exception):
    """The upload ends elsewhere than its sender believes: somebody else wrote to it, or an answer was lost."""


class WrongDigest(Exception):
    """What came is not what was sent; nothing of it was kept."""


@dataclasses.dataclass(frozen=True)
class Announcement:
    """What the sender says of a file before it sends any of it."""

    length: int
    name: str
    content_type: str
    #: Upload-Metadata as it came.
    metadata: str = ""


@dataclasses.dataclass(frozen=True)
class Upload:
    id: str
    about: Announcement
    #: Bytes that are on the disk.
    offset: int
    touched_at: datetime

    @property
    def is_whole(self) -> bool:
        return self.offset == self.about.length


class Uploads:
    """Uploads on their way into a FileStorage, beside its files."""

    def __init__(self, storage: FileStorage) -> None:
        self._storage = storage

    def begin(self, about: Announcement) -> str:
        """Make room for a file of which nothing has come; its id."""
        upload_id = new_id()
        part = self._part(upload_id)
        part.parent.mkdir(parents=True, exist_ok=True)
        with _about(part).open("w", encoding="utf-8") as out:
            out.write(dumps(dataclasses.asdict(about)))
            out.flush()
            os.fsync(out.fileno())
        part.touch(exist_ok=False)
        return upload_id

    def find(self, upload_id: str) -> Upload | None:
        """How far an upload is; None for one that never was, was dropped, or is entered as a file."""
        if not is_id(upload_id):
            return None
        part = self._part(upload_id)
        try:
            about = Announcement(**loads(_about(part).read_bytes()))
            size, touched = _synced(part if part.exists() else self._storage.path(upload_id))
        except FileNotFoundError:
            return None
        return Upload(upload_id, about, size, touched)

    def append(self, upload: Upload, offset: int, pieces: Iterable[bytes]) -> int:
        """Write pieces behind `offset` as they come; the offset behind them, once they are on the disk.

        Whatever breaks off in between, what was written stays. Raises Moved, RequestError(too_large), and
        FileNotFoundError where the upload is gone.
        """
        with self._part(upload.id).open("r+b", buffering=0) as out:
            try:
                # An empty piece first: who sends nothing must know the offset, too.
                for piece in chain((b"",), pieces):
                    if offset + len(piece) > upload.about.length:
                        message = f"This is more than the {upload.about.length:,} bytes that were announced."
                        raise RequestError(ErrorCode.TOO_LARGE, message, field="Upload-Length")
                    _put(out, piece, offset)
                    offset += len(piece)
            finally:
                os.fsync(out.fileno())
        return offset

    def append_checked(
        self, upload: Upload, offset: int, pieces: Iterable[bytes], *, algorithm: str, digest: bytes
    ) -> int:
        """As `append`, all of it or nothing: it is kept apart until it is known to be what was sent."""
        if offset != upload.offset:
            raise Moved
        found = hashlib.new(algorithm, usedforsecurity=False)
        room = upload.about.length - offset
        apart, _ = self._storage.save(_summed(pieces, found.update), max_bytes=room, field="Upload-Length")
        try:
            if found.digest() != digest:
                raise WrongDigest
            with self._storage.open(apart) as whole:
                return self.append(upload, offset, pieces_of(whole))
        finally:
            self._storage.delete(apart)

    def settle(self, upload: Upload) -> bool:
        """Give a whole upload the name of the file that it is; False where it is gone. As often as one likes."""
        path = self._storage.path(upload.id)
        try:
            self._part(upload.id).replace(path)
        except FileNotFoundError:
            # Somebody else was first, or was killed before the file was entered in the database.
            return path.exists()
        return True

    def forget(self, upload_id: str) -> None:
        """The file is entered: nothing of how it came is needed."""
        _about(self._part(upload_id)).unlink(missing_ok=True)

    def drop(self, upload_id: str) -> None:
        part = self._part(upload_id)
        part.unlink(missing_ok=True)
        _about(part).unlink(missing_ok=True)

    def untouched_since(self, moment: datetime) -> Iterator[str]:
        """Uploads that nothing has come for since."""
        for about in self._storage.named(f"*{_ABOUT}"):
            found = self.find(about.name.removesuffix(_ABOUT))
            touched = found.touched_at if found else _touched(about)
            if touched is not None and touched < moment:
                yield about.name.removesuffix(_ABOUT)

    def _part(self, upload_id: str) -> Path:
        path = self._storage.path(upload_id)
        return path.with_name(path.name + SUFFIX)


def is_of_upload(path: Path) -> bool:
    """Whether a file in storage belongs to an upload that is under way."""
    return path.name.endswith((SUFFIX, _ABOUT))


def is_becoming_a_file(path: Path) -> bool:
    """Whether a stored file is an upload whose bytes are all there, and which the database does not know yet."""
    return path.with_name(path.name + _ABOUT).exists()


def _about(part: Path) -> Path:
    return part.with_name(part.name.removesuffix(SUFFIX) + _ABOUT)


def _synced(path: Path) -> tuple[int, datetime]:
    """How long a file is on the disk, and when it was written to."""
    with path.open("rb") as file:
        # Told to a sender, who may forget what came: the power must not take it back.
        os.fsync(file.fileno())
        found = os.fstat(file.fileno())
    return found.st_size, datetime.fromtimestamp(found.st_mtime, UTC)


def _touched(path: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except FileNotFoundError:
        return None


def _put(out: BinaryIO, piece: bytes, offset: int) -> None:
    """Write a piece where the file ends at `offset`, and nowhere else."""
    fcntl.flock(out, fcntl.LOCK_EX)
    try:
        if out.seek(0, os.SEEK_END) != offset:
            raise Moved
        left = memoryview(piece)
        while left:
            left = left[out.write(left) :]
    finally:
        fcntl.flock(out, fcntl.LOCK_UN)


def _summed(pieces: Iterable[bytes], update: Callable[[bytes], object]) -> Iterator[bytes]:
    for piece in pieces:
        update(piece)
        yield piece
