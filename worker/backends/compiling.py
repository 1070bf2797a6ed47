"""`compile = true`: a torch model whose passes are compiled for this machine by torch's own compiler.

On two cores it bakes MiniLM 5 to 10% faster for a first load that takes a minute longer; on a GPU it saves more. What
was compiled is kept in the data directory.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contract.errors import CheckpointError, ErrorCode
from contract.logs import get_logger
from contract.pipelines import PipelineSpec
from worker.backends.tasks.task import EncoderTask, TaskModel

log = get_logger(__name__)

#: Rows of the passes that are compiled at the load; torch compiles one row apart from several.
ROWS = (1, 3)


def wants_compiling(spec: PipelineSpec, kind: type[TaskModel]) -> bool:
    """Raises CheckpointError where the operator asks for what cannot be."""
    if not spec.compile:
        return False
    if not issubclass(kind, EncoderTask):
        raise _refused(f"compile is for encoders, and {spec.task} is none. Take it out.")
    if spec.backend == "onnx" or spec.quantize != "none":
        raise _refused('compile needs backend = "torch" and no quantize. Take one of them out.')
    return True


def compile_passes(model: Any, cache: Path, bake: Callable[[int], Any]) -> None:
    """Compile `model` in place, by calling `bake` with numbers of rows; raises CheckpointError where it cannot be."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache / "compiled"))
    model.compile(dynamic=True)
    try:
        for rows in ROWS:
            bake(rows)
    except CheckpointError:
        raise
    except Exception as error:
        log.exception("A model could not be compiled.")
        raise _refused(
            "It could not be compiled; the worker's log says why. torch needs a C++ compiler (g++) on a CPU. "
            "Install one, or take compile out."
        ) from error


def _refused(sentence: str) -> CheckpointError:
    return CheckpointError(ErrorCode.CHECKPOINT_CORRUPT, sentence)
