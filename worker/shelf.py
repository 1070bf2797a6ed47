"""The shelf of warm pipelines of one slot: loaded when asked for, and put away where they are worth least.

Room is counted in bytes, measured when a pipeline is loaded and again in use, and is made before a load: what it
needed the last time it was loaded on this device, or an estimate from its files. What is worth least for its bytes
goes first (worker/worth.py), and never what is asked for now.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

from contract.logs import get_logger
from contract.pipelines import PipelineSpec
from worker.backends.backend import LoadedPipeline, OutOfMemory, Recent, Weighed, nothing_recent
from worker.backends.footprint import Rise
from worker.backends.registry import backend_for, configure_process
from worker.measures import Key, Measure, Measures
from worker.worth import Rule, Worth

log = get_logger(__name__)

#: Sizes are shown again when they differ from what was shown by more than so much of the room.
_WORTH_SHOWING = 0.01
#: The room is 80% of the memory, and an eighth of it half of the rest: a full shelf must not mean a row at a time.
_PASSES = 8


@dataclasses.dataclass(frozen=True)
class Place:
    """Where pipelines of this slot are loaded."""

    device: str
    threads: int
    cache: Path
    #: Bytes that warm pipelines may hold together.
    room: int


@dataclasses.dataclass(frozen=True)
class _Held:
    fingerprint: str
    pipeline: LoadedPipeline
    key: Key
    #: Bytes it brought besides those it knows of, such as its tokenizer.
    extra: int

    def size(self) -> int:
        return self.pipeline.nbytes() + self.extra


class Shelf:
    """`measures`: None remembers for this process only. `rule`: what goes first, None for worker.worth."""

    def __init__(
        self,
        place: Place,
        changed: Callable[[dict[str, int]], None],
        recent: Recent = nothing_recent,
        *,
        measures: Measures | None = None,
        rule: Rule | None = None,
    ) -> None:
        self._place = place
        self.recent = recent
        self._changed = changed
        self._measures = measures or Measures(None, place=place.device)
        self._rule = rule or Worth()
        self._held: dict[str, _Held] = {}
        self._weighed: dict[str, Weighed] = {}
        self._shown: dict[str, int] = {}
        self._configured = False

    def get(self, spec: PipelineSpec) -> tuple[LoadedPipeline, float]:
        """The warm pipeline, and the seconds its load took (0.0 when it was warm).

        Raises contract.errors.CheckpointError where it cannot be loaded.
        """
        fingerprint = spec.fingerprint()
        held, seconds = self._held.get(spec.name), 0.0
        if held is None or held.fingerprint != fingerprint:
            if held is not None:
                self.put_away(spec.name)
            held, seconds = self._load(spec, fingerprint)
        self._rule.asked(spec.name, size=held.size(), seconds=self._reload(held.key))
        if seconds:
            self._make_room(0, keep=spec.name)
            self._show()
            log.info("A pipeline is warm.", pipeline=spec.name, seconds=round(seconds, 2), bytes=held.size())
        return held.pipeline, seconds

    def is_warm(self, spec: PipelineSpec) -> bool:
        held = self._held.get(spec.name)
        return held is not None and held.fingerprint == spec.fingerprint()

    def holds(self, pipeline: LoadedPipeline) -> bool:
        """Whether a pipeline that was handed out has not been put away since."""
        return any(held.pipeline is pipeline for held in self._held.values())

    def has_room_for(self, spec: PipelineSpec, commit: str | None) -> bool:
        """Whether a cold pipeline can be loaded without putting any away. False for one never loaded on this device.

        `commit`: what it was loaded with last, by this process or one before; None: never.
        """
        weighed = self._weighed.get(spec.fingerprint())
        if weighed is not None:
            return self._over(self._needs(spec, weighed)) <= 0
        known = None if commit is None else self._measures.of(self._measures.key(spec, commit))
        return known is not None and self._over(known.needs) <= 0

    def sizes(self) -> dict[str, int]:
        return {name: held.size() for name, held in self._held.items()}

    def held(self) -> dict[str, LoadedPipeline]:
        """What is warm, by name."""
        return {name: held.pipeline for name, held in self._held.items()}

    def free(self) -> int:
        """Bytes that nothing warm holds."""
        return max(0, self._place.room - sum(self.sizes().values()))

    def settle(self, *, keep: str) -> None:
        """Put away what no longer fits since something grew in use, but not `keep`. Nothing may be baking."""
        for name in list(self._held):
            self._measures.grew(self._held[name].key, self._held[name].size())
        self._make_room(0, keep=keep)
        most = max((abs(size - self._shown.get(name, 0)) for name, size in self.sizes().items()), default=0)
        if most > _WORTH_SHOWING * self._place.room:
            self._show()

    def room_for_passes(self) -> int:
        """Bytes that microbatches may take: what is free, and a part of what is nobody's on a shelf that is full."""
        return max(self._place.room // _PASSES, self._place.room - sum(self.sizes().values()))

    def put_away(self, name: str) -> None:
        held = self._held.pop(name)
        self._measures.grew(held.key, held.size())
        held.pipeline.close()
        self._show()
        log.info("A pipeline was put away.", pipeline=name)

    def _load(self, spec: PipelineSpec, fingerprint: str) -> tuple[_Held, float]:
        weighed = self._weigh(spec, fingerprint)
        self._make_room(self._needs(spec, weighed))
        try:
            pipeline, measure = self._measured(spec, weighed)
        except OutOfMemory:
            # It needs more than was thought, or somebody else took the memory: all the room there is, then once more.
            for name in list(self._held):
                self.put_away(name)
            pipeline, measure = self._measured(spec, weighed)
        commit = pipeline.identity.commit
        self._weighed[fingerprint] = dataclasses.replace(weighed, commit=commit)
        key = self._measures.key(spec, commit)
        self._measures.loaded(key, measure)
        held = _Held(fingerprint, pipeline, key, extra=max(0, measure.sizes[-1] - pipeline.nbytes()))
        self._held[spec.name] = held
        return held, measure.seconds[-1]

    def _measured(self, spec: PipelineSpec, weighed: Weighed) -> tuple[LoadedPipeline, Measure]:
        """The loaded pipeline, and what its load took; of a GPU it says itself what it holds."""
        real = spec.backend != "fake"
        # The first load of a process brings in libraries as well, which are nobody's.
        counts = real and self._configured and self._place.device.startswith("cpu")
        if real and not self._configured:
            configure_process(self._place.threads, self._place.device)
            self._configured = True
        start = time.perf_counter()
        with Rise() if counts else contextlib.nullcontext() as rise:
            pipeline = backend_for(spec).load(
                spec, device=self._place.device, cache=self._place.cache, recent=self.recent
            )
        seconds, size = time.perf_counter() - start, pipeline.nbytes()
        if rise is None:
            return pipeline, Measure((size,), (max(size, weighed.nbytes),), (seconds,))
        size = max(size, rise.now)
        return pipeline, Measure((size,), (max(size, rise.peak),), (seconds,))

    def _weigh(self, spec: PipelineSpec, fingerprint: str) -> Weighed:
        if fingerprint not in self._weighed:
            self._weighed[fingerprint] = backend_for(spec).weigh(
                spec, device=self._place.device, cache=self._place.cache
            )
        return self._weighed[fingerprint]

    def _needs(self, spec: PipelineSpec, weighed: Weighed) -> int:
        """Bytes that must be free before a load: as measured, or as its files make one think."""
        known = self._measures.of(self._measures.key(spec, weighed.commit))
        return weighed.nbytes if known is None else known.needs

    def _reload(self, key: Key) -> float:
        known = self._measures.of(key)
        return 0.0 if known is None else known.reload

    def _over(self, needed: int) -> int:
        return sum(self.sizes().values()) + needed - self._place.room

    def _make_room(self, needed: int, *, keep: str | None = None) -> None:
        over = self._over(needed)
        if over > 0:
            held = {name: size for name, size in self.sizes().items() if name != keep}
            for name in self._rule.surplus(held, over=over):
                self.put_away(name)

    def _show(self) -> None:
        self._shown = self.sizes()
        self._changed(self._shown)
