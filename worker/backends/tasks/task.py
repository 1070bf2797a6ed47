"""What a task adds to the transformers backend: one class that knows how its rows are computed.

A class is one instance a loaded pipeline. Its constructor raises CheckpointError where the checkpoint cannot do
the task; `prepare` and `bake` are those of LoadedPipeline, without the device's errors.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import torch

from contract.errors import InputError
from worker.backends.backend import UNMEASURED, Context, Inputs, Parameters, Prepared
from worker.backends.choosing import samples, undrawn
from worker.backends.encoder import Encoder, Encoding
from worker.backends.proof import Batch
from worker.backends.weights import Loaded
from worker.backends.writing import COMPARED, STEP, TOKENS_COMPARED

Example = tuple[Inputs, Parameters]
Answer = Any | InputError


class TaskModel(ABC):
    #: The class of transformers that loads the checkpoint.
    auto_class: ClassVar[str]
    #: Further ones, for architectures that it does not know.
    or_classes: ClassVar[tuple[str, ...]] = ()
    #: The class of transformers that prepares pictures; None for a task of texts.
    processor_class: ClassVar[str | None] = None
    #: Whether a checkpoint may do without one, and have a tokenizer alone.
    may_be_blind: ClassVar[bool] = False
    #: Parts of weight names that may be missing from the checkpoint.
    optional: ClassVar[tuple[str, ...]] = ()

    #: The only types of configuration that can do the task, where its class loads nearly all.
    model_types: ClassVar[tuple[str, ...]] = ()
    #: Further ones, whose inputs are videos to the library and are prepared with torchvision.
    filmed_types: ClassVar[tuple[str, ...]] = ()

    #: A package that its checkpoints need besides torch and transformers, and the extra of Fournil that brings it.
    package: ClassVar[str | None] = None
    extra: ClassVar[str] = ""

    #: Whether baking its example over and over says what its microbatches cost.
    rehearses: ClassVar[bool] = True
    #: Padded tokens of a microbatch, where they are not measured.
    usual_budget: ClassVar[int] = UNMEASURED
    #: Bytes of an activation where its linear layers are computed in int8: 1, or 2 for what reads again what it
    #: wrote; 0: they cannot be.
    int8_bytes: ClassVar[int] = 0
    #: Inputs to compare two ways of computing it on: enough to see one label in a hundred change.
    to_compare: ClassVar[int] = 100
    #: Bytes that each padded token holds on the device while it is baked; 0 where that is not what runs out.
    token_bytes: int = 0

    @abstractmethod
    def __init__(self, loaded: Loaded) -> None: ...

    def example(self, inputs: Inputs, parameters: Parameters) -> Example:
        """The catalogue's example as this checkpoint can run it."""
        return inputs, parameters

    def draws(self, parameters: Parameters) -> bool:
        """Whether equal rows may get different answers."""
        return False

    def comparing(self, parameters: Parameters) -> Parameters:
        """The same, such that two ways of computing it can be compared in a moment: nothing drawn, little written."""
        return parameters

    def overhead(self, parameters: Parameters) -> int | None:
        """What a microbatch costs besides its tokens, in tokens; None where that is measured."""
        return None

    def trial(self, texts: Sequence[str]) -> list[torch.Tensor]:
        """Scores that must stay the same however the model is computed; none where no pass over texts says it all."""
        return []

    @abstractmethod
    def prepare(self, rows: Sequence[Inputs], parameters: Parameters) -> list[Prepared | InputError]: ...

    @abstractmethod
    def bake(self, rows: Sequence[Prepared], parameters: Parameters, context: Context) -> list[Answer]: ...


class EncoderTask(TaskModel):
    """A task whose forward passes are an encoder's, and can be another runtime's."""

    int8_bytes = 1
    encoder: Encoder

    def shown(self, found: torch.Tensor, batch: Batch) -> torch.Tensor:
        """What callers see of what is read of a model, in a microbatch: scores here, whatever is done with them."""
        return found.softmax(dim=-1)

    def compute_with(self, model: Any) -> None:
        """Take another model from here on; nothing may hold the first one afterwards."""
        self.encoder.compute_with(model)


class WritingTask(TaskModel):
    """A task whose rows are texts that a language model writes, all of a microbatch together."""

    # What it writes decides what it costs, and the example writes next to nothing.
    rehearses = False
    # Each pass reads all weights whatever the number of rows, so many rows together: 30 of 256 tokens.
    usual_budget = 8192
    int8_bytes = 2
    to_compare = COMPARED

    def draws(self, parameters: Parameters) -> bool:
        return samples(parameters)

    def comparing(self, parameters: Parameters) -> Parameters:
        most = min(TOKENS_COMPARED, self.most(parameters))
        return {**undrawn(parameters), "max_new_tokens": most, "min_new_tokens": 0, "num_return_sequences": 1}

    def overhead(self, parameters: Parameters) -> int:
        return STEP * self.most(parameters)

    @abstractmethod
    def most(self, parameters: Parameters) -> int:
        """New tokens of one text at most."""


def one_sequence(encodings: Sequence[Encoding | InputError]) -> list[Prepared | InputError]:
    """Rows of one sequence each, whose payload is its encoding."""
    return [
        encoding if isinstance(encoding, InputError) else Prepared(encoding, len(encoding["input_ids"]))
        for encoding in encodings
    ]


def many_sequences(encodings: Sequence[Encoding | InputError]) -> Prepared | InputError:
    """One row of several sequences; refused for the first of them that is."""
    good: list[Encoding] = []
    for encoding in encodings:
        if isinstance(encoding, InputError):
            return encoding
        good.append(encoding)
    return Prepared(good, max(len(encoding["input_ids"]) for encoding in good), len(good))


def spans(counts: Iterable[int]) -> list[slice]:
    """Where each row's sequences lie among all of them."""
    ends = list(itertools.accumulate(counts, initial=0))
    return [slice(start, end) for start, end in itertools.pairwise(ends)]


def refuse_all(rows: Sequence[Inputs], refusal: InputError) -> list[Prepared | InputError]:
    """For a parameter that this model cannot do: equal for all rows of a lane."""
    return [refusal for _ in rows]
