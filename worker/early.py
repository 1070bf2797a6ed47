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
from worker.recorder import Recorder


class Early:
    """The early answers of one microbatch, for the thread that bakes it.

    `seconds`: what its pipeline's load took, for their timing.
    """

    def __init__(self, rows: dict[str, Claimed], recorder: Recorder, identity: Identity, *, seconds: float) -> None:
        self._rows = rows
        self._recorder = recorder
        self._identity = identity
        self._load_seconds = seconds
        self._start = time.perf_counter()
        self._waiting: list[tuple[Claimed, Any | InputError]] = []
        #: Ids of rows whose answer was handed to the recorder.
        self.recorded: set[str] = set()

    def done(self, job_id: str, answer: Any | InputError) -> None:
        """A row is over. Raises what broke in the recorder."""
        self._waiting.append((self._rows[job_id], answer))
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
        left = [row for row in self._rows.values() if row.id not in self.recorded]
        return left, [answers[row.id] for row in left]
