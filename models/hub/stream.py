"""The rows of a dataset as they come from the process that reads it, written to the batch's own file on the way.

The same dataset gives the same bytes at the same place: two readers of a batch, of which one will lose it, may write
the file at once, and one that begins again writes what is there already.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson

from contract.errors import ErrorCode
from models.hub.dataset import About, Dataset, Reach
from models.sheets.jsonl import an_object
from models.sheets.layout import FileError, Layout, Place, Record

_PIECE = 1 << 18
#: Nothing heard for so long: the Hub, or the way to it, hangs.
SILENCE = 120.0


class DatasetAway(OSError):
    """It cannot be read now, and may be later."""


def layout_of(about: About, *, main_field: str, limit: int) -> Layout:
    """How the file of its rows is laid out."""
    return Layout(
        "jsonl",
        "utf-8",
        about.columns,
        bare=main_field,
        rows=about.rows,
        limit=limit,
        dataset=about.dataset.as_dict(),
    )


class Stream:
    """A dataset from one row on. To be closed: a process stands behind it."""

    def __init__(
        self, reach: Reach, dataset: Dataset, *, place: Place | None = None, mark: dict[str, Any] | None = None,
        silence: float = SILENCE, files: Iterable[str] = (),
    ) -> None:  # fmt: skip
        """`mark`: what `mark` was when the row at `place` was given; None begins at the first.

        `files`: kinds of files whose columns are read, as base64.
        """
        self._place = place or Place()
        self._silence = silence
        #: Where a new reader may begin so as to come by the row given last.
        self.mark = mark or {"row": 0, "state": None}
        self._pipe = _Pipe(_begun(reach, dataset, self.mark, self._place.row, sorted(set(files))), silence)
        try:
            self.about = About.from_dict(self._pipe.entry()["about"])
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._pipe.close()

    def records(self, file: Path | None = None, *, limit: int | None = None) -> Iterator[Record]:
        """The rows, each written to `file` before it is given; the end of it is where the next is written."""
        offset, row = self._place.offset, self._place.row
        while "end" not in (entry := self._pipe.entry()):
            data = self._pipe.bytes(entry["bytes"])
            if limit is not None and offset + len(data) > limit:
                message = f"The dataset has more than {limit:,} bytes, the most this server takes."
                raise FileError(ErrorCode.TOO_LARGE, message, field="dataset")
            if file is not None:
                _write(file, offset, data)
            self.mark = entry["state"]
            for line in data.splitlines(keepends=True):
                values, flaw = an_object(line.decode(), "text", what="row")
                offset += len(line)
                yield Record(row, row + 1, values, flaw, offset, row + 2)
                row += 1


def _write(file: Path, offset: int, data: bytes) -> None:
    with file.open("r+b") as out:
        out.seek(offset)
        out.write(data)
        out.flush()
        # Before the commit that says these rows are there.
        os.fsync(out.fileno())


def _begun(
    reach: Reach, dataset: Dataset, mark: dict[str, Any], row: int, files: list[str]
) -> subprocess.Popen[bytes]:
    folder = reach.folder_of(dataset.name)
    if find_spec("datasets") is None:
        message = "This server reads no datasets: its operator would have to install fournil[datasets]."
        raise FileError(ErrorCode.INVALID_VALUE, message, field="dataset")
    if folder is None and not reach.hub:
        message = "This server fetches no datasets from the Hub, and has none with this name."
        raise FileError(ErrorCode.INVALID_VALUE, message, field="dataset.name")
    asked = {
        "dataset": dataset.as_dict(), "folder": None if folder is None else str(folder), "token": reach.token,
        "state": mark["state"], "row": mark["row"], "skip": row - mark["row"],
        "files": files,
    }  # fmt: skip
    reach.cache.mkdir(parents=True, exist_ok=True)
    # -P: what lies in the folder it runs in is not imported.
    command = [sys.executable, "-P", "-m", "models.hub.program"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_environment(reach),
        cwd=reach.cache, start_new_session=True,
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(json.dumps(asked).encode() + b"\n")
    process.stdin.flush()
    return process


def _environment(reach: Reach) -> dict[str, str]:
    root = str(Path(__file__).resolve().parents[2])
    found = reach.environment()
    return {**found, "PYTHONPATH": os.pathsep.join(filter(None, [root, found.get("PYTHONPATH")]))}


class _Pipe:
    """What a process writes: entries of JSON a line, and bytes between them."""

    def __init__(self, process: subprocess.Popen[bytes], silence: float) -> None:
        self._process, self._silence = process, silence
        self._held = bytearray()

    def entry(self) -> dict[str, Any]:
        """The next entry; what is wrong is raised."""
        while (end := self._held.find(b"\n")) < 0:
            self._more()
        found: dict[str, Any] = orjson.loads(bytes(self._held[:end]))
        del self._held[: end + 1]
        if "error" in found:
            error = found["error"]
            raise FileError(ErrorCode(error["code"]), error["message"], field=error["field"])
        if "away" in found:
            raise DatasetAway(found["away"])
        return found

    def bytes(self, count: int) -> bytes:
        while len(self._held) < count:
            self._more()
        found = bytes(self._held[:count])
        del self._held[:count]
        return found

    def _more(self) -> None:
        out = self._process.stdout
        assert out is not None
        # Not select(), which knows no descriptor past 1023.
        poll = select.poll()
        poll.register(out, select.POLLIN)
        if not poll.poll(self._silence * 1000):
            raise DatasetAway("The dataset did not come in time.")
        piece = os.read(out.fileno(), _PIECE)
        if not piece:
            raise DatasetAway("The process that read the dataset died.")
        self._held += piece

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for end in (self._process.stdin, self._process.stdout):
            if end is not None:
                end.close()
