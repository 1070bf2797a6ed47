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
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import sqlalchemy as sa

from contract.errors import InputError
from models import claims
from models.database import reading
from worker.baking import Baker, Dough
from worker.cellar import Cellar
from worker.early import Early
from worker.hand import Hand
from worker.larder import Larder
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
    larder: Larder
    cellar: Cellar | None
    #: A microbatch that takes longer is a child that hangs.
    seconds: float

    def remember(self, tray: Tray, answers: Mapping[str, Any | InputError]) -> None:
        """Keep what was baked for equal rows to come."""
        firsts = [answers[loaf.id] for loaf in tray.loaves]
        self.larder.keep(tray.loaves, firsts)
        if self.cellar is not None:
            self.cellar.keep(tray.loaves, firsts)


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
        tray = self._spare(turn, tray)
        if not tray.loaves:
            return
        alone = last and not self.busy and len(turn.trays) == 1
        if alone or self.count == 1 or not turn.model.side_by_side:
            self.empty()
            self._kitchen.larder.into_the_oven(tray.loaves)
            # The last of a turn has nothing to be recorded beside, and its callers wait.
            recorder = self._kitchen.recorder
            self._bake(turn, tray, deck=0, share=1, record=recorder.record if last else recorder.record_later)
            return
        self.wait_for_place()
        self._kitchen.larder.into_the_oven(tray.loaves)
        place = next(number for number in range(self.count + 1) if number not in self._given)
        later = self._kitchen.recorder.record_later
        self._given[place] = self._threads.submit(self._bake, turn, tray, deck=place, share=self.count, record=later)

    def _spare(self, turn: Turn, tray: Tray) -> Tray:
        """Leave out what was baked since the tray was laid out, for equal rows of the claim before."""
        kitchen = self._kitchen
        if kitchen.larder.is_baking(tray.loaves):
            self.empty()
        left, known = tray.without_known(kitchen.larder)
        if known:
            kitchen.ledger.spared(turn.spec.name, len(known))
            kitchen.recorder.record_known(known, turn.model.identity)
        return left

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
        try:
            self._bake_tray(turn, tray, place=f"deck {deck}", share=share, record=record)
        finally:
            self._kitchen.larder.out_of_the_oven(tray.loaves)

    def _bake_tray(self, turn: Turn, tray: Tray, *, place: str, share: int, record: Callable[..., None]) -> None:
        kitchen = self._kitchen
        early = Early(tray, kitchen.recorder, turn.model.identity, seconds=turn.load_seconds)
        baker = _InHand(kitchen, turn, tray, place, self._pid).baker(done=early.done, share=share)
        with self._beside() as beside:
            start = time.perf_counter()
            answers = _baked(baker, tray)
            seconds = time.perf_counter() - start
        decks = self.count if turn.model.side_by_side else 1
        done = _pass(seconds, beside, share=share, decks=decks, ran_out=baker.ran_out)
        kitchen.ledger.note(turn.spec.name, tray, done)
        kitchen.remember(tray, answers)
        left, their_answers = early.rest(answers)
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


@dataclasses.dataclass(frozen=True)
class _InHand:
    """One tray on its deck: noted, asked after, and shown as it is written, while a baker bakes it."""

    kitchen: Kitchen
    turn: Turn
    tray: Tray
    place: str
    pid: int

    def baker(self, *, done: Callable[[str, Any], None], share: int) -> Baker:
        return Baker(
            pipeline=self.turn.model,
            parameters=self.tray.parameters,
            take=self._take,
            wanted=self._wanted,
            publish=self._publish,
            done=done,
            share=share,
        )

    def _take(self, ids: Sequence[str]) -> None:
        rows, tokens = [row.id for row in self.tray.asking(ids)], self.tray.tokens_of(ids)
        name, seconds = self.turn.spec.name, self.kitchen.seconds
        self.kitchen.hand.take(self.pid, name, rows, seconds=seconds, place=self.place, tokens=tokens)

    def _wanted(self, ids: Sequence[str]) -> set[str]:
        # Whoever asks is alive: a long text may take longer than a microbatch may without a word.
        self._take(ids)
        with reading(self.kitchen.engine) as conn:
            mine = claims.still_mine(conn, self.tray.asking(ids))
        return {job_id for job_id in ids if any(row.id in mine for row in self.tray.asking([job_id]))}

    def _publish(self, job_id: str, text: str, *, first: bool) -> None:
        for row in self.tray.asking([job_id]):
            self.kitchen.signals.wrote(row.id, text, first=first)


def _pass(seconds: float, beside: list[int], *, share: int, decks: int, ran_out: bool) -> Pass:
    """`beside`: microbatches that baked when it began and when it ended, with it; `decks`: as many as may."""
    # A pass that had the machine to itself, if for a while, says nothing about those of a file, which have not: its
    # tokens take half as long, and the budget would fall to what is baked alone.
    crowded = share == decks and (decks == 1 or beside == [decks, decks])
    return Pass(seconds, share=beside[0] if share > 1 else 1, typical=crowded, ran_out=ran_out)


def _baked(baker: Baker, tray: Tray) -> dict[str, Any | InputError]:
    """The answer of every row by its id. Rows that were to share one that says nothing of them are baked as well."""
    answers: dict[str, Any | InputError] = {}
    for loaf, answer in zip(tray.loaves, baker.bake([Dough(o.id, o.prepared) for o in tray.loaves]), strict=True):
        answers.update((row.id, answer) for row in loaf.answered(answer))
    left = [Dough(row.id, loaf.prepared) for loaf in tray.loaves for row in loaf.rows if row.id not in answers]
    if left:
        answers.update(zip([dough.job_id for dough in left], baker.bake(left), strict=True))
    return answers
