"""The shelf of warm pipelines of one slot: loaded when asked for, and put away least recently used first.

Room is counted in measured bytes, not in pipelines.
"""

from __future__ import annotations

import dataclasses
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from contract.logs import get_logger
from contract.pipelines import PipelineSpec
from worker.backends.backend import LoadedPipeline, OutOfMemory, Recent, nothing_recent
from worker.backends.registry import backend_for, configure_process

log = get_logger(__name__)


@dataclasses.dataclass(frozen=True)
class Place:
    """Where pipelines of this slot are loaded."""

    device: str
    threads: int
    cache: Path
    #: Bytes that warm pipelines may hold together.
    room: int


class Shelf:
    def __init__(
        self, place: Place, changed: Callable[[dict[str, int]], None], recent: Recent = nothing_recent
    ) -> None:
        self._place = place
        self._recent = recent
        self._changed = changed
        self._loaded: OrderedDict[str, tuple[str, LoadedPipeline]] = OrderedDict()
        # Measured at the last load: what to make room for before the next one.
        self._sizes: dict[str, int] = {}
        self._configured = False

    def get(self, spec: PipelineSpec) -> tuple[LoadedPipeline, float]:
        """The warm pipeline, and the seconds its load took (0.0 when it was warm).

        Raises contract.errors.CheckpointError where it cannot be loaded.
        """
        fingerprint = spec.fingerprint()
        held = self._loaded.get(spec.name)
        if held is not None and held[0] == fingerprint:
            self._loaded.move_to_end(spec.name)
            return held[1], 0.0
        if held is not None:
            self.put_away(spec.name)
        start = time.perf_counter()
        pipeline = self._load_with_room(spec, fingerprint)
        seconds = time.perf_counter() - start
        self._sizes[fingerprint] = pipeline.nbytes()
        self._loaded[spec.name] = (fingerprint, pipeline)
        self._make_room(0, keep=spec.name)
        self._changed(self.sizes())
        log.info("A pipeline is warm.", pipeline=spec.name, seconds=round(seconds, 2), bytes=pipeline.nbytes())
        return pipeline, seconds

    def is_warm(self, spec: PipelineSpec) -> bool:
        held = self._loaded.get(spec.name)
        return held is not None and held[0] == spec.fingerprint()

    def sizes(self) -> dict[str, int]:
        return {name: pipeline.nbytes() for name, (_, pipeline) in self._loaded.items()}

    def room_left(self) -> int:
        """Bytes beside the warm pipelines."""
        return max(0, self._place.room - sum(self.sizes().values()))

    def put_away(self, name: str) -> None:
        _, pipeline = self._loaded.pop(name)
        pipeline.close()
        self._changed(self.sizes())
        log.info("A pipeline was put away.", pipeline=name)

    def _load_with_room(self, spec: PipelineSpec, fingerprint: str) -> LoadedPipeline:
        self._make_room(self._sizes.get(fingerprint, 0), keep=None)
        try:
            return self._load(spec)
        except OutOfMemory:
            # Its size was not known, or somebody else took the memory: all the room there is, then once more.
            for name in list(self._loaded):
                self.put_away(name)
            return self._load(spec)

    def _load(self, spec: PipelineSpec) -> LoadedPipeline:
        if spec.backend != "fake" and not self._configured:
            configure_process(self._place.threads, self._place.device)
            self._configured = True
        return backend_for(spec).load(spec, device=self._place.device, cache=self._place.cache, recent=self._recent)

    def _make_room(self, needed: int, *, keep: str | None) -> None:
        while self._loaded and sum(self.sizes().values()) + needed > self._place.room:
            oldest = next(iter(self._loaded))
            if oldest == keep:
                # It is larger than the room alone: it runs, and nothing else stays warm beside it.
                return
            self.put_away(oldest)
