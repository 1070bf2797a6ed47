"""Baking one microbatch: a forward pass, and when it breaks, finding the row that broke it.

An exception says nothing about which row is to blame, so the rows run again in halves until the culprit is alone;
its neighbors succeed. Out of memory halves too, and the caller lowers the budget.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Collection, Sequence
from typing import Any

from contract.errors import ErrorCode, InputError
from contract.jsons import finite
from contract.logs import get_logger
from worker.backends.backend import Context, DeviceLost, LoadedPipeline, OutOfMemory, Parameters, Prepared, WithFiles
from worker.planner import halves

log = get_logger(__name__)


@dataclasses.dataclass(frozen=True)
class Dough:
    """One row on its way through the oven."""

    job_id: str
    prepared: Prepared


@dataclasses.dataclass
class Baker:
    """Runs microbatches of one pipeline and one set of parameters."""

    pipeline: LoadedPipeline
    parameters: Parameters
    #: Called with the ids of the rows before each forward pass: the note for a process that dies in it.
    take: Callable[[Sequence[str]], None]
    wanted: Callable[[Sequence[str]], Collection[str]]
    publish: Callable[[str, str], None]
    #: Hears a row's answer when others of its microbatch take longer.
    done: Callable[[str, Any], None] = lambda _job, _answer: None
    #: Forward passes that divide the slot's threads among them.
    share: int = 1
    #: Whether a forward pass did not fit.
    ran_out: bool = False

    def bake(self, rows: Sequence[Dough]) -> list[Any | InputError]:
        """A result or an InputError for each row, in order. Only DeviceLost passes through."""
        try:
            return self._forward(rows)
        except DeviceLost:
            raise
        except (OutOfMemory, MemoryError):
            # MemoryError must not reach Celery: it takes the whole node down with it.
            self.ran_out = True
            return self._in_halves(rows, ErrorCode.OUT_OF_MEMORY, "There was not enough memory for this input alone.")
        except Exception:  # noqa: BLE001 - whatever a model raises, its neighbors go on
            return self._in_halves(rows, ErrorCode.INFERENCE_FAILED, None)

    def _forward(self, rows: Sequence[Dough]) -> list[Any | InputError]:
        ids = [row.job_id for row in rows]
        self.take(ids)
        context = Context(
            job_ids=ids,
            wanted=self.wanted,
            publish=self.publish,
            done=lambda job_id, answer: self.done(job_id, _checked(answer)),
            share=self.share,
        )
        answers = self.pipeline.bake([row.prepared for row in rows], self.parameters, context)
        if len(answers) != len(rows):
            raise RuntimeError(f"{len(rows)} rows went in and {len(answers)} came out")
        return [_checked(answer) for answer in answers]

    def _in_halves(self, rows: Sequence[Dough], code: ErrorCode, message: str | None) -> list[Any | InputError]:
        if len(rows) == 1:
            return [InputError(code, message or _incident(rows[0].job_id))]
        first, second = halves(range(len(rows)))
        return self.bake([rows[i] for i in first]) + self.bake([rows[i] for i in second])


def _checked(answer: Any | InputError) -> Any | InputError:
    """NaN never leaves: a result that is not finite is its row's failure."""
    if isinstance(answer, InputError) or finite(answer.result if isinstance(answer, WithFiles) else answer):
        return answer
    return InputError(ErrorCode.RESULT_NOT_FINITE, "The model gave a result that is not a number for this input.")


def _incident(job_id: str) -> str:
    """The sentence a caller sees; the log has the rest under the same number."""
    incident = uuid.uuid4().hex[:12]
    log.exception("A row broke its forward pass.", job_id=job_id, incident=incident)
    return f"The model failed on this input. The operator finds the cause in the log under incident {incident}."
