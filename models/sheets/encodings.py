"""Which encoding a file is in. A mark decides; then UTF-8 where it fits; then what people's programs export."""

from __future__ import annotations

import codecs
from pathlib import Path

import charset_normalizer

from contract.errors import ErrorCode
from models.sheets.layout import FileError, Sample

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
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"%PDF", "a PDF"),
    (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"),
)
_CONTROLS = bytes(set(range(32)) - {9, 10, 12, 13})
UNREADABLE = "This is not a text file: CSV and JSONL can be read."


def take_sample(path: Path) -> Sample:
    """The beginning of a file as text, and how the rest is to be decoded. Raises FileError for what is no text."""
    with path.open("rb") as file:
        data = file.read(SAMPLE)
        whole = not file.peek(1)
    _refuse_other_formats(data)
    encoding, start = _marked(data)
    if not encoding:
        encoding = _guess(data, path, whole=whole)
    body = data[start:]
    text = codecs.getincrementaldecoder(encoding)("replace").decode(body, whole)
    if not text.strip("\ufeff \t\r\n\f\v\0"):
        raise FileError(ErrorCode.EMPTY_FILE, "The file is empty.")
    if len(text.translate(_NO_CONTROLS)) < 0.7 * len(text):
        raise FileError(ErrorCode.UNREADABLE_FILE, UNREADABLE)
    newline = "\r" if "\n" not in text and "\r" in text else "\n"
    return Sample(path, text, encoding, newline, start, whole)


_NO_CONTROLS = dict.fromkeys(_CONTROLS)


def _refuse_other_formats(data: bytes) -> None:
    for mark, what in _OTHER_FORMATS:
        if data.startswith(mark):
            raise FileError(
                ErrorCode.UNKNOWN_FORMAT, f"This is {what}. This version reads CSV and JSONL: save it as one of them."
            )


def _marked(data: bytes) -> tuple[str, int]:
    return next(((name, len(mark)) for mark, name in _MARKS if data.startswith(mark)), ("", 0))


def _guess(data: bytes, path: Path, *, whole: bool) -> str:
    telling = data if whole or not data.isascii() else _first_beyond_ascii(path)
    if _mostly_utf8(telling):
        return "utf-8"
    controls = len(telling) - len(telling.translate(None, _CONTROLS))
    if controls > 0.02 * len(telling):
        # Random bytes hold 10%, texts in any one-byte encoding next to none.
        raise FileError(ErrorCode.UNREADABLE_FILE, UNREADABLE)
    return _one_byte_or_east_asian(telling)


def _first_beyond_ascii(path: Path) -> bytes:
    with path.open("rb") as file:
        while file.tell() < _ASCII_SCAN and (piece := file.read(SAMPLE)):
            if not piece.isascii():
                return piece
    return b""


def _mostly_utf8(data: bytes) -> bool:
    """Whether lines beyond ASCII are UTF-8 more often than not: one damaged line is that line's own fault."""
    good = bad = 0
    # The first and last lines may be cut inside a character.
    lines = data.split(b"\n")
    for line in lines[1:-1] if len(lines) > 3 else lines:
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
