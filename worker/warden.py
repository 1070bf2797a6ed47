"""The warden: a thread in the slot's main process, which stays light and answers while the child computes.

It renews the leases of the rows its child holds, and only of a child that is alive and within its deadline; kills
a child that hangs; and when the child dies, sends its rows back at once, those it had in hand as suspects.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import select
import signal
import threading
import time
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from contract.logs import get_logger
from contract.settings import Inference
from contract.times import utc_now
from models import claims, sweeps
from models.database import transaction
from models.sweeps import Touched
from models.workers import beat, set_worker
from worker.hand import Hand, Note
from worker.memory import kills
from worker.signals import Signals

log = get_logger(__name__)

_LOOK_SECONDS = 0.25


class Warden:
    def __init__(
        self, *, name: str, engine: sa.Engine, hand: Hand, signals: Signals, settings: Inference, beat_seconds: float
    ) -> None:
        self._name = name
        self._engine = engine
        self._hand = hand
        self._signals = signals
        self._settings = settings
        self._beat_seconds = beat_seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="warden", daemon=True)
        self._child: int | None = None
        self._pidfd: int | None = None
        #: Whom the kernel had killed for want of memory when the child was seen first.
        self._kills = 0
        self._next_beat = 0.0

    def start(self) -> None:
        """Send back what an earlier life of this slot left behind, then watch."""
        self._reap_rest()
        self._hand.forget()
        self._hand.go_on()
        self._thread.start()

    def ask_child_to_stop(self) -> None:
        self._hand.ask_to_stop()

    def stop(self) -> None:
        """The child has ended: give back whatever it still held, and say that the slot is closed."""
        self._over.set()
        self._thread.join(timeout=5)
        self._reap_rest()
        self._hand.forget()
        transaction(self._engine, lambda conn: set_worker(conn, self._name, state="stopped"))

    def _watch(self) -> None:
        while not self._over.is_set():
            try:
                self._look()
            except SQLAlchemyError:
                # The lease is long enough for a database that restarts; if not, the sweep takes the rows back.
                log.exception("The warden could not reach the database; it tries again.")
                self._over.wait(1.0)

    def _look(self) -> None:
        note = self._hand.read()
        if note is None:
            self._beat(None)
            self._over.wait(_LOOK_SECONDS)
            return
        if note.pid != self._child:
            self._follow(note.pid)
        if self._died():
            self._note_killed()
            # What it wrote last: read again after its death, not before.
            self._reap_rest()
            self._hand.forget(note.pid)
            self._unfollow()
            return
        self._beat(note)
        if note.deadline is not None and time.time() > note.deadline:
            log.error("A child hangs in a microbatch and is killed.", pipeline=note.pipeline, rows=len(note.rows))
            with contextlib.suppress(ProcessLookupError):
                os.kill(note.pid, signal.SIGKILL)

    def _follow(self, pid: int) -> None:
        self._unfollow()
        self._child, self._kills = pid, kills()
        with contextlib.suppress(ProcessLookupError):
            self._pidfd = os.pidfd_open(pid)

    def _note_killed(self) -> None:
        """On a CPU a microbatch that does not fit raises nothing. One row alone is its own fault, and no budget's."""
        note = self._hand.read()
        if note is not None and len(note.rows) > 1 and note.tokens and kills() > self._kills:
            log.warning("A child was killed for want of memory.", pipeline=note.pipeline, tokens=note.tokens)
            self._hand.note_killed(note)

    def _unfollow(self) -> None:
        if self._pidfd is not None:
            os.close(self._pidfd)
        self._child, self._pidfd = None, None

    def _died(self) -> bool:
        """Whether the child is gone; waits a moment for it, so that this is also the loop's pause."""
        if self._pidfd is None:
            return True
        # Not select(), which knows no descriptor past 1023.
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(_LOOK_SECONDS * 1000))

    def _beat(self, note: Note | None) -> None:
        if time.monotonic() < self._next_beat:
            return
        now = utc_now()
        until = now + timedelta(seconds=self._settings.lease_seconds)
        baking = None
        if note is not None and note.since is not None:
            baking = {"pipeline": note.pipeline, "rows": len(note.rows), "since": note.since}

        def work(conn: sa.Connection) -> None:
            beat(conn, self._name, now=now, baking=baking)
            if note is not None:
                # A lease that was given since the last beat can wait for the next.
                ending_by = until - timedelta(seconds=self._beat_seconds)
                claims.renew(conn, f"{self._name}#{note.pid}", until=until, ending_by=ending_by)

        transaction(self._engine, work, lasting=False)
        self._next_beat = time.monotonic() + self._beat_seconds

    def _reap_rest(self) -> None:
        """Rows of a child that was made to stop are nobody's fault; of one that died otherwise they are suspects."""
        if note := self._hand.read():
            self._reap(dataclasses.replace(note, rows=()) if self._hand.should_stop() else note)

    def _reap(self, note: Note) -> None:
        # A knock that nobody hears any more; its pipeline is among those that are called for below.
        self._signals.retire(self._name)

        def work(conn: sa.Connection) -> tuple[Touched, list[str]]:
            touched = sweeps.reap_worker(
                conn,
                f"{self._name}#{note.pid}",
                in_hand=set(note.rows),
                max_attempts=self._settings.max_attempts,
                now=utc_now(),
            )
            set_worker(conn, self._name, state="starting", warm={}, baking=None)
            return touched, sweeps.pipelines_with_work(conn, now=utc_now())

        touched, waiting = transaction(self._engine, work)
        if touched.jobs:
            log.warning("A child died; its rows went back in line.", rows=len(touched.jobs), in_hand=len(note.rows))
        self._signals.changed([*touched.jobs[:100], *touched.batches])
        for pipeline in waiting:
            # The message that the child was working on died with it.
            self._signals.awake(pipeline)
            self._signals.wake(pipeline)
