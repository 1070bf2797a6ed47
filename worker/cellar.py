"""The cellar: answers of all jobs and batches, in the database, for whoever asks exactly the same again.

Behind the larder, which has what this process baked a moment ago for the batch in hand. One look a claim, and one
insert in the transaction that records a microbatch. Two ovens that bake the same at once both keep it, which is one
answer. Off unless the operator gives it room (contract.cache).
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import threading
import time
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from contract.cache import Cache
from contract.errors import InputError
from contract.jsons import canonical
from contract.logs import get_logger
from contract.pipelines import PipelineSpec
from contract.times import utc_now
from models.answers import Answer, find_answers, trim
from models.database import reading
from models.vectors import pack, unpack
from worker.backends.backend import Identity, Inputs, WithFiles
from worker.loaves import Lasting, Loaf

log = get_logger(__name__)

#: A longer answer takes the room of thousands.
_LONGEST = 1 << 20
#: Of a definition, what answers do not depend on; `defaults` are in the parameters, Identity says what was loaded.
_NO_MATTER = ("name", "model", "revision", "adapter", "warm", "once", "cache", "description", "defaults")
#: Between two looks at how much is kept.
_EVERY_SECONDS = 60.0

Naming = Callable[[Inputs], Inputs]


class Cellar:
    """`naming`: inputs of a pipeline with every file named by what is in it; None for a task without files."""

    def __init__(self, engine: sa.Engine, naming: Callable[[PipelineSpec], Naming | None]) -> None:
        self._engine = engine
        self._naming = naming
        self._new: list[Answer] = []
        # Decks bring what the recorder's thread takes.
        self._lock = threading.Lock()

    def keys(self, spec: PipelineSpec, identity: Identity, parameters: dict[str, Any]) -> Lasting:
        """What makes keys for one lane: equal where task, weights, options, parameters and inputs are.

        None where a file of the inputs cannot be read: whoever prepares the row says so.
        """
        options = {name: value for name, value in spec.as_dict().items() if name not in _NO_MATTER}
        lane = canonical([_version(), options, dataclasses.asdict(identity), parameters]).encode() + b"\0"
        naming = self._naming(spec)

        def key(inputs: Inputs, text: str) -> bytes | None:
            try:
                told = text if naming is None else canonical(naming(inputs))
            except (OSError, KeyError, TypeError, ValueError):
                return None
            return hashlib.sha256(lane + told.encode()).digest()

        return key

    def find(self, keys: Collection[bytes]) -> dict[bytes, Any]:
        """Answers by key, as many as are kept."""
        if not keys:
            return {}
        with reading(self._engine) as conn:
            found = find_answers(conn, keys)
        return {one.key: unpack(one.body, one.vector) for one in found}

    def keep(self, loaves: Sequence[Loaf], answers: Sequence[Any | InputError]) -> None:
        """Remember results with the next microbatch that is recorded. Errors and files are nobody else's."""
        new = [
            Answer(loaf.lasting, *pack(answer))
            for loaf, answer in zip(loaves, answers, strict=True)
            if loaf.lasting is not None and not isinstance(answer, InputError | WithFiles)
        ]
        with self._lock:
            self._new += [one for one in new if one.size <= _LONGEST]

    def taken(self) -> list[Answer]:
        """What is to be written now, whoever brought it."""
        with self._lock:
            new, self._new = self._new, []
        return new


def _version() -> str:
    try:
        return importlib.metadata.version("fournil")
    except importlib.metadata.PackageNotFoundError:
        return ""


class CellarKeeper:
    """Holds what is kept to its bounds, now and then. Any number of them is harmless."""

    def __init__(self, engine: sa.Engine, bounds: Cache, *, every: float = _EVERY_SECONDS) -> None:
        self._engine = engine
        self._bounds = bounds
        self._every = every
        self._looked_at = float("-inf")

    def look(self) -> int:
        """How many answers were forgotten."""
        if time.monotonic() - self._looked_at < self._every:
            return 0
        self._looked_at = time.monotonic()
        bounds = self._bounds
        before = utc_now() - timedelta(days=bounds.days)
        gone = trim(self._engine, most_rows=bounds.rows, most_bytes=bounds.bytes, before=before)
        if gone:
            log.info("Kept answers were forgotten.", action="cache_trimmed", answers=gone)
        return gone
