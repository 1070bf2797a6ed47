"""From claimed rows to trays: rows of one lane are prepared, equal ones once, and planned into microbatches."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from contract.errors import ErrorCode, InputError
from contract.jsons import canonical
from contract.logs import get_logger
from contract.pipelines import PipelineSpec
from models.claims import Claimed
from worker.backends.backend import Inputs, LoadedPipeline, Prepared
from worker.cellar import Cellar
from worker.larder import Larder
from worker.loaves import EqualRows, Loaf, each, keys_of, together
from worker.planner import Limits, Portion, padded, plan

log = get_logger(__name__)


@dataclasses.dataclass(frozen=True)
class Tray:
    """One microbatch: loaves that share a forward pass."""

    loaves: list[Loaf]
    parameters: dict[str, Any]
    #: As worker.planner.Limits has it.
    padding: float = 1.0

    @functools.cached_property
    def rows(self) -> list[Claimed]:
        """Every row that is answered by it; the first of each loaf is computed."""
        return [row for loaf in self.loaves for row in loaf.rows]

    @functools.cached_property
    def _rows_of(self) -> dict[str, list[Claimed]]:
        return {row.id: [row] for row in self.rows} | {loaf.id: loaf.rows for loaf in self.loaves}

    def asking(self, ids: Iterable[str]) -> list[Claimed]:
        """The rows that wait for what these are computed for."""
        return [row for job_id in ids for row in self._rows_of[job_id]]

    @property
    def real_tokens(self) -> int:
        return sum(loaf.prepared.length * loaf.prepared.sequences for loaf in self.loaves)

    @property
    def padded_tokens(self) -> int:
        return padded([loaf.prepared for loaf in self.loaves], self.padding)

    def tokens_of(self, ids: Collection[str]) -> int:
        """Padded tokens of a pass over some of its loaves, by the rows that stand for them."""
        wanted = set(ids)
        return padded([loaf.prepared for loaf in self.loaves if wanted & {row.id for row in loaf.rows}], self.padding)

    def keep(self, ids: set[str]) -> Tray:
        """The same without the rows that nobody wants any more."""
        kept = [left for loaf in self.loaves if (left := loaf.keep(ids)) is not None]
        return dataclasses.replace(self, loaves=kept)

    def without_known(self, larder: Larder) -> tuple[Tray, list[tuple[Claimed, Any]]]:
        """The same without loaves that were baked meanwhile, and their rows with the answers."""
        left: list[Loaf] = []
        known: list[tuple[Claimed, Any]] = []
        for loaf in self.loaves:
            found = larder.find(loaf.key)
            known += [(row, answer) for answer in found for row in loaf.rows]
            left += [] if found else [loaf]
        return dataclasses.replace(self, loaves=left) if known else self, known


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
class LaidOut:
    """Every claimed row, once: in a tray, refused with what its caller must change, or answered already."""

    trays: list[Tray]
    refused: list[tuple[Claimed, InputError]]
    known: list[tuple[Claimed, Any]]
    #: Answered by what is kept of earlier jobs and batches.
    kept: list[tuple[Claimed, Any]]


def lay_out(
    spec: PipelineSpec,
    model: LoadedPipeline,
    rows: Sequence[Claimed],
    *,
    limits: Limits,
    about_to: Callable[[Sequence[str]], None],
    unpack: Callable[[Inputs], Inputs] | None = None,
    larder: Larder | None = None,
    cellar: Cellar | None = None,
) -> LaidOut:
    """Prepare and plan rows, lane by lane, people's trays first. `about_to` hears whose rows are prepared next.

    `unpack` gives rows their files; None where the task has none. `larder`, `cellar`: answers to rows like these, of
    this batch and of all; None: none.
    """
    rows, refused = _of_its_task(spec, rows)
    lanes = _lanes(spec, model, rows, cellar)
    known = _take_known(lanes, lambda one: larder.find(one.key) if larder else [])
    kept = cellar.find([one.lasting for lane in lanes for one in lane.unanswered if one.lasting]) if cellar else {}
    from_cellar = _take_known(lanes, lambda one: [kept[one.lasting]] if one.lasting in kept else [])
    trays: list[Tray] = []
    for lane in (lane for lane in lanes if lane.unanswered):
        firsts = [one.rows[0] for one in lane.unanswered]
        left = {row.id for one in lane.unanswered for row in one.rows}
        about_to([row.id for row in lane.rows if row.id in left])
        inputs = [row.inputs if unpack is None else unpack(row.inputs) for row in firsts]
        answers = _prepare(model, firsts, inputs, lane.parameters)
        both = list(zip(lane.unanswered, answers, strict=True))
        refused += [(row, a) for one, a in both if isinstance(a, InputError) for row in one.rows]
        loaves = [Loaf(one.rows, a, one.key, one.lasting) for one, a in both if isinstance(a, Prepared)]
        apart = model.overhead(lane.parameters)
        its = limits if apart is None else dataclasses.replace(limits, overhead=apart)
        trays += _plan(loaves, lane.parameters, its)
    return LaidOut(sorted(trays, key=lambda tray: tray.rows[0].priority), refused, known, from_cellar)


def _of_its_task(
    spec: PipelineSpec, rows: Sequence[Claimed]
) -> tuple[list[Claimed], list[tuple[Claimed, InputError]]]:
    """Rows that the pipeline is for; and those that were sent when it was for another task."""
    both = [(row, spec.refusal(row.task)) for row in rows]
    refused = [(row, InputError(ErrorCode.PIPELINE_CHANGED, why)) for row, why in both if why is not None]
    return [row for row, why in both if why is None], refused


@dataclasses.dataclass
class _Lane:
    rows: list[Claimed]
    parameters: dict[str, Any]
    unanswered: list[EqualRows]


def _lanes(spec: PipelineSpec, model: LoadedPipeline, rows: Sequence[Claimed], cellar: Cellar | None) -> list[_Lane]:
    lanes: dict[str, list[Claimed]] = {}
    for row in rows:
        lanes.setdefault(canonical(row.parameters), []).append(row)
    found = [(spec.effective(lane[0].parameters), lane) for lane in lanes.values()]
    return [_Lane(lane, parameters, _grouped(spec, model, lane, parameters, cellar)) for parameters, lane in found]


def _take_known(lanes: list[_Lane], find: Callable[[EqualRows], list[Any]]) -> list[tuple[Claimed, Any]]:
    """Leave out of the lanes what is answered already; its rows with the answers."""
    known: list[tuple[Claimed, Any]] = []
    for lane in lanes:
        found = [(one, find(one)) for one in lane.unanswered]
        known += [(row, answer) for one, answers in found for answer in answers for row in one.rows]
        lane.unanswered = [one for one, answers in found if not answers]
    return known


def _grouped(
    spec: PipelineSpec, model: LoadedPipeline, lane: list[Claimed], parameters: dict[str, Any], cellar: Cellar | None
) -> list[EqualRows]:
    """The rows of a lane, equal ones together where one answer is right for all of them."""
    if not (spec.once and spec.catalogue.deterministic):
        return each(lane)
    lasting = cellar.keys(spec, model.identity, parameters) if cellar and spec.cache else None
    key = keys_of(spec, model.identity, parameters)
    return together(lane, lambda row: model.repeats(row, parameters), key, lasting)


def _plan(loaves: list[Loaf], parameters: dict[str, Any], limits: Limits) -> list[Tray]:
    if not loaves:
        return []
    portions = [
        Portion(i, loaf.prepared.length, loaf.prepared.sequences, loaf.rows[0].priority)
        for i, loaf in enumerate(loaves)
    ]
    # A claim holds suspects of one size, or none.
    planned = plan(portions, dataclasses.replace(limits, max_rows=loaves[0].rows[0].max_group))
    return [Tray([loaves[i] for i in tray], parameters, limits.padding) for tray in planned]


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
