"""The counter: what every single job passes on its way in and out, for many callers at once.

Jobs that are handed in while others are being written share the next transaction, its flush to the disk and its
wake; jobs that are asked for share a query. A caller alone waits for nobody (web/together.py).
"""

from __future__ import annotations

import difflib
import threading
import time
from typing import Any

import sqlalchemy as sa

from contract.errors import ErrorCode, RequestError
from contract.names import PIPELINE_NAME
from contract.pipelines import PipelineSpec
from models.database import reading, transaction
from models.jobs import find_jobs
from models.pipelines import list_pipelines
from models.submit import Named, submit_all
from web.dispatch import Dispatch
from web.serializers import show_jobs
from web.together import Together

#: How old a pipeline's definition may be: it changes with the pipelines file, at a start.
_FRESH_SECONDS = 1.0


class Counter:
    def __init__(self, engine: sa.Engine, dispatch: Dispatch) -> None:
        self._engine = engine
        self._dispatch = dispatch
        #: Commits a job and wakes its pipeline; when it returns, the job is accepted.
        self.submit: Together[Named, None] = Together(self._submit)
        #: A job's JSON by its id; None where there is none.
        self.job: Together[str, dict[str, Any] | None] = Together(self._jobs)
        self._lock = threading.Lock()
        self._offers: dict[str, PipelineSpec] = {}
        self._read_at = float("-inf")

    def _submit(self, named: list[Named]) -> list[None]:
        transaction(self._engine, lambda conn: submit_all(conn, named))
        for pipeline in dict.fromkeys(one.job.pipeline for one in named):
            self._dispatch.wake(pipeline)
        return [None] * len(named)

    def _jobs(self, ids: list[str]) -> list[dict[str, Any] | None]:
        with reading(self._engine) as conn:
            found = find_jobs(conn, ids)
            shown = {job["id"]: job for job in show_jobs(conn, list(found.values()))}
        return [shown.get(job_id) for job_id in ids]

    def pipeline(self, name: str) -> PipelineSpec:
        """The pipeline a body names; 422 with the nearest name when there is none."""
        spec = self._offers.get(name) if time.monotonic() - self._read_at < _FRESH_SECONDS else None
        if spec is None and PIPELINE_NAME.match(name):
            spec = self._read().get(name)
        if spec is None:
            raise unknown_pipeline(name, list(self._offers or self._read()))
        return spec

    def _read(self) -> dict[str, PipelineSpec]:
        with self._lock, reading(self._engine) as conn:
            self._offers = {stored.spec.name: stored.spec for stored in list_pipelines(conn)}
            self._read_at = time.monotonic()
        return self._offers


def unknown_pipeline(name: str, known: list[str]) -> RequestError:
    close = difflib.get_close_matches(name[:64], known, n=1)
    hint = f"Did you mean '{close[0]}'?" if close else "GET /api/v1/pipelines lists them."
    return RequestError(
        ErrorCode.UNKNOWN_PIPELINE,
        f"No pipeline is called '{name[:64]}'. {hint}",
        field="pipeline",
        details={"known": known[:100]},
    )
