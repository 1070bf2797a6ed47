"""What an archive says that it holds: the table of contents of a ZIP, the headers of a tar. Nothing is unpacked.

Only for the process that is shut in for this (models.sheets.listing): both readers can be made to take much memory.
"""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from contract.errors import ErrorCode
from models.sheets.archives import DAMAGED, IsWorkbook
from models.sheets.layout import FileError
from models.sheets.members import METHODS, Member
from models.sheets.packed import HARMLESS, MAX_GROWTH, refuse_beyond

#: Characters of a name; a tar may give one of gigabytes.
_LONGEST = 1_000
_LOCKED = 0x1 | 0x40
#: What file managers leave beside people's files.
_LITTER = frozenset({"thumbs.db", "desktop.ini"})
Place = tuple[int, int, int, int | None, int | None]


class Entry(NamedTuple):
    name: str
    #: A Member's offset, size, packed, method and crc.
    place: Place
    #: Why it cannot be read.
    flaw: str | None = None

    def member(self, archive: Path) -> Member:
        return Member(archive, self.name, *self.place)


def entries(archive: Path, *, limit: int, most: int) -> Iterator[Entry]:
    """Every file but hidden ones, as they come; raises FileError for an archive that is damaged or too large."""
    total, bound = 0, most_unpacked(archive, limit)
    found = _of_zip(archive) if _is_zip(archive) else _of_tar(archive)
    for count, entry in enumerate(found, start=1):
        if count > most:
            message = f"The archive holds more than {most:,} files, the most this server takes."
            raise FileError(ErrorCode.TOO_LARGE, message)
        total += entry.place[1]
        refuse_beyond(bound, total)
        if not is_hidden(entry.name):
            yield entry


def most_unpacked(archive: Path, limit: int) -> int:
    """Bytes that the rows of an archive may come to, all in all."""
    return min(limit, max(HARMLESS, archive.stat().st_size * MAX_GROWTH))


def _is_zip(archive: Path) -> bool:
    with archive.open("rb") as file:
        return file.read(2) == b"PK"


def clean(name: str) -> str:
    """A path inside an archive as people write it: no ./ before it, and slashes that lean forward."""
    parts = name.replace("\\", "/").replace("\0", "\ufffd").split("/")
    # Bytes that are no UTF-8 come as lone surrogates, which nothing can be written with.
    return "/".join(part for part in parts if part not in ("", ".")).encode("utf-8", "replace").decode()


def is_hidden(name: str) -> bool:
    parts = name.split("/")
    hidden = any((part.startswith(".") and part != "..") or part == "__MACOSX" for part in parts)
    return hidden or parts[-1].lower() in _LITTER


def _named(name: str, place: Place, flaw: str | None) -> Entry:
    plain = clean(name)
    if len(plain) > _LONGEST:
        return Entry(plain[:_LONGEST], place, f"Its name has more than {_LONGEST:,} characters.")
    return Entry(plain, place, flaw)


def _of_zip(archive: Path) -> Iterator[Entry]:
    try:
        with zipfile.ZipFile(archive) as opened:
            found = opened.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError, RuntimeError) as error:
        raise FileError(ErrorCode.UNREADABLE_FILE, DAMAGED) from error
    if any(info.filename.lower() == "xl/workbook.xml" for info in found):
        raise IsWorkbook
    if sum(info.compress_size for info in found) > archive.stat().st_size:
        # One stretch of it cannot be many files.
        raise FileError(ErrorCode.UNREADABLE_FILE, DAMAGED)
    for info in found:
        if not info.is_dir():
            place = (info.header_offset, info.file_size, info.compress_size, info.compress_type, info.CRC)
            yield _named(_name_in_zip(info), place, _flaw_in_zip(info))


def _name_in_zip(info: zipfile.ZipInfo) -> str:
    """Programs that write UTF-8 and do not say so are more than those that mean the code page of 1981."""
    if info.flag_bits & 0x800:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def _flaw_in_zip(info: zipfile.ZipInfo) -> str | None:
    if info.flag_bits & _LOCKED:
        return "It has a password. Pack it without one."
    if info.compress_type not in METHODS:
        return "It is packed in a way that is not read. Use stored or deflated."
    return None


def _of_tar(archive: Path) -> Iterator[Entry]:
    try:
        with tarfile.open(archive, "r:") as opened:
            before = -1
            while (info := opened.next()) is not None:
                # Headers with a negative size lead back to where they stand.
                if info.size < 0 or opened.offset <= before:
                    raise tarfile.ReadError
                before = opened.offset
                # It would keep all that it has seen.
                opened.members.clear()  # type: ignore[attr-defined]
                if not info.isdir():
                    place = (info.offset_data, info.size if info.isreg() else 0, info.size, None, None)
                    yield _named(info.name, place, _flaw_in_tar(info))
            _refuse_cut(archive, opened.offset)
    except (tarfile.TarError, OSError, ValueError, EOFError, RecursionError, OverflowError) as error:
        raise FileError(ErrorCode.UNREADABLE_FILE, DAMAGED) from error


def _refuse_cut(archive: Path, end: int) -> None:
    """A tar ends with a block of zeros. The library takes whatever it cannot read for its end."""
    with archive.open("rb") as file:
        file.seek(end)
        if file.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
            raise FileError(ErrorCode.UNREADABLE_FILE, DAMAGED)


def _flaw_in_tar(info: tarfile.TarInfo) -> str | None:
    if info.issym() or info.islnk():
        return "It is a link, and links are not followed. Pack the file itself (tar -h)."
    if not info.isreg() or info.issparse():
        return "It is no file as others are (a device, or one with holes)."
    return None
