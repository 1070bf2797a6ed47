"""Baking one microbatch: a forward pass, and when it breaks, finding the row that broke it.

An exception says nothing about which row is to blame, so the rows run again in halves until the culprit is alone;
its neighbors succeed. Out of memory halves too, and the caller lowers the budget. What breaks while a pass asks and
tells is the house's fault and no row's: a database that restarts must not fail whoever is being written for.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Collection, Sequence
from typing import Any, ParamSpec, Protocol, TypeVar

from contract.errors import ErrorCode, InputError
from contract.jsons import finite
from contract.logs import get_logger
from worker.backends.backend import Context, DeviceLost, LoadedPipeline, OutOfMemory, Parameters, Prepared, WithFiles
from worker.planner import halves

log = get_logger(__name__)
T = TypeVar("T")
P = ParamSpec("P")


class Publish(Protocol):
    """Shows new words of a row's text; `first`: they begin it, and what was shown of it before is void."""

    def __call__(self, job_id: str, text: str, *, first: bool) -> None: ...


class _OfTheHouse(Exception):
    """On its way through a model: what was raised by what a pass asks and tells."""

    def __init__(self, error: Exception) -> None:
        self.error = error


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
    publish: Publish
    #: Hears a row's answer when others of its microbatch take longer.
    done: Callable[[str, Any], None] = lambda _job, _answer: None
    #: Forward passes that divide the slot's threads among them.
    share: int = 1
    #: Whether a forward pass did not fit.
    ran_out: bool = False

    def bake(self, rows: Sequence[Dough]) -> list[Any | InputError]:
        """A result or an InputError for each row, in order. DeviceLost passes through, and what the house raises."""
        try:
            return self._bake(rows)
        except _OfTheHouse as found:
            raise found.error from None

    def _bake(self, rows: Sequence[Dough]) -> list[Any | InputError]:
        try:
            return self._forward(rows)
        except (DeviceLost, _OfTheHouse):
            raise
        except (OutOfMemory, MemoryError):
            # MemoryError must not reach Celery: it takes the whole node down with it.
            self.ran_out = True
            return self._in_halves(rows, ErrorCode.OUT_OF_MEMORY, "There was not enough memory for this input alone.")
        except Exception:  # noqa: BLE001 - whatever a model raises, its neighbors go on
            return self._in_halves(rows, ErrorCode.INFERENCE_FAILED, None)

    def _forward(self, rows: Sequence[Dough]) -> list[Any | InputError]:
        ids = [row.job_id for row in rows]
        _ours(self.take)(ids)
        context = Context(
            job_ids=ids,
            wanted=_ours(self.wanted),
            publish=_ours(self._publishing()),
            done=_ours(lambda job_id, answer: self.done(job_id, _checked(answer))),
            share=self.share,
        )
        answers = self.pipeline.bake([row.prepared for row in rows], self.parameters, context)
        if len(answers) != len(rows):
            raise RuntimeError(f"{len(rows)} rows went in and {len(answers)} came out")
        return [_checked(answer) for answer in answers]

    def _publishing(self) -> Callable[[str, str], None]:
        """For one pass: rows that are baked once more, in halves, are written from their beginning."""
        begun: set[str] = set()

        def publish(job_id: str, text: str) -> None:
            self.publish(job_id, text, first=job_id not in begun)
            begun.add(job_id)

        return publish

    def _in_halves(self, rows: Sequence[Dough], code: ErrorCode, message: str | None) -> list[Any | InputError]:
        if len(rows) == 1:
            return [InputError(code, message or _incident(rows[0].job_id))]
        first, second = halves(range(len(rows)))
        return self._bake([rows[i] for i in first]) + self._bake([rows[i] for i in second])


def _ours(call: Callable[P, T]) -> Callable[P, T]:
    """The same, but that no model, and nobody who looks for a row to blame, takes its errors for the model's."""

    def called(*args: P.args, **named: P.kwargs) -> T:
        try:
            return call(*args, **named)
        except Exception as error:
            raise _OfTheHouse(error) from error

    return called


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
