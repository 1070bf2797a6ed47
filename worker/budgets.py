"""The budgets of one slot, kept in the data directory: what was measured once need not be measured at every start.

One small file for each (device, threads, task, commit, dtype, backend). A damaged file is measured anew.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from contract.jsons import dumps, loads
from contract.logs import get_logger
from worker.backends.backend import Context, LoadedPipeline, OutOfMemory
from worker.budget import MOST, Budget
from worker.planner import Limits

log = get_logger(__name__)

_SAVE_SECONDS = 30.0


class Budgets:
    """`place`: the device, its threads and `decks`. `fixed`: padded tokens as the operator says, 0 to measure."""

    def __init__(self, folder: Path, *, place: str, fixed: int, decks: int = 1) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._place = place
        self._fixed = fixed
        self._decks = decks
        self._open: dict[str, tuple[Budget, dict[str, str]]] = {}
        self._saved: dict[str, float] = {}
        #: Tokens that there was memory for when a plan was made last; None: never mind.
        self._most: dict[str, int | None] = {}

    def open(self, pipeline: str, task: str, model: LoadedPipeline, *, room: int | None = None) -> None:
        """Find the budget of a pipeline that was just loaded: in its file, or by rehearsing.

        `room`: bytes that a rehearsal may take; None: never mind.
        """
        identity = model.identity
        key = {
            "place": self._place, "task": task, "commit": identity.commit, "dtype": identity.dtype,
            "backend": identity.backend,
        }  # fmt: skip
        kept = self._read(key)
        measured = model.example is not None
        budget = dataclasses.replace(kept or Budget(), fixed=self._fixed, usual=model.usual_budget, measured=measured)
        self._open[pipeline] = (budget, key)
        if kept is None and not self._fixed and measured:
            decks = self._decks if model.side_by_side else 1
            _rehearse(budget, model, decks, most=None if room is None else most_tokens(model, room, decks=decks))
            self._write(pipeline)
            log.info("A budget was measured.", pipeline=pipeline, tokens=budget.tokens, overhead=budget.overhead)

    def limits(self, pipeline: str, *, most: int | None, decks: int, padding: float) -> Limits:
        """What a microbatch of the next plan may be; `most`: tokens that there is memory for, None: never mind."""
        budget = self.of(pipeline)
        self._most[pipeline] = most
        tokens = budget.for_next_plan()
        return Limits(tokens if most is None else min(tokens, most), budget.overhead, decks=decks, padding=padding)

    def tokens(self, pipeline: str) -> int:
        """Most padded tokens of a microbatch now: what was found best, or less where memory is short."""
        tokens, most = self.of(pipeline).tokens, self._most.get(pipeline)
        return tokens if most is None else min(tokens, most)

    def of(self, pipeline: str) -> Budget:
        return self._open[pipeline][0] if pipeline in self._open else Budget(fixed=self._fixed)

    def took(self, pipeline: str, *, padded_tokens: int, seconds: float) -> None:
        """A microbatch of so many padded tokens took so long."""
        self.of(pipeline).took(padded_tokens, seconds)
        if time.monotonic() - self._saved.get(pipeline, 0.0) > _SAVE_SECONDS:
            self._write(pipeline)

    def ran_out(self, pipeline: str, *, padded_tokens: int) -> None:
        """A microbatch did not fit; remembered beyond this process."""
        self.of(pipeline).ran_out(padded_tokens)
        self._write(pipeline)

    def _read(self, key: dict[str, str]) -> Budget | None:
        try:
            kept = loads(self._file(key).read_bytes())
            return Budget.from_dict(kept)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def _write(self, pipeline: str) -> None:
        if pipeline not in self._open:
            return
        budget, key = self._open[pipeline]
        # Slots of one kind share the file: what another found not to fit holds here too, and is not forgotten.
        if (kept := self._read(key)) is not None:
            budget.ceiling = min(budget.ceiling, kept.ceiling)
        values: dict[str, Any] = {"key": key, **budget.as_dict()}
        file = self._file(key)
        mine = file.with_suffix(f".{os.getpid()}")
        try:
            mine.write_text(dumps(values))
            mine.replace(file)
        except OSError as error:
            # A full disk, a folder somebody removed: measured anew at the next start, and no row's fault.
            log.warning("A budget could not be kept.", pipeline=pipeline, error=repr(error))
        self._saved[pipeline] = time.monotonic()

    def _file(self, key: dict[str, str]) -> Path:
        return self._folder / f"{hashlib.sha256(dumps(key).encode()).hexdigest()[:24]}.json"


def most_tokens(model: LoadedPipeline, room: int, *, decks: int) -> int | None:
    """Padded tokens of a microbatch for which so many bytes are enough, when `decks` bake; None: never mind."""
    return max(1, room // (model.token_bytes * decks)) if model.token_bytes else None


def _rehearse(budget: Budget, model: LoadedPipeline, decks: int, *, most: int | None) -> None:
    """Bake the pipeline's example, as many copies as make the tokens of a rung, on as many decks as will bake."""
    assert model.example is not None
    row, parameters = model.example
    each = max(1, row.length * row.sequences)

    def bake(tokens: int) -> int:
        copies = max(1, math.ceil(tokens / each))
        context = Context(job_ids=[""] * copies, share=decks)
        passes = [threads.submit(model.bake, [row] * copies, parameters, context) for _ in range(decks)]
        for one in passes:
            one.result()
        return copies * each

    try:
        with ThreadPoolExecutor(decks) as threads:
            budget.rehearse(bake, most=MOST if most is None else most)
    except (OutOfMemory, MemoryError):
        budget.ran_out(2 * max(budget.samples, default=2))
