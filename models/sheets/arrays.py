"""A JSON array of rows, an element at a time: however long the array is, one element of it is in memory.

The standard library's decoder finds where an element ends, which no streaming parser tells; so reading goes on
after a kill at that byte, and an error names the line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from contract.errors import ErrorCode
from models.sheets.jsonl import an_object, loader, with_columns
from models.sheets.layout import MAX_RECORD, FileError, Layout, Place, Record, Sample
from models.sheets.packed import opened

_BEGINS = re.compile(r'\s*\[(?=\s*(?:[{\]]|"(?:[^"\\]|\\.)*(?:"\s*[,\]]|\Z)))')
#: Of a file that is called JSON: whatever its rows are.
_BRACKET = re.compile(r"\s*\[")
_BEGINS_FOR_SURE = re.compile(r'\s*\[\s*\{\s*"')
_BLANKS = re.compile(r"[ \t\r\n]*")
_PIECE = 1 << 18
#: A piece of JSON that ends so near to the end of what was read may only be cut.
_NEAR = 16
#: Numbers stay text here: what a row holds is read once its end is known.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str, strict=False)


def fits(sample: Sample, *, hint: str | None) -> bool:
    begins = _BEGINS_FOR_SURE if hint in ("csv", "tsv") else _BRACKET if hint == "json" else _BEGINS
    return bool(begins.match(sample.text))


def sniff(sample: Sample, *, main_field: str) -> Layout:
    found = _BRACKET.match(sample.text)
    assert found is not None
    before = found.group()
    start = sample.start + len(before.encode(sample.encoding))
    layout = sample.layout("json", [], bare=main_field, start=start, line=1 + before.count(sample.newline))
    if next(records(sample.path, layout, Place()), None) is None:
        raise FileError(ErrorCode.NO_ROWS, "The array is empty.")
    return with_columns(layout, records(sample.path, layout, Place()))


def records(path: Path, layout: Layout, place: Place) -> Iterator[Record]:
    """Elements from `place` on. An array that is broken between two of them cannot be read further."""
    with opened(path, layout) as file:
        yield from _Elements(file, layout, place).records(place.row)


class _Elements:
    def __init__(self, file: BinaryIO, layout: Layout, place: Place) -> None:
        first = place.offset < layout.start
        self._layout = layout
        self._offset = layout.start if first else place.offset
        self._line = layout.line if first else place.line
        self._encoding = layout.encoding
        file.seek(self._offset)
        self._file, self._ended = file, False
        #: Bytes of a character that the last piece cut in two, text that was read, and how far it is used.
        self._cut, self._text, self._at = b"", "", 0

    def records(self, row: int) -> Iterator[Record]:
        bare, loads = self._layout.bare or "text", loader(self._layout)
        while self._goes_on(after_one=row > 0):
            line = self._line
            end = self._end_of_element()
            element = self._text[self._at : end]
            self._pass(end)
            values, flaw = an_object(element, bare, what="row", loads=loads)
            yield Record(row, line, values, flaw, self._offset, self._line)
            row += 1

    def _goes_on(self, *, after_one: bool) -> bool:
        """Step up to the next element; False behind the last."""
        sign = self._next_sign()
        if after_one and sign == ",":
            self._pass(self._at + 1)
            sign = self._next_sign()
        elif after_one and sign != "]":
            raise self._broken("there must be a comma or a closing bracket")
        if sign == "]":
            self._pass(self._at + 1)
            if self._next_sign():
                raise self._broken("something stands behind the end of the array")
            return False
        return True

    def _next_sign(self) -> str:
        """The next character that is no blank; empty at the end of the file."""
        while True:
            self._pass(self._blanks())
            if self._at < len(self._text) or not self._more(_PIECE):
                return self._text[self._at : self._at + 1]

    def _blanks(self) -> int:
        found = _BLANKS.match(self._text, self._at)
        return found.end() if found else self._at

    def _end_of_element(self) -> int:
        """Where the element that begins here ends; reads on until it is there whole."""
        piece = _PIECE
        while True:
            try:
                end = _DECODER.raw_decode(self._text, self._at)[1]
                # A number at the very end may have digits to come.
                if end < len(self._text) or not self._more(piece):
                    return end
            except json.JSONDecodeError as error:
                is_cut = error.msg.startswith("Unterminated") or error.pos + _NEAR >= len(self._text)
                if not is_cut:
                    raise self._broken("the row that begins here is not JSON") from error
                if not self._more(piece):
                    raise self._broken("the file breaks off in the row that begins here") from error
            except RecursionError as error:
                raise self._broken("the row that begins here has too many brackets in one another") from error
            # Doubled each time: to begin anew at every piece of a long row would take ages.
            piece *= 2

    def _more(self, size: int) -> bool:
        """Read on; False at the end of the file."""
        if self._ended:
            return False
        if len(self._text) - self._at > MAX_RECORD:
            raise self._broken(f"the row that begins here has more than {MAX_RECORD:,} characters")
        data = self._cut + self._file.read(size)
        self._ended = len(data) == len(self._cut)
        text, self._cut = _decoded(data, self._encoding, is_end=self._ended)
        if text is None:
            raise self._broken(f"there are bytes that are not {self._encoding.upper()}")
        self._text, self._at = self._text[self._at :] + text, 0
        return True

    def _pass(self, end: int) -> None:
        used = self._text[self._at : end]
        self._offset += len(used) if used.isascii() and self._is_narrow else len(self._encoded(used))
        self._line += used.count(self._layout.newline)
        self._at = end

    @property
    def _is_narrow(self) -> bool:
        return not self._encoding.startswith(("utf-16", "utf-32"))

    def _encoded(self, text: str) -> bytes:
        return text.encode(self._encoding)

    def _broken(self, what: str) -> FileError:
        return FileError(ErrorCode.UNREADABLE_FILE, f"Line {self._line:,}: {what}.", line=self._line)


def _decoded(data: bytes, encoding: str, *, is_end: bool) -> tuple[str | None, bytes]:
    """`(text, bytes of a character whose rest is to come)`; None for what cannot be decoded."""
    try:
        return data.decode(encoding), b""
    except UnicodeDecodeError as error:
        if is_end or error.start < len(data) - 4:
            return None, b""
        return data[: error.start].decode(encoding), data[error.start :]
