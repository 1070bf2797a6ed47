"""Lines of a file with the exact byte behind each, whatever its encoding; no line is ever held beyond a limit.

The position is what a batch's cursor keeps, so that reading goes on after a kill where it stopped. A decoder
over the whole stream would read ahead and lose it; so bytes are cut at line ends first and decoded after.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from models.sheets.layout import MAX_RECORD, Layout, Place, Record
from models.sheets.packed import opened

_PIECE = 1 << 18


class Lines:
    """An iterator of decoded lines that keep their line ends."""

    def __init__(self, file: BinaryIO, layout: Layout, place: Place) -> None:
        first = place.offset < layout.start
        self.offset = layout.start if first else place.offset
        #: The number of the line that comes next.
        self.line = layout.line if first else place.line
        #: What is wrong with a line given since this was last cleared.
        self.flaw: str | None = None
        self.ended = False
        self._encoding = layout.encoding
        file.seek(self.offset)
        self._raw = _raw_lines(file, layout.newline.encode(layout.encoding))

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> str:
        try:
            raw, size = next(self._raw)
        except StopIteration:
            self.ended = True
            raise
        number, self.line, self.offset = self.line, self.line + 1, self.offset + size
        if size > len(raw):
            self.flaw = f"Line {number:,} is longer than {MAX_RECORD:,} bytes."
            # What came of it may end inside a quoted cell, which would swallow the lines that follow.
            return "\n"
        try:
            text = raw.decode(self._encoding)
        except UnicodeDecodeError:
            self.flaw = f"Line {number:,} holds bytes that are not {self._encoding.upper()}."
            return raw.decode(self._encoding, "replace")
        if "\0" in text:
            self.flaw = f"Line {number:,} holds a NUL character."
        return text


def rows_by_line(
    path: Path,
    layout: Layout,
    place: Place,
    read: Callable[[str], tuple[Any, str | None]],
    *,
    flawed: Callable[[str], Any],
) -> Iterator[Record]:
    """A data row for each line from `place` on that is not blank.

    `read` gives the values of a line and what is wrong with them; `flawed` the values of one that cannot be read.
    """
    row = place.row
    with opened(path, layout) as file:
        lines = Lines(file, layout, place)
        line = lines.line
        for text in lines:
            flaw, lines.flaw = lines.flaw, None
            if flaw is not None or text.strip():
                values, flaw = (flawed(text), flaw) if flaw is not None else read(text)
                yield Record(row, line, values, flaw, lines.offset, lines.line)
                row += 1
            line = lines.line


def _raw_lines(file: BinaryIO, newline: bytes) -> Iterator[tuple[bytes, int]]:
    """`(bytes, how many the line has)`; fewer bytes than that where the line is too long to hold."""
    return _by_readline(file) if newline == b"\n" else _by_search(file, newline)


def _by_readline(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    while raw := file.readline(MAX_RECORD):
        size = len(raw)
        if size == MAX_RECORD and not raw.endswith(b"\n"):
            while more := file.readline(_PIECE):
                size += len(more)
                if more.endswith(b"\n"):
                    break
        yield raw, size


def _by_search(file: BinaryIO, newline: bytes) -> Iterator[tuple[bytes, int]]:
    """UTF-16, UTF-32, and files whose lines end with a carriage return alone."""
    buffer, dropped, searched = b"", 0, 0
    while piece := file.read(_PIECE):
        buffer += piece
        begin = 0
        while (at := _find(buffer, newline, max(begin, searched))) >= 0:
            end = at + len(newline)
            yield buffer[begin:end], dropped + end - begin
            begin, dropped, searched = end, 0, end
        buffer = buffer[begin:]
        # Not to search the same bytes again; a newline may lie across two pieces.
        searched = max(0, len(buffer) - len(newline) * 2) // len(newline) * len(newline)
        if len(buffer) >= MAX_RECORD:
            # A multiple of every width, so that the rest stays aligned.
            cut = len(buffer) // 4 * 4
            dropped, buffer, searched = dropped + cut, buffer[cut:], 0
    if buffer or dropped:
        yield buffer, dropped + len(buffer)


def _find(buffer: bytes, newline: bytes, begin: int) -> int:
    """The next newline that lies on a whole code unit: the bytes 0A 00 also end U+0A00."""
    at = buffer.find(newline, begin)
    while at >= 0 and at % len(newline):
        at = buffer.find(newline, at + 1)
    return at
