"""Tasting: how far a quantized pipeline is from float32, looked at again once people have sent something.

At its load a pipeline may know nothing but its task's example. So when twenty rows have been baked, and again at ten
times as many as the last time, its float32 twin is loaded for a moment, both answer what was sent last, and the
figures on the page are theirs. It is done in steps while nobody calls, and where the twin fits beside what is warm: a
call that comes meanwhile waits for one step at most, a load or a few rows, and a load for somebody else ends it.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Generator, Iterator
from typing import Any

import sqlalchemy as sa

from contract.errors import InputError
from contract.logs import get_logger
from models.database import transaction
from models.pipelines import note_fidelity
from worker.backends.backend import DeviceLost, Inputs, LoadedPipeline
from worker.backends.fidelity import compare
from worker.hand import Hand
from worker.ledger import Ledger
from worker.shelf import Shelf

log = get_logger(__name__)

#: Rows after which a pipeline that knows its example alone is tasted, and how many times as many the next time.
_FIRST, _TIMES = 20, 10
#: Inputs that are asked for, of which a pipeline takes as many as it answers in a moment; and those of one step.
_INPUTS, _STEP, _STEP_OF_WRITING = 100, 16, 1
#: How long an oven has baked nothing before it begins.
_IDLE_SECONDS = 5.0


@dataclasses.dataclass
class _Due:
    pipeline: LoadedPipeline
    #: Rows of its pipeline that had been baked when it was looked at last.
    since: int
    #: Rows after which it is looked at again.
    after: int


class Taster:
    """`seconds`: a step that takes longer is a child that hangs. `idle`: seconds without rows before it begins."""

    def __init__(
        self, engine: sa.Engine, shelf: Shelf, ledger: Ledger, hand: Hand, *, seconds: float,
        idle: float = _IDLE_SECONDS,
    ) -> None:  # fmt: skip
        self._engine = engine
        self._shelf = shelf
        self._ledger = ledger
        self._hand = hand
        self._seconds = seconds
        self._idle = idle
        self._due: dict[str, _Due] = {}
        self._rows: dict[str, int] = {}
        self._since = time.monotonic()
        self._steps: Generator[None, None, None] | None = None

    def look(self) -> None:
        """Take the next step of a comparison, or begin one that is due. Called while nobody calls."""
        if self._steps is None:
            name = self._wanted()
            if name is None:
                return
            self._steps = self._compared(name)
        try:
            if next(self._steps, self) is self:
                self._steps = None
        except DeviceLost:
            raise
        except Exception:
            # Figures on a page are no reason to stop, and the next time is far away.
            log.exception("A pipeline could not be compared with float32.")
            self._steps = None

    def drop(self) -> None:
        """Give back what a comparison under way holds: somebody needs the room."""
        if self._steps is not None:
            steps, self._steps = self._steps, None
            steps.close()

    def _wanted(self) -> str | None:
        """The quantized pipeline that enough rows were baked with since it was compared, while all are at rest."""
        held = {name: one for name, one in self._shelf.held().items() if one.fidelity is not None}
        if not held:
            return None
        rows, now = self._ledger.rows(), time.monotonic()
        for name, pipeline in held.items():
            if name not in self._due or self._due[name].pipeline is not pipeline:
                # What was baked since the last look was baked by this one, or nearly all of it.
                self._due[name] = _Due(pipeline, self._rows.get(name, 0), _rows_after_load(pipeline))
        if rows != self._rows:
            self._rows, self._since = rows, now
        if now - self._since < self._idle:
            return None
        return next(
            (name for name in held if rows.get(name, 0) >= self._due[name].since + self._due[name].after), None
        )

    def _compared(self, name: str) -> Generator[None, None, None]:
        due = self._due[name]
        due.since, due.after = self._ledger.rows().get(name, 0), due.after * _TIMES
        self._hand.take(os.getpid(), name, (), seconds=self._seconds)
        exact = due.pipeline.exact(room=self._shelf.free())
        if exact is None:
            log.info("There is no room to compare a pipeline with float32.", pipeline=name)
            return
        try:
            yield
            inputs = self._shelf.recent(name, _INPUTS)
            answers: list[tuple[Any, Any]] = []
            for some in _portions(inputs, due.pipeline):
                self._hand.take(os.getpid(), name, (), seconds=self._seconds)
                answers += zip(exact.compared(some), due.pipeline.compared(some), strict=True)
                yield
        finally:
            exact.close()
        self._note(name, answers)

    def _note(self, name: str, answers: list[tuple[Any, Any]]) -> None:
        good = [pair for pair in answers if not any(isinstance(one, InputError) for one in pair)]
        if len(good) < 2 or name not in self._shelf.held():
            return
        fidelity = compare([a for a, _ in good], [b for _, b in good], recent=True)
        transaction(self._engine, lambda conn: note_fidelity(conn, name, fidelity))
        log.info("A pipeline was compared with float32 again.", pipeline=name, inputs=len(good))


def _rows_after_load(pipeline: LoadedPipeline) -> int:
    """Soon where nothing but an example was to be had; else when there is much more than was compared."""
    found = pipeline.fidelity or {}
    return max(_FIRST, _TIMES * found["inputs"]) if found.get("recent") else _FIRST


def _portions(inputs: list[Inputs], pipeline: LoadedPipeline) -> Iterator[list[Inputs]]:
    inputs = inputs[: pipeline.to_compare]
    # What writes has no example to be measured on, and takes a second for a row.
    step = _STEP if pipeline.example is not None else _STEP_OF_WRITING
    return (inputs[start : start + step] for start in range(0, len(inputs), step))
