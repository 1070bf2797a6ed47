"""Rows of CSV and JSONL as they come over the line: told apart, and each relieved of the number it was sent with."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Literal

_JSON_NUMBER = re.compile(rb'\{"[^"]*": ?(\d+)(?:, ?)?')


class Records:
    """Records out of pieces of a file; what is not a whole record yet waits for the next piece."""

    def __init__(self, *, end: bytes, quote: bytes | None) -> None:
        """`quote`: between two of these an `end` is part of a text."""
        self._end, self._quote = end, quote
        self._held = b""
        self._lines: list[bytes] = []
        self._is_open = False

    @property
    def is_between(self) -> bool:
        """Whether no record has begun and not ended."""
        return not (self._held or self._lines)

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Records that end with this piece, without their line's end."""
        *lines, self._held = (self._held + piece).split(self._end)
        for line in lines:
            self._lines.append(line)
            # A quote within a text is doubled, so an odd number of them opens a text or closes it.
            if self._quote is not None and line.count(self._quote) % 2:
                self._is_open = not self._is_open
            if not self._is_open:
                yield self._end.join(self._lines)
                self._lines.clear()


class NumberedRows:
    """What comes of a numbered download: bytes as the same download without numbers has them, and how far it is."""

    def __init__(self, records: Records, end: bytes, unnumbered: Callable[[bytes], tuple[int, bytes]]) -> None:
        self._records, self._end, self._unnumbered = records, end, unnumbered
        #: The number of the last row that is there as a whole.
        self.last: int | None = None

    @property
    def is_between(self) -> bool:
        return self._records.is_between

    def feed(self, piece: bytes) -> bytes:
        """Raises ValueError where there is a row without a number."""
        return b"".join(map(self._shown, self._records.feed(piece)))

    def _shown(self, record: bytes) -> bytes:
        self.last, rest = self._unnumbered(record)
        return rest + self._end


class NumberedCsv(NumberedRows):
    """A CSV, whose first record is its header where it is `headed`; `header` is what is to become of that."""

    def __init__(self, *, headed: bool, header: Literal["kept", "dropped"]) -> None:
        super().__init__(Records(end=b"\r\n", quote=b'"'), b"\r\n", _of_csv)
        self._is_header, self._header = headed, header

    def _shown(self, record: bytes) -> bytes:
        if not self._is_header:
            return super()._shown(record)
        self._is_header = False
        return _behind_comma(record)[1] + self._end if self._header == "kept" else b""


def numbered_jsonl() -> NumberedRows:
    return NumberedRows(Records(end=b"\n", quote=None), b"\n", _of_json)


def _of_csv(record: bytes) -> tuple[int, bytes]:
    number, rest = _behind_comma(record)
    return int(number), rest


def _behind_comma(record: bytes) -> tuple[bytes, bytes]:
    number, comma, rest = record.partition(b",")
    # A row of one empty cell alone is written in quotes: without them it would be no row.
    return number, rest or (b'""' if comma else b"")


def _of_json(record: bytes) -> tuple[int, bytes]:
    found = _JSON_NUMBER.match(record)
    if found is None:
        raise ValueError("a row of a numbered download has no number")
    return int(found[1]), b"{" + record[found.end() :]
