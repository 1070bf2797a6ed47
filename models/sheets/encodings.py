"""Which encoding a file is in. A mark decides, or a zero beside every letter; then UTF-8 where it fits.

Last comes what people's programs export.
"""

from __future__ import annotations

import codecs
import unicodedata
from pathlib import Path

import charset_normalizer

from contract.errors import ErrorCode
from models.sheets.layout import FileError, Layout, Sample
from models.sheets.packed import opened

SAMPLE = 1 << 20
#: How far the first byte beyond ASCII is looked for: a name with an accent may come late in a large file.
_ASCII_SCAN = 256 << 20
_MARKS = (
    # UTF-32's mark begins with that of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_OTHER_FORMATS = (
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook, or one with a password"),
    (b"\x1f\x8b", "a gzip archive in another archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive in another archive"),
    (b"PARE", "an encrypted Parquet file"),
    (b"FEA1", "a Feather file of version 1"),
    (b"Obj\x01", "an Avro file"),
    (b"ORC", "an ORC file"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\0", "an xz archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"%PDF", "a PDF"),
    (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"),
)
_CONTROLS = bytes(set(range(32)) - {9, 10, 12, 13})
UNREADABLE = "This is neither text nor another format that can be read."
CAN_BE_READ = "CSV, JSON, text, Parquet, Arrow and xlsx can be read: save it as one of them."


def take_sample(path: Path, layout: Layout, *, said: str | None = None) -> Sample:
    """The beginning of a file as text, and how the rest is to be decoded. Raises FileError for what is no text.

    `said`: its encoding, by who knows it.
    """
    with opened(path, layout) as file:
        data = file.read(SAMPLE)
        whole = not file.read(1)
    encoding, start = _marked(data)
    if said is not None:
        encoding, start = _as_said(said, encoding, start)
    encoding = encoding or _without_mark(data) or _guess(data if whole else _telling(path, layout, data))
    body = data[start:]
    text = codecs.getincrementaldecoder(encoding)("replace").decode(body, whole)
    if not text.replace("\ufeff", "").replace("\0", "").strip():
        raise FileError(ErrorCode.EMPTY_FILE, "The file is empty.")
    if len(text.translate(_NO_CONTROLS)) < 0.7 * len(text):
        raise FileError(ErrorCode.UNREADABLE_FILE, UNREADABLE)
    newline = "\r" if "\n" not in text and "\r" in text else "\n"
    return Sample(path, text, encoding, newline, start, whole, layout.packing, layout.limit)


_NO_CONTROLS = dict.fromkeys(_CONTROLS)
#: Encodings that a file may be said to be in. In each a byte 10 ends a line, or lines are found by their units.
NAMED = (
    "utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be",
    "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258",
    "iso8859-1", "iso8859-2", "iso8859-3", "iso8859-4", "iso8859-5", "iso8859-6", "iso8859-7", "iso8859-8",
    "iso8859-9", "iso8859-10", "iso8859-13", "iso8859-14", "iso8859-15", "iso8859-16",
    "koi8-r", "koi8-u", "mac-roman", "mac-cyrillic", "cp437", "cp850", "cp852", "cp866", "cp874", "tis-620",
    "shift_jis", "cp932", "euc_jp", "gbk", "gb18030", "big5", "big5hkscs", "euc_kr", "cp949",
)  # fmt: skip


def named(encoding: str) -> str | None:
    """One of NAMED by any of its names (windows-1250, latin-1, utf-8-sig); None where it is none of them."""
    try:
        name = codecs.lookup(encoding).name
    except (LookupError, ValueError):
        return None
    plain = {"utf-8-sig": "utf-8", "ascii": "utf-8"}.get(name, name)
    return plain if plain in NAMED else None


def _as_said(said: str, marked: str, start: int) -> tuple[str, int]:
    """`(encoding, byte behind the mark)`: the file's mark says which of two it is where the name does not."""
    if marked.startswith(said):
        return marked, start
    return {"utf-16": "utf-16-le", "utf-32": "utf-32-le"}.get(said, said), 0


def refuse_other_formats(head: bytes) -> None:
    for mark, what in _OTHER_FORMATS:
        if head.startswith(mark):
            raise FileError(ErrorCode.UNKNOWN_FORMAT, f"This is {what}. {CAN_BE_READ}")


def _marked(data: bytes) -> tuple[str, int]:
    return next(((name, len(mark)) for mark, name in _MARKS if data.startswith(mark)), ("", 0))


def _guess(telling: bytes) -> str:
    if _mostly_utf8(telling):
        return "utf-8"
    if _has_controls(telling):
        # Random bytes hold 10%, texts in any one-byte encoding next to none.
        raise FileError(ErrorCode.UNREADABLE_FILE, UNREADABLE)
    return _one_byte_or_east_asian(telling)


def _has_controls(data: bytes) -> bool:
    return len(data) - len(data.translate(None, _CONTROLS)) > 0.02 * len(data)


def _without_mark(data: bytes) -> str | None:
    """UTF-16 as programs write it that leave the mark out. Of western text every other byte is zero."""
    even, odd = data[::2].count(0), data[1::2].count(0)
    units = len(data) // 2
    for name, high, low in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if high > 0.4 * units and low < 0.02 * units:
            return name
    if not _has_controls(data):
        return None
    return next((name for name in ("utf-16-le", "utf-16-be") if _is_text_in(name, data)), None)


def _is_text_in(encoding: str, data: bytes) -> bool:
    """Whether each character is one that there is, and some are line breaks: the wrong way round those are none."""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(data[: 1 << 16])
    except UnicodeDecodeError:
        return False
    return any(c in "\r\n" for c in text) and not any(
        unicodedata.category(c) in ("Cc", "Cn", "Co") and c not in "\t\r\n" for c in text
    )


def _telling(path: Path, layout: Layout, data: bytes) -> bytes:
    """The first lines of a large file that are beyond ASCII, without those that a piece of it cuts in two."""
    if not data.isascii():
        return data[: data.rfind(b"\n") + 1] or data
    piece = _first_beyond_ascii(path, layout)
    return piece[piece.find(b"\n") + 1 : piece.rfind(b"\n") + 1] or piece


def _first_beyond_ascii(path: Path, layout: Layout) -> bytes:
    with opened(path, layout) as file:
        while file.tell() < _ASCII_SCAN and (piece := file.read(SAMPLE)):
            if not piece.isascii():
                return piece
    return b""


def _mostly_utf8(data: bytes) -> bool:
    """Whether lines beyond ASCII are UTF-8 more often than not: one damaged line is that line's own fault."""
    good = bad = 0
    for line in data.split(b"\n"):
        if line.isascii():
            continue
        try:
            line.decode("utf-8")
            good += 1
        except UnicodeDecodeError:
            bad += 1
    return good > bad or not bad


def _one_byte_or_east_asian(data: bytes) -> str:
    """Windows-1252 where most letters are ASCII, as in western Europe; else what the statistics say."""
    beyond = sum(byte > 127 for byte in data[: 1 << 16])
    letters = sum(byte < 128 and chr(byte).isalpha() for byte in data[: 1 << 16])
    if beyond <= 0.35 * letters:
        return "cp1252"
    best = charset_normalizer.from_bytes(data[: 1 << 16]).best()
    name = best.encoding if best else "cp1252"
    # Bytes are cut at line ends before they are decoded, which a wide or stateful encoding without a mark forbids.
    return "cp1252" if name.startswith(("utf", "ascii", "hz")) else name
