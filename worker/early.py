"""Answers that are there before their microbatch is over: a short text need not wait for a long one beside it.

They are recorded while the rest is written, several in one transaction when the recorder is busy.
"""

from __future__ import annotations

import time
from typing import Any

from contract.errors import InputError
from models.claims import Claimed
from models.records import Timing
from worker.backends.backend import Identity
from worker.loaves import is_for_all
from worker.recorder import Recorder
from worker.trays import Tray


class Early:
    """The early answers of one microbatch, for the thread that bakes it.

    `seconds`: what its pipeline's load took, for their timing.
    """

    def __init__(self, tray: Tray, recorder: Recorder, identity: Identity, *, seconds: float) -> None:
        self._tray = tray
        self._recorder = recorder
        self._identity = identity
        self._load_seconds = seconds
        self._start = time.perf_counter()
        self._waiting: list[tuple[Claimed, Any | InputError]] = []
        #: Ids of rows whose answer was handed to the recorder.
        self.recorded: set[str] = set()

    def done(self, job_id: str, answer: Any | InputError) -> None:
        """A row is over. Raises what broke in the recorder."""
        rows = self._tray.asking([job_id])
        self._waiting += [(row, answer) for row in (rows if is_for_all(answer) else rows[:1])]
        if not self._recorder.is_free():
            return
        rows, answers = [row for row, _ in self._waiting], [answer for _, answer in self._waiting]
        self._waiting.clear()
        self._recorder.record_later(rows, answers, self._identity, self.timing())
        self.recorded.update(row.id for row in rows)

    def timing(self) -> Timing:
        return Timing(load=round(self._load_seconds, 4), inference=round(time.perf_counter() - self._start, 4))

    def rest(self, answers: dict[str, Any | InputError]) -> tuple[list[Claimed], list[Any | InputError]]:
        """Of a whole microbatch's answers those that are still to be recorded."""
        left = [row for row in self._tray.rows if row.id not in self.recorded]
        return left, [answers[row.id] for row in left]
