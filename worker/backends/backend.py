"""What the worker asks of a backend: the whole border between Fournil and a machine-learning library.

    weigh     what a load would take, before it is begun
    load      a pipeline's checkpoint onto the device, and prove it with a forward pass
    prepare   decode and tokenize rows: what each costs, or why it cannot be served
    bake      one forward pass over prepared rows of one lane: an answer each, in order
    nbytes    what it holds on the device
    close     give that back

A backend is a leaf: the rest of the worker never imports torch or transformers. The fake one obeys the same
contract test as the real ones (tests/integration/test_backend_contract.py).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Protocol

from contract.errors import InputError
from contract.pipelines import PipelineSpec

Inputs = dict[str, Any]
Parameters = dict[str, Any]

#: Padded tokens of a microbatch where nothing is known: right for small encoders on two cores, harmless elsewhere.
UNMEASURED = 1024


class OutOfMemory(Exception):
    """The microbatch did not fit; a smaller one may. Also stands for MemoryError, which kills a Celery node."""


class DeviceLost(Exception):
    """The device context is dead (a CUDA assert, an illegal access): only a new process helps."""


@dataclasses.dataclass(frozen=True)
class Identity:
    """What produced a result: stamped on every one."""

    id: str
    commit: str
    dtype: str
    backend: str


@dataclasses.dataclass(frozen=True)
class Prepared:
    """One row, ready for a forward pass. Only the backend that made it looks into `payload`."""

    payload: Any
    #: Length of its longest sequence, in tokens (or pixels, or samples).
    length: int
    #: Sequences it brings into the forward pass: candidate labels, sentences, windows.
    sequences: int = 1


@dataclasses.dataclass(frozen=True)
class Binary:
    """A file in a result. It is encoded and stored where the result is recorded, beside the next microbatch."""

    name: str
    content_type: str
    encode: Callable[[], bytes]


@dataclasses.dataclass(frozen=True)
class WithFiles:
    """A result that holds a Binary somewhere; the rest of it is as JSON-ready as any."""

    result: Any


@dataclasses.dataclass(frozen=True)
class Context:
    """What a forward pass may ask and tell while it runs, about rows by their job's id."""

    job_ids: Sequence[str] = ()
    #: Which of these are still wanted. Asking also says that the pass goes on.
    wanted: Callable[[Sequence[str]], Collection[str]] = lambda job_ids: job_ids
    #: New words of a text that is being written.
    publish: Callable[[str, str], None] = lambda _job, _text: None
    #: A row's answer, when others of its microbatch take longer. `bake` returns it too.
    done: Callable[[str, Any], None] = lambda _job, _answer: None
    #: Forward passes that run at once and divide the slot's threads among them.
    share: int = 1


@dataclasses.dataclass(frozen=True)
class Weighed:
    """What a pipeline would load."""

    #: Exactly which weights, as Identity has it.
    commit: str
    #: Bytes the load is thought to need while it goes on, weights and all.
    nbytes: int


class LoadedPipeline(Protocol):
    identity: Identity
    #: A prepared row and its parameters that stand for usual ones, to measure with; None: measuring makes no sense.
    example: tuple[Prepared, Parameters] | None
    #: Whether several threads may bake at once, and it is faster so.
    side_by_side: bool
    #: What a token of padding costs beside a real one: 1.0 but where passes leave it out.
    padding: float
    #: Padded tokens of a microbatch where `example` is None.
    usual_budget: int
    #: How many inputs `compared` answers at most.
    to_compare: int
    #: How far its results are from float32's (worker.backends.fidelity); None where they are the same.
    fidelity: dict[str, Any] | None

    def prepare(self, rows: Sequence[Inputs], parameters: Parameters) -> list[Prepared | InputError]:
        """One entry a row, in order: ready, or an InputError that says what its caller must change.

        `parameters` are the effective ones (PipelineSpec.effective), equal for all rows. Never raises for a
        row's fault.
        """
        ...

    def bake(self, rows: Sequence[Prepared], parameters: Parameters, context: Context) -> list[Any | InputError]:
        """One forward pass; a JSON-ready result (plain Python, finite floats), WithFiles or an InputError a row.

        Raises OutOfMemory when a smaller microbatch may fit, DeviceLost when nothing will, anything else when
        some row of these breaks it: the caller then runs them in halves.
        """
        ...

    def overhead(self, parameters: Parameters) -> int | None:
        """What a pass with these parameters costs besides its tokens, in tokens; None: as its budget measured."""
        ...

    def repeats(self, row: Inputs, parameters: Parameters) -> bool:
        """Whether this row's answer is that of every equal row: nothing is drawn, and nothing else comes of it."""
        ...

    def exact(self, *, room: int) -> LoadedPipeline | None:
        """Its twin in float32, to compare with and to close soon; None where it is exact, or `room` bytes too few."""
        ...

    def compared(self, rows: Sequence[Inputs]) -> list[Any | InputError]:
        """What it answers to inputs by its own parameters, of the first few and cut short where it writes: such that
        two ways of computing a pipeline can be compared in a moment. One entry for each that it can take.
        """
        ...

    @property
    def token_bytes(self) -> int:
        """Bytes that each padded token of a microbatch holds at most while it is baked; 0: never mind.

        Keys and values of a text that is written; what goes from layer to layer of an encoder.
        """
        ...

    def nbytes(self) -> int:
        """Measured bytes held on the device (or in memory, for the CPU): weights, and the growth seen in use."""
        ...

    def close(self) -> None: ...


#: Up to so many inputs that a pipeline was sent last; asked only where something is to be measured on them.
Recent = Callable[[str, int], list[Inputs]]


def nothing_recent(_pipeline: str, _count: int) -> list[Inputs]:
    """Nobody sent anything yet."""
    return []


class Backend(Protocol):
    def weigh(self, spec: PipelineSpec, *, device: str, cache: Path) -> Weighed:
        """Find the checkpoint, fetched or converted where that is needed, and load nothing of it.

        Raises contract.errors.CheckpointError as `load` does.
        """
        ...

    def load(self, spec: PipelineSpec, *, device: str, cache: Path, recent: Recent) -> LoadedPipeline:
        """Load and run the task's example once; raises contract.errors.CheckpointError with a safe message."""
        ...
