"""What a child has in hand, on a note that outlives it.

A process that is killed can say nothing, and only the rows of the microbatch in hand are suspects. The child
writes their ids down before each forward pass; its main process reads them when it finds the child dead. The note
is for a dead process, not a dead host, so it is never synced to the disk.
"""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from contract.jsons import dumps, loads

#: Where the thread that claims rows prepares them and loads pipelines; decks are other places.
TABLE = "table"


@dataclasses.dataclass(frozen=True)
class Note:
    pid: int
    pipeline: str | None = None
    rows: tuple[str, ...] = ()
    #: Unix time since when, and until when at most, the child works on it without a word; None: idle.
    since: float | None = None
    deadline: float | None = None
    #: Padded tokens of the largest microbatch in hand.
    tokens: int = 0


class Hand:
    """The note of one slot, and the flag that asks its child to put everything down."""

    def __init__(self, folder: Path, slot: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = slot.replace("/", "_")
        self._note = folder / f"{name}.hand"
        self._stop = folder / f"{name}.stop"
        self._killed = folder / f"{name}.killed"
        # Rows are prepared and baked in several threads at once; any of them may bring the process down.
        self._lock = threading.Lock()
        self._holds: dict[str, Note] = {}
        self._pid = 0
        self._file: int | None = None

    def take(
        self, pid: int, pipeline: str, rows: Sequence[str], *, seconds: float, place: str = TABLE, tokens: int = 0
    ) -> None:
        """About to work on `rows` (none: to load `pipeline`) at a place of their own, for `seconds` at most.

        `tokens`: of the forward pass that is about to begin.
        """
        now = time.time()
        with self._lock:
            self._pid = pid
            self._holds[place] = Note(pid, pipeline, tuple(rows), now, now + seconds, tokens)
            self._write()

    def leave(self, place: str = TABLE) -> None:
        """What was taken at this place is done."""
        with self._lock:
            if self._holds.pop(place, None) is not None:
                self._write()

    def put_down(self, pid: int) -> None:
        """Nothing is in hand anywhere."""
        with self._lock:
            self._pid = pid
            self._holds.clear()
            self._write()

    def read(self) -> Note | None:
        try:
            length, _, text = self._note.read_bytes().partition(b"\n")
            values = loads(text[: int(length)])
        except (FileNotFoundError, ValueError):
            return None
        return Note(**{**values, "rows": tuple(values["rows"])})

    def forget(self, pid: int | None = None) -> None:
        """Wipe the note; with `pid`, only one that this process wrote, and not its successor's."""
        note = self.read()
        if note is not None and pid in (None, note.pid):
            # Emptied and not removed: a child that lives keeps writing to the file that it opened.
            os.truncate(self._note, 0)

    def note_killed(self, note: Note) -> None:
        """The kernel killed the child for want of memory, with this in hand: its successor is to know."""
        self._killed.write_text(dumps({"pipeline": note.pipeline, "tokens": note.tokens}))

    def killed_with(self, pipeline: str) -> int:
        """Padded tokens with which a child was killed for want of memory, told once; 0: none was."""
        try:
            found = loads(self._killed.read_bytes())
        except (FileNotFoundError, ValueError):
            return 0
        if found["pipeline"] != pipeline:
            return 0
        self._killed.unlink(missing_ok=True)
        return int(found["tokens"])

    def ask_to_stop(self) -> None:
        self._stop.touch()

    def go_on(self) -> None:
        self._stop.unlink(missing_ok=True)

    def should_stop(self) -> bool:
        return self._stop.exists()

    def _write(self) -> None:
        # One write over the old note, and its length first, because what is left of a longer one follows. Writing
        # beside it and renaming costs 20 times as much: the file system writes a renamed file to the disk. The file
        # stays open, for whatever waits for the system here also waits for Python's lock, beside decks that hold it.
        if self._file is None:
            self._file = os.open(self._note, os.O_WRONLY | os.O_CREAT, 0o600)
        text = dumps(_joined(self._pid, list(self._holds.values()))).encode()
        os.pwrite(self._file, b"%d\n%b" % (len(text), text), 0)


def _joined(pid: int, holds: Sequence[Note]) -> Note:
    """One note for every place. The first deadline counts: one place that hangs is a child that hangs."""
    if not holds:
        return Note(pid)
    return Note(
        pid,
        holds[0].pipeline,
        tuple(row for hold in holds for row in hold.rows),
        min(hold.since for hold in holds if hold.since is not None),
        min(hold.deadline for hold in holds if hold.deadline is not None),
        max(hold.tokens for hold in holds),
    )
