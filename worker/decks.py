"""The decks of an oven: where microbatches bake, side by side where that is faster.

The threads of one forward pass wait for each other after every operator, and longest when another process has one
of their cores. Encoders on a CPU therefore bake several microbatches at a time with a share of the threads each: 10%
more rows on a machine of its own, 25% on a busy one. A microbatch that is alone gets all threads.
On a GPU, and for whatever cannot run twice at once, there is one deck: the thread that asks.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

import sqlalchemy as sa

from models import claims
from models.database import reading
from worker.baking import Baker, Dough
from worker.early import Early
from worker.hand import Hand
from worker.ledger import Ledger, Pass
from worker.recorder import Recorder
from worker.signals import Signals
from worker.trays import Tray, Turn


@dataclasses.dataclass(frozen=True)
class Kitchen:
    """What a deck works with."""

    engine: sa.Engine
    hand: Hand
    signals: Signals
    recorder: Recorder
    ledger: Ledger
    #: A microbatch that takes longer is a child that hangs.
    seconds: float


class Decks:
    """`count`: forward passes at a time. Called by one thread only."""

    def __init__(self, count: int, kitchen: Kitchen) -> None:
        self.count = count
        self._kitchen = kitchen
        self._pid = os.getpid()
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="deck")
        self._baking: dict[int, Future[None]] = {}

    def put_in(self, turn: Turn, tray: Tray, *, last: bool) -> None:
        """Bake a tray: beside others when there are or will be some, else here and now."""
        alone = last and not self.busy and len(turn.trays) == 1
        if alone or self.count == 1 or not turn.model.side_by_side:
            self.empty()
            # The last of a turn has nothing to be recorded beside, and its callers wait.
            recorder = self._kitchen.recorder
            self._bake(turn, tray, deck=0, share=1, record=recorder.record if last else recorder.record_later)
            return
        self.wait_for_one()
        deck = next(number for number in range(self.count) if number not in self._baking)
        later = self._kitchen.recorder.record_later
        self._baking[deck] = self._threads.submit(self._bake, turn, tray, deck=deck, share=self.count, record=later)

    @property
    def busy(self) -> bool:
        return bool(self._baking)

    def wait_for_one(self) -> None:
        """Until a deck is free. Raises what broke in those that ended, as `empty` does."""
        if len(self._baking) == self.count:
            wait(self._baking.values(), return_when=FIRST_COMPLETED)
        self._collect()

    def wait_a_little(self, seconds: float) -> None:
        """Until another microbatch is done, so many seconds at most."""
        wait(self._baking.values(), timeout=seconds, return_when=FIRST_COMPLETED)
        self._collect()

    def empty(self) -> None:
        """Until nothing bakes."""
        while self._baking:
            wait(self._baking.values(), return_when=FIRST_COMPLETED)
            self._collect()

    def abandon(self) -> None:
        """Until nothing bakes, whatever became of it. What broke stays in the hand's note."""
        wait(self._baking.values())
        self._baking.clear()

    def _collect(self) -> None:
        for deck in [deck for deck, future in self._baking.items() if future.done()]:
            self._baking.pop(deck).result()

    def _bake(self, turn: Turn, tray: Tray, *, deck: int, share: int, record: Callable[..., None]) -> None:
        kitchen, place = self._kitchen, f"deck {deck}"
        rows = {row.id: row for row in tray.rows}
        early = Early(rows, kitchen.recorder, turn.model.identity, seconds=turn.load_seconds)

        def take(ids: Sequence[str]) -> None:
            kitchen.hand.take(self._pid, turn.spec.name, ids, seconds=kitchen.seconds, place=place)

        def wanted(ids: Sequence[str]) -> set[str]:
            # Whoever asks is alive: a long text may take longer than a microbatch may without a word.
            take(ids)
            with reading(kitchen.engine) as conn:
                return claims.still_mine(conn, [rows[job_id] for job_id in ids])

        baker = Baker(
            pipeline=turn.model,
            parameters=tray.parameters,
            take=take,
            wanted=wanted,
            publish=kitchen.signals.wrote,
            done=early.done,
            share=share,
        )
        beside, start = len(self._baking), time.perf_counter()
        answers = baker.bake([Dough(r.id, p) for r, p in zip(tray.rows, tray.prepared, strict=True)])
        seconds = time.perf_counter() - start
        # A pass that had the machine to itself for a while says nothing about those that had not.
        crowded = share == 1 or beside == len(self._baking) == share
        done = Pass(seconds, share=max(1, beside) if share > 1 else 1, typical=crowded, ran_out=baker.ran_out)
        kitchen.ledger.note(turn.spec.name, tray, done)
        left, their_answers = early.rest(dict(zip(rows, answers, strict=True)))
        record(left, their_answers, turn.model.identity, early.timing())
        kitchen.hand.leave(place)
