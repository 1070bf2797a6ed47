"""The real backend: checkpoints through transformers, on a CPU or a GPU.

`load` resolves the checkpoint, reads it, hands it to the task's class and bakes the catalogue's example, so that
a pipeline that is called warm has computed. A loaded pipeline only adds what all tasks share: inference mode, the
device's errors, and that one row's fault stays with its row.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from contract.errors import InputError
from contract.pipelines import PipelineSpec
from worker.backends import refusals, weights
from worker.backends.backend import Context, Identity, Inputs, LoadedPipeline, Parameters, Prepared
from worker.backends.checkpoints import Checkpoint, resolve
from worker.backends.device import Peak, errors_translated, give_back, weight_bytes
from worker.backends.tasks import TASKS
from worker.backends.tasks.task import TaskModel

# What a tokenizer raises for a text it cannot take; MemoryError and the like are not a row's fault.
_TOKENIZER_ERRORS = (ValueError, TypeError, LookupError, UnicodeError, OverflowError)


class TransformersBackend:
    def load(self, spec: PipelineSpec, *, device: str, cache: Path) -> LoadedPipeline:
        """Also raises OutOfMemory where the weights do not fit beside what is loaded."""
        checkpoint = resolve(
            spec.model,
            revision=spec.revision,
            adapter=Path(spec.adapter) if spec.adapter else None,
            cache=cache,
        )
        kind = TASKS[spec.task]
        wanted = weights.Wanted(spec.task, kind.auto_class, kind.optional)
        peak = Peak(device)
        with errors_translated():
            loaded = weights.load(
                checkpoint.path, wanted, dtype=spec.dtype, device=device, max_tokens=spec.max_tokens
            )
            pipeline = TransformersPipeline(loaded, kind(loaded), _identity(checkpoint, loaded))
        pipeline.prove(spec)
        pipeline.working_bytes = max(0, peak.bytes() - weight_bytes(loaded.model))
        return pipeline


class TransformersPipeline:
    def __init__(self, loaded: weights.Loaded, task: TaskModel, identity: Identity) -> None:
        self.identity = identity
        self.example: tuple[Prepared, Parameters] | None = None
        #: What the example needed on the device beyond the weights.
        self.working_bytes = 0
        self._loaded: weights.Loaded | None = loaded
        self._task: TaskModel | None = task

    def prove(self, spec: PipelineSpec) -> None:
        """Bake the catalogue's example; raise CheckpointError where it is refused."""
        example = spec.catalogue.example
        # Cut, because max_tokens may be less than the example has.
        parameters = {**spec.effective(dict(example["parameters"])), "truncation": True}
        inputs, parameters = self._computing.example(dict(example["inputs"]), parameters)
        [answer] = self.prepare([inputs], parameters)
        if isinstance(answer, Prepared):
            self.example = (answer, parameters) if self._computing.rehearses else None
            [answer] = self.bake([answer], parameters, Context())
        if isinstance(answer, InputError):
            raise weights.corrupt(f"This pipeline cannot do the example of its task. {answer.message}")

    @property
    def _computing(self) -> TaskModel:
        if self._task is None:
            raise RuntimeError("this pipeline is closed")
        return self._task

    def prepare(self, rows: Sequence[Inputs], parameters: Parameters) -> list[Prepared | InputError]:
        if not rows:
            return []
        with errors_translated():
            try:
                return self._computing.prepare(rows, parameters)
            except _TOKENIZER_ERRORS:
                return [self._prepare_alone(row, parameters) for row in rows]

    def _prepare_alone(self, row: Inputs, parameters: Parameters) -> Prepared | InputError:
        try:
            return self._computing.prepare([row], parameters)[0]
        except _TOKENIZER_ERRORS:
            return refusals.unreadable()

    def bake(self, rows: Sequence[Prepared], parameters: Parameters, context: Context) -> list[Any | InputError]:
        if not rows:
            return []
        with errors_translated(), torch.inference_mode():
            return self._computing.bake(rows, parameters, context)

    def nbytes(self) -> int:
        return 0 if self._loaded is None else weight_bytes(self._loaded.model) + self.working_bytes

    def close(self) -> None:
        self._loaded = self._task = None
        give_back()


def _identity(checkpoint: Checkpoint, loaded: weights.Loaded) -> Identity:
    dtype = str(loaded.model.dtype).removeprefix("torch.")
    return Identity(id=checkpoint.id, commit=checkpoint.commit, dtype=dtype, backend="transformers")
