"""The oven: one device slot's child process. Claim, prepare, plan, bake, record, until nothing waits.

Batches form by waiting work, not by waiting: an idle oven starts with what there is, a busy one finds more when it
comes back. Between microbatches people go before files, a slice of time ends, and a request to stop is heard.

Stages overlap while there is more to do: microbatches compute side by side (worker/decks.py), the last one's results
are written (worker/recorder.py), and beside the last of a claim the next claim is taken, tokenized and planned.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from contract.logs import get_logger
from contract.pipelines import PipelineSpec
from contract.settings import Inference
from contract.statuses import PRIORITY_RANK, PipelineState, Priority
from contract.times import utc_now
from models import claims, sweeps
from models.claims import Claimed
from models.database import reading, transaction
from models.pipelines import find_pipeline, is_so_still, list_pipelines
from worker.appetite import Appetite
from worker.backends.backend import DeviceLost
from worker.board import Board
from worker.budgets import Budgets
from worker.cellar import Cellar
from worker.decks import Decks, Kitchen
from worker.hand import TABLE, Hand
from worker.larder import Larder
from worker.ledger import Ledger
from worker.loader import Loader
from worker.lookahead import LookAhead
from worker.pantry import Pantry
from worker.recorder import Recorder
from worker.shelf import Shelf
from worker.signals import Signals
from worker.slices import Slice
from worker.tasting import Taster
from worker.trays import Tray, Turn

log = get_logger(__name__)

_PEOPLE = Priority.INTERACTIVE
_BULK_RANK = PRIORITY_RANK[Priority.BULK]
_FRESH_SECONDS = 0.25
#: How often an oven with a free deck looks for more while others bake.
_LOOK_SECONDS = 0.01
_AHEAD = "ahead"
#: Rows of one claim whose files are decoded: a prepared picture holds half a megabyte to ten.
_MOST_WITH_FILES = 64
_LOST = 70  # EX_SOFTWARE: this process cannot go on


class Oven:
    def __init__(
        self,
        *,
        name: str,
        engine: sa.Engine,
        shelf: Shelf,
        budgets: Budgets,
        hand: Hand,
        signals: Signals,
        settings: Inference,
        decks: int = 1,
        pantry: Pantry | None = None,
        cellar: Cellar | None = None,
    ) -> None:
        self._pid = os.getpid()
        #: Stands in the rows it holds; a replacement child has another.
        self.name = f"{name}#{self._pid}"
        self._engine = engine
        self._shelf = shelf
        self._hand = hand
        self._signals = signals
        self._settings = settings
        self._recorder = Recorder(engine, signals, pantry, cellar)
        self._appetite = Appetite(most=settings.claim_rows)
        self._ledger = Ledger(engine, budgets, self._appetite, slot=name)
        larder, seconds = Larder(), settings.microbatch_timeout
        kitchen = Kitchen(engine, hand, signals, self._recorder, self._ledger, larder, cellar, seconds)
        self._decks = Decks(decks, kitchen)
        self._board = Board(
            hand=hand, shelf=shelf, budgets=budgets, recorder=self._recorder, ledger=self._ledger, larder=larder,
            cellar=cellar, pantry=pantry, decks=decks, seconds=seconds,
        )  # fmt: skip
        self._loader = Loader(engine, shelf, budgets, self._ledger, hand, seconds=seconds)
        self._lookahead = LookAhead(engine, shelf, self._loader)
        self._taster = Taster(engine, shelf, self._ledger, hand, seconds=seconds)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ahead")
        self._ahead: Future[Turn | None] | None = None

    def warm_up(self) -> None:
        """Load and prove every pipeline that is to be warm; one that cannot be is marked, and the rest go on."""
        self._hand.put_down(self._pid)
        with reading(self._engine) as conn:
            stored = list_pipelines(conn)
        for pipeline in stored:
            if pipeline.spec.warm and pipeline.state is PipelineState.ACTIVE:
                self._loader.load(pipeline.spec)
        self._ledger.show()
        self._hand.put_down(self._pid)

    def serve(self, pipeline: str) -> None:
        """Bake what waits for a pipeline, for one slice of time. Nothing passes through to Celery.

        A MemoryError that reached it would take the node down; and rows that a living process has forgotten would
        have their lease renewed for ever.
        """
        try:
            self._serve(pipeline)
            self._hand.put_down(self._pid)
        except DeviceLost:
            self._recorder.abandon()
            log.exception("The device is lost; a new process takes over.", pipeline=pipeline)
            os._exit(_LOST)
        except SQLAlchemyError:
            log.exception("The database failed; the claimed rows go back.", pipeline=pipeline)
            self._let_go(blamed=())
        except Exception:
            log.exception("A slice broke; the rows in hand are suspects now.", pipeline=pipeline)
            self._decks.abandon()
            note = self._hand.read()
            self._let_go(blamed=note.rows if note else ())

    def rest(self) -> None:
        """Called now and then while nobody calls: show what was counted last, load ahead what will be asked for,
        compare what is quantized with float32.
        """
        if self._hand.should_stop():
            return
        try:
            self._ledger.show()
            if self._lookahead.look() is None:
                self._taster.look()
        except DeviceLost:
            log.exception("The device is lost; a new process takes over.")
            os._exit(_LOST)
        except SQLAlchemyError:
            log.exception("The database failed while nothing was to be done.")
        self._hand.leave()

    def _let_go(self, *, blamed: Collection[str]) -> None:
        """Give back every row this process holds; the next sweep calls for them again."""
        most = self._settings.max_attempts
        # Rows that a thread claims, bakes or records right now must not be given back under its hands.
        self._decks.abandon()
        self._recorder.abandon()
        if self._ahead is not None:
            self._ahead.exception()
            self._ahead = None

        def work(conn: sa.Connection) -> None:
            sweeps.reap_worker(conn, self.name, in_hand=blamed, max_attempts=most, now=utc_now())

        self._hand.put_down(self._pid)
        try:
            transaction(self._engine, work)
        except SQLAlchemyError:
            # The warden has more patience with the database than a task may have.
            log.exception("The claimed rows could not be given back; a new process takes over.")
            os._exit(_LOST)

    def _serve(self, pipeline: str) -> None:
        # Before the first claim: whoever commits after it calls again.
        self._signals.awake(pipeline)
        is_left = self._bake_turns(pipeline, Slice(self._engine, pipeline, seconds=self._settings.slice_seconds))
        self._decks.empty()
        self._shelf.settle(keep=pipeline)
        self._recorder.settle()
        self._ledger.show()
        if is_left:
            self._signals.wake(pipeline)

    def _bake_turns(self, pipeline: str, its: Slice) -> bool:
        """Claim and bake until nothing waits, the slice is over or somebody asks to stop; whether rows are left."""
        turn = self._turn(pipeline)
        while turn is not None:
            if turn.full:
                # There may be more than we can bake, and another oven may be idle.
                self._signals.wake(pipeline)
            finished = self._bake(turn, its)
            following = self._take_ahead()
            self._ledger.show()
            if not finished or self._hand.should_stop() or its.is_over():
                self._put_back(following.rows if following else [])
                self._close_batches(turn.batches())
                return True
            if turn.rows[0].priority != _BULK_RANK and its.is_time_for_people():
                self._let_people_in(beside=pipeline)
            following = following or self._next_turn(pipeline)
            self._close_batches(turn.batches() - (following.batches() if following else set()))
            turn = following
        return False

    def _next_turn(self, pipeline: str) -> Turn | None:
        """What waits once a deck is free; or what comes while others still bake, for callers ask again at once."""
        self._decks.wait_for_one()
        turn = self._turn(pipeline)
        while turn is None and self._decks.busy:
            self._decks.wait_a_little(_LOOK_SECONDS)
            turn = self._turn(pipeline)
        return turn

    def _turn(self, pipeline: str, *, only: Priority | None = None) -> Turn | None:
        """The next claim of a pipeline, ready to bake; None when nothing waits or it cannot run."""
        if self._hand.should_stop() or (spec := self._called_for(pipeline)) is None:
            return None
        rows, full = self._claim(spec, only=only)
        if not rows:
            return None
        if not self._shelf.is_warm(spec):
            # A load may put away what bakes now.
            self._decks.empty()
            self._taster.drop()
        loaded = self._loader.load(spec)
        turn = None if loaded is None else self._board.lay_out(spec, *loaded, rows, full=full, place=TABLE)
        self._hand.leave()
        if turn is None:
            self._put_back(rows)
        return turn

    def _turn_ahead(self, pipeline: str) -> Turn | None:
        """`_turn` in a thread of its own, beside the last microbatch of the turn before."""
        spec = self._called_for(pipeline)
        # A definition that changed meanwhile is loaded when nothing is being baked.
        if spec is None or not self._shelf.is_warm(spec):
            return None
        rows, full = self._claim(spec, only=None)
        if not rows:
            return None
        model, load_seconds = self._shelf.get(spec)
        turn = self._board.lay_out(spec, model, load_seconds, rows, full=full, place=_AHEAD)
        self._hand.leave(_AHEAD)
        return turn

    def _look_ahead(self, turn: Turn) -> None:
        # Suspects are prepared with nothing else in hand: the note must not blame their neighbors.
        if turn.full and turn.rows[0].max_group is None and self._ahead is None:
            self._ahead = self._thread.submit(self._turn_ahead, turn.spec.name)

    def _take_ahead(self) -> Turn | None:
        ahead, self._ahead = self._ahead, None
        return None if ahead is None else ahead.result()

    def _called_for(self, pipeline: str) -> PipelineSpec | None:
        """The pipeline as it is defined now; None when nothing waits, or it is paused, broken or gone."""
        with reading(self._engine) as conn:
            if not claims.any_waiting(conn, pipeline, now=utc_now()):
                return None
            stored = find_pipeline(conn, pipeline)
        return stored.spec if stored is not None and stored.state is PipelineState.ACTIVE else None

    def _claim(self, spec: PipelineSpec, *, only: Priority | None) -> tuple[list[Claimed], bool]:
        """Rows, and whether they are as many as were asked for."""
        now, limit = utc_now(), self._appetite.rows(spec.name)
        if spec.catalogue.media:
            limit = min(limit, _MOST_WITH_FILES)
        lease = timedelta(seconds=self._settings.lease_seconds)

        def work(conn: sa.Connection) -> list[Claimed]:
            rows = claims.claim(conn, spec.name, limit=limit, worker=self.name, lease=lease, now=now, only=only)
            if any(spec.refusal(row.task) for row in rows) and not is_so_still(conn, spec):
                # Sent for what the pipeline is for by now, and a moment ago was not.
                claims.release(conn, rows)
                return []
            return rows

        rows = transaction(self._engine, work, lasting=False)
        return rows, len(rows) == limit

    def _bake(self, turn: Turn, its: Slice | None) -> bool:
        """Bake a turn; False when some of its rows were put back. People who were let in have no slice."""
        if its is not None and not turn.trays:
            self._let_people_in()
        for done, planned in enumerate(turn.trays):
            # A look at the table before each microbatch but one that was claimed a moment ago; while others bake.
            fresh = time.monotonic() - turn.since < _FRESH_SECONDS
            tray = planned if fresh else self._still_wanted(planned)
            self._decks.wait_for_place()
            if its is not None:
                may_go_on = self._may_go_on(planned, its, first=done == 0)
                going_on = self._warm_again(turn) if may_go_on else None
                if going_on is None:
                    self._put_back([row for left in turn.trays[done:] for row in left.rows])
                    return False
                turn = going_on
            last = done == len(turn.trays) - 1
            if last and its is not None:
                self._look_ahead(turn)
            if tray.rows:
                self._decks.put_in(turn, tray, last=last and self._ahead is None)
        return True

    def _warm_again(self, turn: Turn) -> Turn | None:
        """The turn with its pipeline, which a load for people may have put away; None when it loads no more."""
        if self._shelf.holds(turn.model):
            return turn
        self._decks.empty()
        loaded = self._loader.load(turn.spec)
        self._hand.leave()
        return None if loaded is None else dataclasses.replace(turn, model=loaded[0])

    def _close_batches(self, batch_ids: set[str]) -> None:
        """Whose last row may have been recorded, or will be when the recorder has settled."""
        if batch_ids:
            self._decks.empty()
            self._recorder.settle()
            self._recorder.close_batches(batch_ids)

    def _may_go_on(self, tray: Tray, its: Slice, *, first: bool) -> bool:
        """Between microbatches: people in, and whether there is time for another."""
        if self._hand.should_stop():
            return False
        if tray.rows[0].priority == _BULK_RANK:
            self._let_people_in()
        return first or not its.is_over()

    def _let_people_in(self, *, beside: str | None = None) -> None:
        """Bake for whoever waits; `beside` people of this pipeline: for those of others, as far as they are warm.

        Two that need each other's room would be loaded by turns; that is what slices are for.
        """
        with reading(self._engine) as conn:
            waiting = sweeps.pipelines_with_work(conn, now=utc_now(), only=_PEOPLE)
        if beside is not None:
            waiting = [name for name in waiting if name != beside and name in self._shelf.held()]
        for pipeline in waiting:
            if turn := self._turn(pipeline, only=_PEOPLE):
                self._bake(turn, None)
                self._close_batches(turn.batches())

    def _still_wanted(self, tray: Tray) -> Tray:
        """Leave out rows that were canceled or expired since they were claimed."""
        with reading(self._engine) as conn:
            return tray.keep(claims.still_mine(conn, tray.rows))

    def _put_back(self, rows: Sequence[Claimed]) -> None:
        if rows:
            transaction(self._engine, lambda conn: claims.release(conn, rows), lasting=False)
