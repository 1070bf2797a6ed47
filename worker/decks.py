"""The decks of an oven: where microbatches bake, side by side where that is faster.

The threads of one forward pass wait for each other after every operator, and longest when another process has one
of their cores. Encoders on a CPU therefore bake several microbatches at a time with a share of the threads each: 10%
more rows on a machine of its own, 25% on a busy one. A microbatch that is alone gets all threads.
On a GPU, and for whatever cannot run twice at once, there is one deck: the thread that asks.

Beside those that bake, one more microbatch may stand ready, so that a deck that is done goes on at once: a look for
people, notes and the way from thread to thread take 2 ms of every 130. Whoever comes then waits for another deck,
which had its microbatch in hand already.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
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
        #: By place: what bakes, and the one that stands ready.
        self._given: dict[int, Future[None]] = {}
        self._baking = 0
        self._lock = threading.Lock()

    def put_in(self, turn: Turn, tray: Tray, *, last: bool) -> None:
        """Bake a tray: beside others when there are or will be some, else here and now."""
        alone = last and not self.busy and len(turn.trays) == 1
        if alone or self.count == 1 or not turn.model.side_by_side:
            self.empty()
            # The last of a turn has nothing to be recorded beside, and its callers wait.
            recorder = self._kitchen.recorder
            self._bake(turn, tray, deck=0, share=1, record=recorder.record if last else recorder.record_later)
            return
        self.wait_for_place()
        place = next(number for number in range(self.count + 1) if number not in self._given)
        later = self._kitchen.recorder.record_later
        self._given[place] = self._threads.submit(self._bake, turn, tray, deck=place, share=self.count, record=later)

    @property
    def busy(self) -> bool:
        return bool(self._given)

    def wait_for_one(self) -> None:
        """Until a deck is free. Raises what broke in those that ended, as `empty` does."""
        self._wait_until(self.count - 1)

    def wait_for_place(self) -> None:
        """Until nothing stands ready that no deck has begun."""
        self._wait_until(self.count)

    def wait_a_little(self, seconds: float) -> None:
        """Until another microbatch is done, so many seconds at most."""
        wait(self._given.values(), timeout=seconds, return_when=FIRST_COMPLETED)
        self._collect()

    def empty(self) -> None:
        """Until nothing bakes."""
        self._wait_until(0)

    def abandon(self) -> None:
        """Until nothing bakes, whatever became of it. What broke stays in the hand's note."""
        wait(self._given.values())
        self._given.clear()

    def _wait_until(self, most: int) -> None:
        self._collect()
        while len(self._given) > most:
            wait(self._given.values(), return_when=FIRST_COMPLETED)
            self._collect()

    def _collect(self) -> None:
        for place in [place for place, future in self._given.items() if future.done()]:
            self._given.pop(place).result()

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
        with self._beside() as beside:
            start = time.perf_counter()
            answers = baker.bake([Dough(r.id, p) for r, p in zip(tray.rows, tray.prepared, strict=True)])
            seconds = time.perf_counter() - start
        # A pass that had the machine to itself for a while says nothing about those that had not.
        crowded = share == 1 or beside == [share, share]
        done = Pass(seconds, share=beside[0] if share > 1 else 1, typical=crowded, ran_out=baker.ran_out)
        kitchen.ledger.note(turn.spec.name, tray, done)
        left, their_answers = early.rest(dict(zip(rows, answers, strict=True)))
        record(left, their_answers, turn.model.identity, early.timing())
        kitchen.hand.leave(place)

    @contextlib.contextmanager
    def _beside(self) -> Iterator[list[int]]:
        """How many microbatches bake at the beginning of this one, and at its end, with it."""
        with self._lock:
            self._baking += 1
            counts = [self._baking]
        try:
            yield counts
        finally:
            with self._lock:
                counts.append(self._baking)
                self._baking -= 1
