"""From claimed rows to trays: rows of one lane are prepared together, and planned into microbatches."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from contract.errors import ErrorCode, InputError
from contract.jsons import canonical
from contract.logs import get_logger
from contract.pipelines import PipelineSpec
from models.claims import Claimed
from worker.backends.backend import Inputs, LoadedPipeline, Prepared
from worker.planner import Limits, Portion, padded, plan

log = get_logger(__name__)


@dataclasses.dataclass(frozen=True)
class Tray:
    """One microbatch: rows that share a forward pass."""

    rows: list[Claimed]
    prepared: list[Prepared]
    parameters: dict[str, Any]

    @property
    def real_tokens(self) -> int:
        return sum(p.length * p.sequences for p in self.prepared)

    @property
    def padded_tokens(self) -> int:
        return padded(self.prepared)

    def keep(self, ids: set[str]) -> Tray:
        """The same without the rows that nobody wants any more."""
        kept = [(row, p) for row, p in zip(self.rows, self.prepared, strict=True) if row.id in ids]
        return Tray([row for row, _ in kept], [p for _, p in kept], self.parameters)


@dataclasses.dataclass(frozen=True)
class Turn:
    """One claim of one pipeline, prepared and planned."""

    spec: PipelineSpec
    model: LoadedPipeline
    #: Seconds the load took, 0.0 when it was warm.
    load_seconds: float
    rows: list[Claimed]
    trays: list[Tray]
    #: As many rows as were asked for: there may be more.
    full: bool
    #: time.monotonic() of when they were ready.
    since: float

    def batches(self) -> set[str]:
        return {row.batch_id for row in self.rows if row.batch_id}


@dataclasses.dataclass(frozen=True)
class Layout:
    """Every claimed row, once: in a tray, or refused with what its caller must change."""

    trays: list[Tray]
    refused: list[tuple[Claimed, InputError]]


def lay_out(
    spec: PipelineSpec,
    model: LoadedPipeline,
    rows: Sequence[Claimed],
    *,
    limits: Limits,
    about_to: Callable[[Sequence[str]], None],
    unpack: Callable[[Inputs], Inputs] | None = None,
) -> Layout:
    """Prepare and plan rows, lane by lane, people's trays first. `about_to` hears whose rows are prepared next.

    `unpack` gives rows their files; None where the task has none.
    """
    lanes: dict[str, list[Claimed]] = {}
    for row in rows:
        lanes.setdefault(canonical(row.parameters), []).append(row)
    trays: list[Tray] = []
    refused: list[tuple[Claimed, InputError]] = []
    for lane in lanes.values():
        about_to([row.id for row in lane])
        parameters = spec.effective(lane[0].parameters)
        inputs = [row.inputs if unpack is None else unpack(row.inputs) for row in lane]
        answers = _prepare(model, lane, inputs, parameters)
        refused += [(row, a) for row, a in zip(lane, answers, strict=True) if isinstance(a, InputError)]
        ready = [(row, a) for row, a in zip(lane, answers, strict=True) if isinstance(a, Prepared)]
        trays += _plan(ready, parameters, limits)
    return Layout(sorted(trays, key=lambda tray: tray.rows[0].priority), refused)


def _plan(ready: list[tuple[Claimed, Prepared]], parameters: dict[str, Any], limits: Limits) -> list[Tray]:
    if not ready:
        return []
    portions = [Portion(i, p.length, p.sequences, row.priority) for i, (row, p) in enumerate(ready)]
    # A claim holds suspects of one size, or none.
    planned = plan(portions, dataclasses.replace(limits, max_rows=ready[0][0].max_group))
    return [Tray([ready[i][0] for i in tray], [ready[i][1] for i in tray], parameters) for tray in planned]


def _prepare(
    model: LoadedPipeline, rows: list[Claimed], inputs: list[Inputs], parameters: dict[str, Any]
) -> list[Prepared | InputError]:
    """Prepare rows together, and one by one when that breaks: the culprit alone is refused."""
    try:
        return model.prepare(inputs, parameters)
    except Exception:
        if len(rows) == 1:
            log.exception("A row could not be prepared.", job_id=rows[0].id)
            return [InputError(ErrorCode.INPUT_REJECTED, "This input could not be read by the model.")]
        return [a for row, one in zip(rows, inputs, strict=True) for a in _prepare(model, [row], [one], parameters)]
