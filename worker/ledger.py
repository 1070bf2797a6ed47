"""The ledger: what each microbatch says about the next ones, and what is counted for whoever watches."""

from __future__ import annotations

import time

import sqlalchemy as sa

from models.database import transaction
from models.workers import set_worker
from worker.budgets import Budgets
from worker.pace import Pace
from worker.tally import Tally
from worker.trays import Tray

#: A scrape every few seconds needs no more.
_SHOW_SECONDS = 2.0


class Ledger:
    def __init__(self, engine: sa.Engine, budgets: Budgets, pace: Pace, *, slot: str) -> None:
        self._engine = engine
        self._budgets = budgets
        self._pace = pace
        self._slot = slot
        self._tally = Tally()
        self._shown_at = 0.0

    def note(self, pipeline: str, tray: Tray, seconds: float, *, ran_out: bool) -> None:
        """A microbatch took `seconds`; `ran_out`: it had to be baked in halves for want of memory."""
        if ran_out:
            self._budgets.ran_out(pipeline, padded_tokens=tray.padded_tokens)
        else:
            self._budgets.took(pipeline, padded_tokens=tray.padded_tokens, seconds=seconds)
        self._pace.took(pipeline, rows=len(tray.rows), seconds=seconds)
        count = self._tally.of(pipeline)
        count.rows += len(tray.rows)
        count.microbatches += 1
        count.real_tokens += tray.real_tokens
        count.padded_tokens += tray.padded_tokens
        count.seconds = round(count.seconds + seconds, 4)
        count.out_of_memory += ran_out
        count.budget = self._budgets.of(pipeline).tokens

    def show(self) -> None:
        """Write the counts into this slot's row, now and then."""
        if time.monotonic() - self._shown_at < _SHOW_SECONDS:
            return
        tally = self._tally.as_dict()
        transaction(self._engine, lambda conn: set_worker(conn, self._slot, tally=tally), lasting=False)
        self._shown_at = time.monotonic()
