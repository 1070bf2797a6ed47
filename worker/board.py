"""The board: where claimed rows are laid out into microbatches, and what is known already is recorded at once."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Sequence

from contract.pipelines import PipelineSpec
from models.claims import Claimed
from worker.backends.backend import LoadedPipeline
from worker.budgets import Budgets, most_tokens
from worker.cellar import Cellar
from worker.hand import Hand
from worker.larder import Larder
from worker.ledger import Ledger
from worker.pantry import Pantry
from worker.planner import Limits
from worker.recorder import Recorder
from worker.shelf import Shelf
from worker.trays import Turn, lay_out


@dataclasses.dataclass(frozen=True)
class Board:
    hand: Hand
    shelf: Shelf
    budgets: Budgets
    recorder: Recorder
    ledger: Ledger
    larder: Larder
    cellar: Cellar | None
    pantry: Pantry | None
    #: Forward passes at a time.
    decks: int
    #: A microbatch that takes longer is a child that hangs.
    seconds: float

    def lay_out(
        self,
        spec: PipelineSpec,
        model: LoadedPipeline,
        load_seconds: float,
        rows: list[Claimed],
        *,
        full: bool,
        place: str,
    ) -> Turn:
        def about_to(ids: Sequence[str]) -> None:
            self.hand.take(os.getpid(), spec.name, ids, seconds=self.seconds, place=place)

        # Before anything reads them: rows that nobody named could break every slice, and none would ever fail.
        about_to([row.id for row in rows])
        unpack = self.pantry.unpacking(spec) if self.pantry else None
        laid = lay_out(
            spec, model, rows, limits=self._limits(spec, model), about_to=about_to, unpack=unpack,
            larder=self.larder, cellar=self.cellar,
        )  # fmt: skip
        self.recorder.record_known(laid.refused + laid.known, model.identity)
        self.recorder.record_known(laid.kept, model.identity, cached=True)
        self.ledger.spared(spec.name, len(laid.known))
        self.ledger.cached(spec.name, len(laid.kept))
        return Turn(spec, model, load_seconds, rows, laid.trays, full, time.monotonic())

    def _limits(self, spec: PipelineSpec, model: LoadedPipeline) -> Limits:
        decks = self.decks if model.side_by_side else 1
        # What passes hold must fit beside whatever is warm now.
        most = most_tokens(model, self.shelf.room_for_passes(), decks=decks)
        return self.budgets.limits(spec.name, most=most, decks=decks, padding=model.padding)
