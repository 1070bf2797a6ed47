"""One file of an archive, read where it lies: its name is a text to show, and never a path of this machine.

Nothing is known of it but what the listing wrote down, so that no reader goes through the archive's own table of
contents again, which may hold a million names.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from contract.errors import ErrorCode, RequestError

PIECE = 1 << 18
#: Methods of ZIP that are read: the others can make gigabytes of one piece.
METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
#: Signature, 22 bytes that the table of contents repeats, lengths of the name and of what comes behind it.
_LOCAL = struct.Struct("<4s22xHH")
_SIGNATURE = b"PK\x03\x04"


def about(name: str, message: str) -> str:
    """A sentence with the name of the file that it is about."""
    return f"{message.removesuffix('.')} (file '{name[-100:]}')."


class Member(NamedTuple):
    #: The archive, taken out of .gz or .zst.
    archive: Path
    name: str
    #: Where it begins: its local header in a ZIP, its bytes in a tar.
    offset: int
    #: Bytes of it, and of what the archive holds of it.
    size: int
    packed: int
    #: As ZIP numbers them; None in a tar, where there are neither methods nor checksums.
    method: int | None = None
    crc: int | None = None

    def shown(self) -> dict[str, Any]:
        """What a dry run shows of it."""
        return {"member": {"name": self.name, "bytes": self.size}}

    def pieces(self, *, field: str) -> Iterator[bytes]:
        """Its bytes, never more than `size`; raises RequestError, which names `field`, where they are damaged."""
        try:
            if not 0 <= self.offset <= self.archive.stat().st_size or self.size < 0:
                # Damaged numbers, which no file can be read from.
                raise EOFError
            yield from self._from_tar() if self.method is None else self._from_zip()
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, struct.error) as error:
            message = "The archive is damaged where this file should be."
            raise RequestError(ErrorCode.INVALID_VALUE, message, field=field) from error

    def _from_tar(self) -> Iterator[bytes]:
        left = self.size
        with self.archive.open("rb") as file:
            file.seek(self.offset)
            while left:
                piece = file.read(min(left, PIECE))
                if not piece:
                    raise EOFError
                left -= len(piece)
                yield piece

    def _from_zip(self) -> Iterator[bytes]:
        left = self.size
        with self.archive.open("rb") as file:
            file.seek(self.offset)
            signature, name, extra = _LOCAL.unpack(file.read(_LOCAL.size))
            if signature != _SIGNATURE:
                raise zipfile.BadZipFile
            file.seek(name + extra, 1)
            # The checksum is compared at the end.
            with zipfile.ZipExtFile(file, "r", self._info()) as unpacked:
                while piece := unpacked.read(PIECE):
                    left -= len(piece)
                    yield piece
        if left:
            raise EOFError

    def _info(self) -> zipfile.ZipInfo:
        info = zipfile.ZipInfo("file")
        assert self.method is not None
        assert self.crc is not None
        info.compress_type, info.CRC = self.method, self.crc
        info.compress_size, info.file_size = self.packed, self.size
        return info
