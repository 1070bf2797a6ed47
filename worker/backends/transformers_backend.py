"""The real backend: checkpoints through transformers, on a CPU or a GPU.

`load` resolves the checkpoint, reads it, hands it to the task's class and bakes the catalogue's example, so that
a pipeline that is called warm has computed. A loaded pipeline only adds what all tasks share: inference mode, the
device's errors, and that one row's fault stays with its row.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from contract.errors import CheckpointError, ErrorCode, InputError
from contract.logs import get_logger
from contract.pipelines import PipelineSpec
from worker.backends import int8, onednn, packing, refusals, vocoders, weights
from worker.backends import onnx_runtime as runtime
from worker.backends.backend import Context, Identity, Inputs, LoadedPipeline, Parameters, Prepared, Recent, Weighed
from worker.backends.checkpoints import Checkpoint, resolve
from worker.backends.compiling import compile_passes, wants_compiling
from worker.backends.device import Peak, errors_translated, give_back, use_threads, weight_bytes
from worker.backends.fidelity import compare
from worker.backends.footprint import GROWTH
from worker.backends.media import example_inputs
from worker.backends.proof import seen
from worker.backends.tasks import TASKS
from worker.backends.tasks.task import EncoderTask, TaskModel

log = get_logger(__name__)

# What a tokenizer raises for a text it cannot take; MemoryError and the like are not a row's fault.
_TOKENIZER_ERRORS = (ValueError, TypeError, LookupError, UnicodeError, OverflowError)

#: Rows of a microbatch with which a quantized pipeline is compared.
_TOGETHER = 16


class TransformersBackend:
    def weigh(self, spec: PipelineSpec, *, device: str, cache: Path) -> Weighed:
        checkpoint = _checkpoint(spec, cache)
        graph = runtime.wants_graph(spec, TASKS[spec.task], device)
        size = weights.bytes_to_load(checkpoint.path, graph=graph)
        if int8.wants_int8(spec, TASKS[spec.task], device):
            # Its int8 layers and a copy of its embeddings, made beside the weights in float32.
            size += size // 2
        if checkpoint.vocoder is not None:
            size += weights.bytes_to_load(checkpoint.vocoder, graph=False)
        return Weighed(checkpoint.commit, size)

    def load(self, spec: PipelineSpec, *, device: str, cache: Path, recent: Recent) -> LoadedPipeline:
        """Also raises OutOfMemory where the weights do not fit beside what is loaded."""
        checkpoint = _checkpoint(spec, cache)
        kind = TASKS[spec.task]
        _check_installed(spec.task, kind)
        in_int8 = int8.wants_int8(spec, kind, device)
        peak = Peak(device)
        pipeline = _plain(spec, checkpoint, device)
        if wants_compiling(spec, kind):
            pipeline.compile_passes(cache)
        if runtime.wants_graph(spec, kind, device):
            pipeline.run_as_graph(runtime.Wish(spec.task, checkpoint.commit, spec.quantize, cache), recent)
        # Whoever names a way of attention gets that one and no other.
        pipeline.compute_faster(may_pack=spec.attention == "auto", in_int8=in_int8)
        if in_int8:
            pipeline.compute_in_int8(recent)
        pipeline.working_bytes = max(0, peak.bytes() - pipeline.nbytes())
        give_back()
        return pipeline


def _check_installed(task: str, kind: type[TaskModel]) -> None:
    if kind.package and not importlib.util.find_spec(kind.package):
        raise CheckpointError(
            ErrorCode.CHECKPOINT_MISSING,
            f"{task} needs the package {kind.package}; run pip install 'fournil[{kind.extra}]' on the worker.",
        )


def _checkpoint(spec: PipelineSpec, cache: Path) -> Checkpoint:
    adapter = Path(spec.adapter) if spec.adapter else None
    checkpoint = resolve(spec.model, revision=spec.revision, adapter=adapter, cache=cache)
    return vocoders.beside(checkpoint, spec.vocoder, cache=cache) if spec.vocoder else checkpoint


def _plain(spec: PipelineSpec, checkpoint: Checkpoint, device: str) -> TransformersPipeline:
    """Loaded and proven, and computed by torch as the library does."""
    kind = TASKS[spec.task]
    wanted = weights.Wanted(
        spec.task,
        kind.auto_class,
        kind.optional,
        kind.or_classes,
        kind.processor_class,
        may_be_blind=kind.may_be_blind,
        model_types=kind.model_types,
        filmed_types=kind.filmed_types,
    )
    with errors_translated():
        loaded = weights.load(
            checkpoint.path,
            wanted,
            dtype=spec.dtype,
            device=device,
            max_tokens=spec.max_tokens,
            attention=spec.attention,
        )
        if checkpoint.vocoder is not None:
            vocoder = vocoders.load(checkpoint.vocoder, dtype=loaded.model.dtype, device=device)
            loaded = dataclasses.replace(loaded, vocoder=vocoder)
        pipeline = TransformersPipeline(loaded, kind(loaded), checkpoint, spec)
    pipeline.prove()
    return pipeline


class TransformersPipeline:
    def __init__(self, loaded: weights.Loaded, task: TaskModel, checkpoint: Checkpoint, spec: PipelineSpec) -> None:
        dtype = str(loaded.model.dtype).removeprefix("torch.")
        self.identity = Identity(id=checkpoint.id, commit=checkpoint.commit, dtype=dtype, backend="torch")
        self.fidelity: dict[str, Any] | None = None
        self.example: tuple[Prepared, Parameters] | None = None
        #: What proved it, and the parameters that stand for a caller's who sends none.
        self._proof: tuple[Prepared, Parameters] | None = None
        self._usual: Parameters = {}
        self.side_by_side = isinstance(task, EncoderTask) and loaded.model.device.type == "cpu"
        self.padding = 1.0
        self.usual_budget = task.usual_budget
        self.to_compare = task.to_compare
        self._threads = torch.get_num_threads()
        self._checkpoint = checkpoint
        self._spec = spec
        self._device = str(loaded.model.device)
        #: What the example, or a microbatch since, needed on a GPU beyond the weights.
        self.working_bytes = 0
        self._loaded: weights.Loaded | None = loaded
        self._task: TaskModel | None = task

    def prove(self) -> None:
        """Bake the catalogue's example; raise CheckpointError where it is refused."""
        spec = self._spec
        example = spec.catalogue.example
        # Cut, because max_tokens may be less than the example has.
        parameters = {**spec.effective(dict(example["parameters"])), "truncation": True}
        inputs, parameters = self._computing.example(example_inputs(spec.catalogue), parameters)
        self._usual = {**parameters, **spec.effective({}), "truncation": True}
        [answer] = self.prepare([inputs], parameters)
        if isinstance(answer, Prepared):
            self._proof = (answer, parameters)
            self.example = self._proof if self._computing.rehearses else None
            [answer] = self.bake([answer], parameters, Context())
        if isinstance(answer, InputError):
            raise weights.corrupt(f"This pipeline cannot do the example of its task. {answer.message}")

    def compile_passes(self, cache: Path) -> None:
        """Compute with compiled passes from here on."""
        assert self._loaded is not None
        assert self.example is not None
        row, parameters = self.example
        compile_passes(self._loaded.model, cache, lambda rows: self.bake([row] * rows, parameters, Context()))
        self.identity = dataclasses.replace(self.identity, backend="torch-compiled")

    def run_as_graph(self, wish: runtime.Wish, recent: Recent) -> None:
        """Compute with ONNX Runtime from here on. Where it cannot, torch goes on, unless the operator insists."""
        task, spec = self._computing, self._spec
        assert isinstance(task, EncoderTask)
        assert self._loaded is not None
        try:
            graph = runtime.graph_of(self._loaded.model, task, wish)
        except runtime.NotExportable as error:
            if spec.backend == "onnx" or spec.quantize != "none":
                raise weights.corrupt(f"It cannot run on ONNX Runtime: {error}. Take the backend torch.") from error
            log.warning("A pipeline runs on torch.", pipeline=spec.name, reason=str(error))
            return

        def change() -> None:
            task.compute_with(graph)
            self._loaded = dataclasses.replace(loaded, model=graph)
            self.identity = dataclasses.replace(self.identity, backend="onnx", dtype=graph.dtype)

        loaded = self._loaded
        if spec.quantize == "none":
            change()
        else:
            self._change_and_compare(change, recent)
        give_back()

    def compute_in_int8(self, recent: Recent) -> None:
        """Compute with int8 layers on torch from here on."""
        loaded, fine = self._loaded, self._computing.int8_bytes > 1
        assert loaded is not None

        def change() -> None:
            int8.compute_in_int8(loaded.model, fine=fine)
            self.identity = dataclasses.replace(self.identity, dtype="int8")

        try:
            self._change_and_compare(change, recent)
        except (RuntimeError, TypeError, AttributeError, NotImplementedError) as error:
            log.exception("A model could not compute in int8.", pipeline=self._spec.name)
            raise weights.corrupt(
                "It cannot compute in int8; the worker's log says why. Take quantize out."
            ) from error
        give_back()

    def compute_faster(self, *, may_pack: bool, in_int8: bool) -> None:
        """What torch computes on a CPU goes through oneDNN where that is faster, and an encoder's without padding.

        `in_int8`: its layers will be, so that they need no other way to be multiplied.
        """
        task = self._computing
        if self.identity.backend != "torch" or self._loaded is None:
            return
        if not isinstance(task, EncoderTask):
            if in_int8:
                return
            onednn.multiply_faster(self._loaded.model, lambda: task.trial(runtime.SENTENCES), passes=onednn.WRITING)
            return
        model, reads = task.encoder.model, task.encoder.reads
        batches = [batch for batch in runtime.sentences_for(task) if batch]
        if not in_int8:
            onednn.multiply_faster(model, lambda: [seen(reads(model(**batch)), batch) for batch in batches])
        if may_pack and packing.pack(model, batches, reads=reads):
            self.padding = packing.price_of_padding(model)

    def _change_and_compare(self, change: Callable[[], None], recent: Recent) -> None:
        """Change how it computes, and say how far off it is since: on what people sent, or on the example."""
        assert self._proof is not None
        rows, parameters = self._ready(recent(self._spec.name, self.to_compare))
        are_recent = len(rows) > 1
        if not are_recent:
            rows, parameters = [self._proof[0]], self._computing.comparing(self._proof[1])
        exact = self._together(rows, parameters)
        change()
        self.fidelity = compare(exact, self._together(rows, parameters), recent=are_recent)

    def exact(self, *, room: int) -> LoadedPipeline | None:
        if self.fidelity is None or weights.bytes_to_load(self._checkpoint.path, graph=False) > room:
            return None
        spec = dataclasses.replace(self._spec, quantize="none", backend="torch")
        return _plain(spec, self._checkpoint, self._device)

    def compared(self, rows: Sequence[Inputs]) -> list[Any | InputError]:
        return self._together(*self._ready(rows[: self.to_compare]))

    def _ready(self, rows: Sequence[Inputs]) -> tuple[list[Prepared], Parameters]:
        """Those of these rows that can be baked, with the parameters to compare them with."""
        parameters = self._computing.comparing(self._usual)
        return [row for row in self.prepare(rows, parameters) if isinstance(row, Prepared)], parameters

    def _together(self, rows: Sequence[Prepared], parameters: Parameters) -> list[Any | InputError]:
        # Several at a time, as rows are baked: ONNX Runtime scales a whole microbatch by its largest activation.
        groups = [rows[start : start + _TOGETHER] for start in range(0, len(rows), _TOGETHER)]
        return [answer for group in groups for answer in self.bake(group, parameters, Context())]

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
        use_threads(max(1, self._threads // context.share))
        peak = Peak(self._device)
        with GROWTH.of(self), errors_translated(), torch.inference_mode():
            answers = self._computing.bake(rows, parameters, context)
        self.working_bytes = max(self.working_bytes, peak.bytes())
        return answers

    def overhead(self, parameters: Parameters) -> int | None:
        return self._computing.overhead(parameters)

    def repeats(self, row: Inputs, parameters: Parameters) -> bool:  # noqa: ARG002 - the same for all rows of a task
        return not self._computing.draws(parameters)

    @property
    def token_bytes(self) -> int:
        if isinstance(self._task, EncoderTask):
            return self._task.encoder.token_bytes
        return 0 if self._task is None else self._task.token_bytes

    def nbytes(self) -> int:
        if self._loaded is None:
            return 0
        grown = GROWTH.bytes(self) if self._device == "cpu" else self.working_bytes
        return sum(map(weight_bytes, self._loaded.parts)) + grown

    def close(self) -> None:
        self._loaded = self._task = None
        give_back()
        GROWTH.forget(self)
