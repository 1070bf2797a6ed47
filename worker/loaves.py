"""Loaves: rows of a batch that ask the same are baked once, and the answer is recorded for each of them.

Rows are equal when batch, priority, parameters and inputs are. Each keeps its own id, fence and attempts, so that it
is recorded, canceled or taken over by itself; only the forward pass is shared. A row that is suspected of having
killed a process is baked for itself, and so is one whose pipeline draws its answers.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from contract.errors import ErrorCode, InputError
from contract.jsons import canonical
from contract.pipelines import PipelineSpec
from models.claims import Claimed
from worker.backends.backend import Identity, Inputs, Prepared

#: What is wrong with an input is wrong with every equal one; whatever else went wrong may go right the next time.
_ABOUT_THE_INPUT = frozenset({ErrorCode.INPUT_REJECTED, ErrorCode.INPUT_TOO_LONG})

#: A key of inputs and their canonical text; None where there can be none.
Lasting = Callable[[Inputs, str], bytes | None]


@dataclasses.dataclass(frozen=True)
class EqualRows:
    """Equal rows, before they are prepared. `key`, `lasting`: what their answer is remembered under, in the larder
    and in the cellar; None: not at all.
    """

    rows: list[Claimed]
    key: bytes | None = None
    lasting: bytes | None = None


@dataclasses.dataclass(frozen=True)
class Loaf:
    """Equal rows, prepared once. The first stands for all of them in the forward pass."""

    rows: list[Claimed]
    prepared: Prepared
    key: bytes | None = None
    lasting: bytes | None = None

    @property
    def id(self) -> str:
        return self.rows[0].id

    def keep(self, ids: set[str]) -> Loaf | None:
        """The same without rows that nobody wants any more; None when none is left."""
        rows = [row for row in self.rows if row.id in ids]
        return dataclasses.replace(self, rows=rows) if rows else None

    def answered(self, answer: Any | InputError) -> list[Claimed]:
        """The rows that an answer to the first of them is for."""
        return self.rows if is_for_all(answer) else self.rows[:1]


def is_for_all(answer: Any | InputError) -> bool:
    return not isinstance(answer, InputError) or answer.code in _ABOUT_THE_INPUT


def each(rows: Sequence[Claimed]) -> list[EqualRows]:
    """Every row for itself."""
    return [EqualRows([row]) for row in rows]


def together(
    rows: Sequence[Claimed],
    repeats: Callable[[Inputs], bool],
    key: Callable[[str, str], bytes],
    lasting: Lasting | None = None,
) -> list[EqualRows]:
    """Equal rows of one batch and lane together, in the order of the first of each.

    `repeats`: whether an answer to these inputs is one to equal ones. `key`: of a batch and canonical inputs.
    `lasting`: of inputs and the same as canonical JSON, whoever sends them; None: no answer lasts.
    """
    groups: dict[Hashable, EqualRows] = {}
    for row in rows:
        if row.max_group is not None or (row.batch_id is None and lasting is None) or not repeats(row.inputs):
            groups[row.id] = EqualRows([row])
            continue
        text = canonical(row.inputs)
        # Jobs of forms and programs are each for themselves.
        same: Hashable = row.id if row.batch_id is None else (row.batch_id, row.priority, text)
        if same in groups:
            groups[same].rows.append(row)
            continue
        kept = lasting(row.inputs, text) if lasting else None
        groups[same] = EqualRows([row], None if row.batch_id is None else key(row.batch_id, text), kept)
    return list(groups.values())


def keys_of(spec: PipelineSpec, identity: Identity, parameters: dict[str, Any]) -> Callable[[str, str], bytes]:
    """What makes keys for one lane: two are equal where batch, definition, weights, parameters and inputs are."""
    lane = canonical([spec.fingerprint(), dataclasses.asdict(identity), parameters]).encode()
    started: dict[str, Any] = {}

    def key(batch_id: str, inputs: str) -> bytes:
        if batch_id not in started:
            started[batch_id] = hashlib.blake2b(lane + b"\0" + batch_id.encode() + b"\0", digest_size=20)
        digest = started[batch_id].copy()
        digest.update(inputs.encode())
        return bytes(digest.digest())

    return key
