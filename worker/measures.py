"""What pipelines weighed and how long they took to load, kept in the data directory: room is made before a load.

One small file for each (device, task, commit) and what was asked for: dtype, backend, quantization, longest input,
compiled or not. A damaged file is measured anew.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from pathlib import Path
from typing import Any

from contract.jsons import dumps, loads
from contract.logs import get_logger
from contract.pipelines import PipelineSpec

log = get_logger(__name__)

#: Loads that are remembered: what only the first one needs (an export, a cold disk) is forgotten after three.
_KEPT = 3
#: A size is written again when it differs by more.
_WORTH_KEEPING = 0.02

Key = dict[str, str]


@dataclasses.dataclass(frozen=True)
class Measure:
    """The last few loads of a pipeline, newest last."""

    #: Bytes it held at the end of its time on the shelf, or so far.
    sizes: tuple[int, ...]
    #: Most bytes it held while it was loaded.
    peaks: tuple[int, ...]
    #: Seconds each load took.
    seconds: tuple[float, ...]

    @property
    def needs(self) -> int:
        """Bytes that must be free before it is loaded."""
        return max((*self.sizes, *self.peaks))

    @property
    def reload(self) -> float:
        """Seconds of a load: whatever disturbs one only makes it longer."""
        return min(self.seconds)

    def grown(self, size: int) -> Measure:
        """The same with another size for the newest load."""
        return dataclasses.replace(self, sizes=(*self.sizes[:-1], size))

    def then(self, other: Measure) -> Measure:
        """This, and another load after it."""
        return Measure(
            (self.sizes + other.sizes)[-_KEPT:],
            (self.peaks + other.peaks)[-_KEPT:],
            (self.seconds + other.seconds)[-_KEPT:],
        )


class Measures:
    """`folder`: None remembers for this process only. `place`: the device."""

    def __init__(self, folder: Path | None, *, place: str) -> None:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._place = place
        self._known: dict[str, Measure] = {}

    def key(self, spec: PipelineSpec, commit: str) -> Key:
        key = {
            "place": self._place, "task": spec.task, "commit": commit, "dtype": spec.dtype,
            "backend": spec.backend, "quantize": spec.quantize, "max_tokens": str(spec.max_tokens),
        }  # fmt: skip
        # A compiler takes a minute and much memory, neither of which the same weights need without it.
        return {**key, "compile": "true"} if spec.compile else key

    def of(self, key: Key) -> Measure | None:
        """What is known of a pipeline; None before its first load on this device."""
        name = _name(key)
        if name not in self._known and (kept := self._read(name)) is not None:
            self._known[name] = kept
        return self._known.get(name)

    def loaded(self, key: Key, measure: Measure) -> None:
        """It was loaded once more."""
        before = self.of(key)
        self._keep(key, measure if before is None else before.then(measure))

    def grew(self, key: Key, size: int) -> None:
        """It holds so many bytes now."""
        before = self.of(key)
        if before is not None and abs(size - before.sizes[-1]) > before.sizes[-1] * _WORTH_KEEPING:
            self._keep(key, before.grown(size))

    def _keep(self, key: Key, measure: Measure) -> None:
        name = _name(key)
        self._known[name] = measure
        if self._folder is None:
            return
        file = self._folder / name
        mine = file.with_suffix(f".{os.getpid()}")
        try:
            mine.write_text(dumps({"key": key, **dataclasses.asdict(measure)}))
            mine.replace(file)
        except OSError as error:
            # A full disk is no fault of the pipeline that was just loaded, and this process knows all the same.
            log.warning("A measure could not be kept.", task=key["task"], error=repr(error))

    def _read(self, name: str) -> Measure | None:
        if self._folder is None:
            return None
        try:
            kept = loads((self._folder / name).read_bytes())
            sizes, peaks, seconds = (_some(kept[name]) for name in ("sizes", "peaks", "seconds"))
            return Measure(_whole(sizes), _whole(peaks), tuple(float(value) for value in seconds))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None


def _some(values: list[Any]) -> list[Any]:
    if not values:
        raise ValueError("nothing was measured")
    return values


def _whole(values: list[Any]) -> tuple[int, ...]:
    return tuple(int(value) for value in values)


def _name(key: Key) -> str:
    return f"{hashlib.sha256(dumps(key).encode()).hexdigest()[:24]}.json"
