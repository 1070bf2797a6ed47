"""The ledger: what each microbatch says about the next ones, and what is counted for whoever watches."""

from __future__ import annotations

import dataclasses
import threading
import time

import sqlalchemy as sa

from models.database import transaction
from models.workers import set_worker
from worker.appetite import Appetite
from worker.budgets import Budgets
from worker.tally import Tally
from worker.trays import Tray

#: A scrape every few seconds needs no more.
_SHOW_SECONDS = 2.0


@dataclasses.dataclass(frozen=True)
class Pass:
    """A microbatch that was baked: `seconds` in its forward pass, beside `share` - 1 others."""

    seconds: float
    share: int
    #: Baked as most are, so that its seconds say what the next ones will take.
    typical: bool
    #: It had to be baked in halves for want of memory.
    ran_out: bool


class Ledger:
    def __init__(self, engine: sa.Engine, budgets: Budgets, appetite: Appetite, *, slot: str) -> None:
        self._engine = engine
        self._budgets = budgets
        self._appetite = appetite
        self._slot = slot
        self._tally = Tally()
        self._shown_at = 0.0
        self._is_shown = True
        # Decks note what they baked from threads of their own.
        self._lock = threading.Lock()

    def note(self, pipeline: str, tray: Tray, done: Pass) -> None:
        with self._lock:
            self._note(pipeline, tray, done)

    def _note(self, pipeline: str, tray: Tray, done: Pass) -> None:
        if done.ran_out:
            self._budgets.ran_out(pipeline, padded_tokens=tray.padded_tokens)
        elif done.typical:
            self._budgets.took(pipeline, padded_tokens=tray.padded_tokens, seconds=done.seconds)
        seconds = done.seconds / done.share
        budget = self._budgets.tokens(pipeline)
        full = budget * len(tray.rows) // tray.padded_tokens
        self._appetite.took(pipeline, rows=len(tray.rows), seconds=seconds, full=full)
        count = self._tally.of(pipeline)
        count.rows += len(tray.loaves)
        count.spared += len(tray.rows) - len(tray.loaves)
        count.microbatches += 1
        count.real_tokens += tray.real_tokens
        count.padded_tokens += tray.padded_tokens
        count.seconds += seconds
        count.out_of_memory += done.ran_out
        count.budget = budget
        self._is_shown = False

    def loaded(self, pipeline: str) -> None:
        """Its budget is known from now on, and shown before its first microbatch."""
        with self._lock:
            self._tally.of(pipeline).budget = self._budgets.tokens(pipeline)
            self._is_shown = False

    def rows(self) -> dict[str, int]:
        """Rows that were baked in this process, by pipeline."""
        with self._lock:
            return self._tally.rows()

    def spared(self, pipeline: str, rows: int) -> None:
        """So many rows were answered by what had been baked for equal ones."""
        if rows:
            with self._lock:
                self._tally.of(pipeline).spared += rows
                self._is_shown = False

    def cached(self, pipeline: str, rows: int) -> None:
        """So many rows were answered by what earlier jobs and batches left."""
        if rows:
            with self._lock:
                self._tally.of(pipeline).cached += rows
                self._is_shown = False

    def show(self) -> None:
        """Write the counts into this slot's row, now and then, when there are new ones."""
        if self._is_shown or time.monotonic() - self._shown_at < _SHOW_SECONDS:
            return
        with self._lock:
            tally = self._tally.as_dict()
            self._is_shown = True
        try:
            transaction(self._engine, lambda conn: set_worker(conn, self._slot, tally=tally), lasting=False)
        except BaseException:
            self._is_shown = False
            raise
        self._shown_at = time.monotonic()
