"""When a pipeline runs on ONNX Runtime in the place of torch, and how it gets there."""

from __future__ import annotations

from typing import Any

from contract.errors import CheckpointError, ErrorCode
from contract.pipelines import PipelineSpec
from worker.backends.onnx_model import NotExportable, OnnxModel, Wish, as_graph, offered
from worker.backends.proof import Batch
from worker.backends.tasks.task import EncoderTask, TaskModel

__all__ = ["SENTENCES", "NotExportable", "Wish", "graph_of", "sentences_for", "wants_graph"]

SENTENCES = (
    "The crust was perfect and the crumb still warm.",
    "Late.",
    (
        "We waited for an hour in the rain, and when the door opened at last there was nothing left but two rolls of "
        "yesterday and a smile, which we took because it was free."
    ),
)


def wants_graph(spec: PipelineSpec, kind: type[TaskModel], device: str) -> bool:
    """Raises CheckpointError where the operator asks for what cannot be."""
    if spec.backend == "torch":
        return False
    asked = spec.backend == "onnx" or spec.quantize != "none"
    fits = issubclass(kind, EncoderTask) and device.startswith("cpu") and spec.dtype in ("auto", "float32")
    if asked and not fits:
        raise _refused(
            "ONNX Runtime runs encoders in float32 on a CPU here. Take backend and quantize out; with "
            'backend = "torch" int8 is for what writes, too.'
        )
    if asked and spec.attention != "auto":
        raise _refused('attention is for torch: take it out, or take backend = "torch" and no quantize.')
    if asked and not offered():
        raise _refused("ONNX Runtime is not installed on this worker; run pip install 'fournil[onnx]'.")
    for_torch = spec.compile or spec.attention != "auto"
    return not for_torch and fits and offered()


def graph_of(model: Any, task: EncoderTask, wish: Wish) -> OnnxModel:
    """The proven graph of a task's model; raises NotExportable."""
    batches = sentences_for(task)
    if not all(len(batch) for batch in batches):
        raise NotExportable("its tokenizer does not take plain sentences")
    return as_graph(model, batches, wish, task.encoder.reads, task.shown)


def sentences_for(task: EncoderTask) -> list[Batch]:
    """Real sentences of several lengths as a task's model takes them, to prove it on; padded, and alone."""
    return [task.encoder.batch(chosen) for chosen in (SENTENCES[:2], SENTENCES[1:2], SENTENCES)]


def _refused(sentence: str) -> CheckpointError:
    return CheckpointError(ErrorCode.CHECKPOINT_CORRUPT, sentence)
