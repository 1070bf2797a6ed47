"""Datasets that are being read, kept open from slice to slice: a new reader has to find its place in them again."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path

from models.batches import Batch
from models.hub.dataset import Dataset, Reach
from models.hub.stream import Stream
from models.sheets.layout import Place, Record

#: Each is a process of some 200 MB.
_MOST = 4


@dataclasses.dataclass
class Tap:
    """One batch's stream, and how far the batch was when it was last used."""

    batch_id: str
    version: int
    stream: Stream
    #: Rows that come next; begun once, for part of them may have been taken from the stream already.
    records: Iterator[Record]


class Taps:
    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._kept: list[Tap] = []

    def open(self, batch: Batch, dataset: Dataset, file: Path, *, limit: int, files: Iterable[str] = ()) -> Tap:
        """The stream that stands where the batch does; a new one where another reader moved the batch on.

        `files`: kinds of files whose columns are read.
        """
        found = next((tap for tap in self._kept if tap.batch_id == batch.id), None)
        if found is not None:
            self._kept.remove(found)
            if found.version == batch.cursor_version:
                return found
            found.stream.close()
        cursor = batch.cursor
        place = Place(cursor.offset, cursor.line, cursor.row)
        stream = Stream(self._reach, dataset, place=place, mark=cursor.mark, files=files)
        return Tap(batch.id, batch.cursor_version, stream, stream.records(file, limit=limit))

    def keep(self, tap: Tap, *, version: int) -> None:
        tap.version = version
        self._kept.append(tap)
        while len(self._kept) > _MOST:
            self._kept.pop(0).stream.close()
