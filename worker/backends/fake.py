"""A backend for tests of the queue: instant answers, and it obeys words in the text, per row.

`sleep:0.5` sleeps (and weighs as much as a text that takes so long), `raise` raises, `die` SIGKILLs its own process,
`oom` raises an out-of-memory error, `reject` is refused as input. Anything else is labeled by its length:
even or odd.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contract.errors import ErrorCode, InputError
from contract.pipelines import PipelineSpec
from worker.backends.backend import (
    UNMEASURED,
    Context,
    Identity,
    Inputs,
    LoadedPipeline,
    OutOfMemory,
    Parameters,
    Prepared,
    Recent,
    Weighed,
)

_SLEEP = re.compile(r"\bsleep:(\d+(?:\.\d+)?)")
_BYTES = 1_000_000
#: A microbatch of rows that sleep takes half a second.
_TOKENS_A_SECOND = 2 * UNMEASURED
_COMMAND = re.compile(r"\b(sleep:|die|oom|raise)")


class FakePipeline:
    example: tuple[Prepared, Parameters] | None = None
    fidelity: dict[str, Any] | None = None
    to_compare = 0
    side_by_side = True
    padding = 1.0
    usual_budget = UNMEASURED
    token_bytes = 0

    def __init__(self, spec: PipelineSpec) -> None:
        self.identity = Identity(id=spec.model or "fake", commit="fake", dtype="none", backend="fake")

    def prepare(self, rows: Sequence[Inputs], parameters: Parameters) -> list[Prepared | InputError]:
        return [self._prepare(row["text"]) for row in rows]

    def _prepare(self, text: str) -> Prepared | InputError:
        if re.search(r"\breject\b", text):
            return InputError(ErrorCode.INPUT_REJECTED, "The fake pipeline was told to reject this text.")
        pause = _SLEEP.search(text)
        # Else a file of rows that sleep were one microbatch, and nothing of it seen for minutes.
        asleep = round(min(float(pause.group(1)), 3600.0) * _TOKENS_A_SECOND) if pause else 0
        return Prepared(payload=text, length=len(text.split()) + asleep)

    def bake(self, rows: Sequence[Prepared], parameters: Parameters, context: Context) -> list[Any | InputError]:
        for row, job_id in zip(rows, context.job_ids or [""] * len(rows), strict=True):
            if _COMMAND.search(row.payload) and job_id in context.wanted([job_id]):
                _obey(row.payload)
        return [_answer(row.payload, parameters) for row in rows]

    def overhead(self, parameters: Parameters) -> int | None:
        return None

    def compared(self, rows: Sequence[Inputs]) -> list[Any | InputError]:
        return []

    def exact(self, *, room: int) -> LoadedPipeline | None:
        return None

    def repeats(self, row: Inputs, parameters: Parameters) -> bool:
        return not _COMMAND.search(str(row.get("text", "")))

    def nbytes(self) -> int:
        return _BYTES

    def close(self) -> None:
        return None


class FakeBackend:
    def weigh(self, spec: PipelineSpec, *, device: str, cache: Path) -> Weighed:
        return Weighed("fake", _BYTES)

    def load(self, spec: PipelineSpec, *, device: str, cache: Path, recent: Recent) -> LoadedPipeline:
        return FakePipeline(spec)


def _obey(text: str) -> None:
    if pause := _SLEEP.search(text):
        time.sleep(float(pause.group(1)))
    if re.search(r"\bdie\b", text):
        os.kill(os.getpid(), signal.SIGKILL)
    if re.search(r"\boom\b", text):
        raise OutOfMemory
    if re.search(r"\braise\b", text):
        raise RuntimeError("the fake pipeline was told to raise")


def _answer(text: str, parameters: Parameters) -> list[dict[str, Any]]:
    even = len(text) % 2 == 0
    scores = [("even", 0.9 if even else 0.1), ("odd", 0.1 if even else 0.9)]
    best_first = sorted(scores, key=lambda pair: -pair[1])
    return [{"label": label, "score": score} for label, score in best_first][: parameters.get("top_k")]
