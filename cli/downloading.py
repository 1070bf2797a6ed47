"""Results come down however often the line breaks: rows go on where they were, other files begin again.

CSV and JSONL are asked for with each row's number, which is taken off again before anything is written: where rows
are left out (`--status`, a batch that runs) nothing else tells from which one to go on.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import IO, Any

import click
import httpx

from cli.api import Api
from cli.exits import Broken, Unreachable
from cli.outfile import format_of, may_begin_again, open_out
from cli.records import NumberedCsv, NumberedRows, numbered_jsonl
from cli.stack.backoff import Backoff

#: Tries in a row that bring no further row before a download is given up: about two minutes of them.
TRIES_WITHOUT_ROWS = 8
#: How often a file is begun again that cannot be gone on with.
TRIES_ANEW = 5


def download(api: Api, path: str, out: IO[bytes], **params: Any) -> None:
    """Stream results into `out`; what happens to the line is said on stderr."""
    coming, backoff = _Coming(out), Backoff()
    while True:
        begun_at = coming.from_row
        try:
            with api.stream(path, **params, numbered="true", from_row=coming.from_row or None) as answer:
                coming.take(answer)
        except Unreachable as error:
            coming.is_under_way |= isinstance(error, Broken)
            backoff = Backoff() if coming.from_row > begun_at else backoff
            _wait(error, coming, backoff)
        else:
            return


def fetch(api: Api, batch: dict[str, Any], out: str) -> None:
    """The results of a batch as the file `out`, in the format that its name says."""
    with open_out(out) as file:
        download(api, f"/batches/{batch['id']}/results", file, format=format_of(out))
    click.echo(f"Wrote {out} ({Path(out).stat().st_size:,} bytes).", err=True)


def _wait(error: Unreachable, coming: _Coming, backoff: Backoff) -> None:
    """Until the next try; raises Unreachable where there is to be none."""
    if backoff.failures >= coming.tries:
        tried = f" The download was given up after {backoff.failures + 1} tries." if backoff.failures else ""
        raise Unreachable(error.message + tried) from error
    pause = backoff.died(lived=0.0)
    click.echo(f"{error.message} {coming.what_next()} in {pause:.0f} s.", err=True)
    time.sleep(pause)


class _Coming:
    """A download as far as it is."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        #: Of the last answer; None: a file that is no use in parts.
        self._rows: NumberedRows | None = None
        #: Whether there is a server that takes the request: only such a one is waited for.
        self.is_under_way = False
        self._bytes = 0
        #: The first row that is not there yet.
        self.from_row = 0

    @property
    def tries(self) -> int:
        """How often a line that brings nothing more is tried again."""
        if self._rows is not None:
            return TRIES_WITHOUT_ROWS
        # What was printed cannot be taken back.
        return TRIES_ANEW if self.is_under_way and (may_begin_again(self._out) or not self._bytes) else 0

    def what_next(self) -> str:
        return "The download begins again" if self._rows is None else f"It goes on with row {self.from_row:,}"

    def take(self, answer: httpx.Response) -> None:
        """Write what an answer brings on top of what is there, or in its place."""
        self.is_under_way = True
        self._rows = _rows_of(answer, is_first=not self._bytes, headed=not self.from_row)
        if self._rows is None and self._bytes:
            self._out.seek(0)
            self._out.truncate()
            self._bytes = 0
        for piece in answer.iter_bytes():
            self._bytes += self._out.write(piece if self._rows is None else self._fed(self._rows, piece))
        if self._rows is not None and not self._rows.is_between:
            # A proxy may end an answer in the middle as if that were its end.
            raise Broken("The download ended within a row.")

    def _fed(self, rows: NumberedRows, piece: bytes) -> bytes:
        try:
            whole = rows.feed(piece)
        except ValueError as error:
            raise Unreachable("The rows that come are not as Fournil sends them.") from error
        self.from_row = self.from_row if rows.last is None else rows.last + 1
        return whole


def _rows_of(answer: httpx.Response, *, is_first: bool, headed: bool) -> NumberedRows | None:
    kind = answer.headers.get("Content-Type", "").partition(";")[0]
    if kind == "text/csv":
        return NumberedCsv(headed=headed, header="kept" if is_first else "dropped")
    return numbered_jsonl() if kind == "application/x-ndjson" else None
