"""Files in gzip or Zstandard: read as they are unpacked, or unpacked once into a copy beside the upload.

Whoever reads from the beginning on needs no copy. One that comes back to a place, as the reading of a batch does
every few seconds, would unpack everything before that place each time; and formats that begin at their end cannot be
read from a stream at all.
"""

from __future__ import annotations

import contextlib
import gzip
import importlib
import io
import os
import secrets
import shutil
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from contract.errors import ErrorCode
from models.sheets.layout import FileError

if TYPE_CHECKING:
    from models.sheets.layout import Layout

_MARKS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
#: Endings of names that say nothing of what is inside.
SUFFIXES = (".gz", ".gzip", ".zst", ".zstd")
#: A file may grow so many times. Less than this many bytes do no harm however small they were packed.
MAX_GROWTH = 200
HARMLESS = 1 << 30


def packing_of(path: Path) -> str | None:
    with path.open("rb") as file:
        head = file.read(4)
    return next((packing for mark, packing in _MARKS.items() if head.startswith(mark)), None)


def opened(path: Path, layout: Layout) -> BinaryIO:
    """The plain bytes of an upload: the file itself, its copy if there is one, else unpacked as they are read."""
    if layout.packing is None:
        return path.open("rb")
    with contextlib.suppress(FileNotFoundError):
        return _copy_of(path).open("rb")
    return cast(BinaryIO, io.BufferedReader(_Unpacking(path, layout.packing, layout.limit), 1 << 18))


def plain(path: Path, layout: Layout) -> Path:
    """Where the plain bytes of an upload are as a file; unpacked now unless somebody did before."""
    if layout.packing is None:
        return path

    def unpack(part: Path) -> None:
        with opened(path, layout) as source, part.open("wb") as out:
            shutil.copyfileobj(source, out, 1 << 20)

    return beside(path, _copy_of(path), unpack)


def beside(path: Path, copy: Path, make: Callable[[Path], None]) -> Path:
    """A file made from an upload, kept beside it and deleted with it; there whole or not at all."""
    if not copy.exists():
        # Two readers may make it at once: each its own, and either will do.
        part = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
        try:
            make(part)
            part.replace(copy)
        finally:
            part.unlink(missing_ok=True)
    return copy


def _copy_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.plain")


class _Unpacking(io.RawIOBase):
    """A packed file as its plain bytes, never more than a limit of them; what is wrong with it is a FileError."""

    def __init__(self, path: Path, packing: str, limit: int) -> None:
        self._file: Any = gzip.GzipFile(path) if packing == "gzip" else _zstd().open(path)
        self._most = min(limit, max(HARMLESS, path.stat().st_size * MAX_GROWTH))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with self._in_words():
            count: int = self._file.readinto(buffer)
            refuse_beyond(self._most, self._file.tell())
            return count

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        with self._in_words():
            return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        self._file.close()
        super().close()

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, zlib.error, gzip.BadGzipFile, _zstd().ZstdError) as error:
            message = "The archive is damaged or cut short: it cannot be unpacked to its end."
            raise FileError(ErrorCode.UNREADABLE_FILE, message) from error


def refuse_beyond(most: int, size: int) -> None:
    if size > most:
        message = f"Unpacked, the file has more than {most:,} bytes, the most this server takes of it."
        raise FileError(ErrorCode.TOO_LARGE, message)


def _zstd() -> Any:
    return importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
