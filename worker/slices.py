"""A slice of time: how long one pipeline bakes before the next one's turn.

Where no other pipeline waits there is nothing to be fair to, and the end of a slice only empties the decks: the slice
goes on. Some time it ends all the same, because memory that grew in use is settled between slices.
"""

from __future__ import annotations

import time

import sqlalchemy as sa

from contract.times import utc_now
from models import sweeps
from models.database import reading

#: Slices in a row at most.
_LONGEST = 6
#: How soon after its end a slice that went on looks for others again.
_LOOK_SECONDS = 1.0
#: How often a slice of people looks for those who wait for another pipeline.
_PEOPLE_SECONDS = 0.25


class Slice:
    def __init__(self, engine: sa.Engine, pipeline: str, *, seconds: float) -> None:
        self._engine = engine
        self._pipeline = pipeline
        now = time.monotonic()
        self._ends, self._latest = now + seconds, now + _LONGEST * seconds
        self._people = now + _PEOPLE_SECONDS

    def is_time_for_people(self) -> bool:
        """Whether to look for people of other pipelines: now and then, and not after each call of one."""
        now = time.monotonic()
        if now < self._people:
            return False
        self._people = now + _PEOPLE_SECONDS
        return True

    def is_over(self) -> bool:
        now = time.monotonic()
        if now < self._ends:
            return False
        if now >= self._latest or self._others_wait():
            return True
        self._ends = now + _LOOK_SECONDS
        return False

    def _others_wait(self) -> bool:
        with reading(self._engine) as conn:
            return any(name != self._pipeline for name in sweeps.pipelines_with_work(conn, now=utc_now()))
