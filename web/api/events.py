"""Server-Sent Events of a job: its status as it changes, a generation's text as it is written, and the end.

An event's id says what its reader knows: `<status>.<attempts>.<place in the token stream>`. A reader that comes back
with Last-Event-ID gets what it missed: the row is the truth, so nothing need be remembered here.
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response, request

from contract.statuses import JobStatus
from contract.tasks import CATALOGUE
from web.api.jobs import load
from web.operations import Answer, operation
from web.serializers import is_over
from web.services import Services, services
from web.streams import BEAT_SECONDS, LAST_EVENT_ID, LONGEST_SECONDS, event, event_stream, reader_is_gone

blueprint = Blueprint("events", __name__, url_prefix="/api/v1")

_STREAMED = {task.name for task in CATALOGUE.values() if task.streams}
_ID = re.compile(r"^([a-z]+)\.(\d{1,9})\.(\d{1,20}-\d{1,20})$")


@dataclasses.dataclass
class Known:
    """What the reader has been told."""

    status: str = "nothing"
    attempts: int = 0
    token: str = "0-0"

    @classmethod
    def from_id(cls, text: str) -> Known:
        found = _ID.match(text)
        return cls(found[1], int(found[2]), found[3]) if found else cls()

    def __str__(self) -> str:
        return f"{self.status}.{self.attempts}.{self.token}"

    def is_news(self, job: dict[str, Any]) -> bool:
        return (job["status"], job["attempts"]) != (self.status, self.attempts)

    def learn(self, job: dict[str, Any]) -> None:
        self.status, self.attempts = job["status"], job["attempts"]


@blueprint.get("/jobs/<job_id>/events")
@operation(
    "Follow a job",
    tag="jobs",
    description='Events `status` and `done` carry the job as JSON; `token` carries `{"text"}`, of a text that '
    "is being written, and `first` where it begins that text: what came before is void then. `done` is the last. "
    "A comment line comes every 15 seconds.",
    headers=(LAST_EVENT_ID,),
    answers={200: Answer("The events.", {"type": "string"}, media="text/event-stream")},
    errors=(404, 429),
)
def follow(job_id: str) -> Response:
    here = services()
    load(job_id)
    known = Known.from_id(request.headers.get("Last-Event-ID", ""))
    return event_stream(_events(here, job_id, known, request.environ), here)


def _events(here: Services, job_id: str, known: Known, environ: dict[str, Any]) -> Iterator[str]:
    yield "retry: 2000\n\n"
    with here.changes.watching([job_id]) as watch:
        end = time.monotonic() + LONGEST_SECONDS
        beat = time.monotonic() + BEAT_SECONDS
        # Registered first, read then: no change falls between.
        while (job := here.counter.job(job_id)) is not None and time.monotonic() < end:
            for text in _news(here, job, known):
                yield text
                beat = time.monotonic() + BEAT_SECONDS
            if is_over(job):
                yield event("done", str(known), job)
                return
            if time.monotonic() >= beat:
                yield ": still here\n\n"
                beat = time.monotonic() + BEAT_SECONDS
            # The worker says `changed` for each piece of text too.
            watch.wait(beat - time.monotonic())
            if reader_is_gone(environ):
                return


def _news(here: Services, job: dict[str, Any], known: Known) -> Iterator[str]:
    """What the reader does not know. The last text comes before the status that ends it."""
    if known.is_news(job) and not is_over(job):
        known.learn(job)
        yield event("status", str(known), job)
    if job["task"] in _STREAMED and job["status"] != JobStatus.QUEUED:
        for piece in here.dispatch.tokens(job["id"], known.token):
            known.token = piece.place
            yield event("token", str(known), {"text": piece.text, **({"first": True} if piece.first else {})})
    if known.is_news(job):
        known.learn(job)
        yield event("status", str(known), job)
