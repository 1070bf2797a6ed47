"""Luggage: the files a job comes with, whichever way they were sent, on their way into storage and the database.

    a part of a multipart body    stored while it arrived (web/uploads.py)
    {"data": base64}              stored here
    {"file_id"} or {"file"}       uploaded before, or made by another job
    {"url"}                       fetched now, under the rules of models/fetching.py

What is kept is `{"file": {...}}` in the job's inputs. Every file passes models/customs.py before its job is taken.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from contract.errors import ErrorCode, RequestError
from contract.pipelines import PipelineSpec
from models.customs import GONE, At, Customs, each
from models.database import transaction
from models.fetching import fetched
from models.files import FileStorage, NewFile
from models.job_files import attach, link
from models.media.sources import decoded
from models.submit import NewJob, Submitted, submit
from web.services import Services
from web.uploads import Received, clean_name

#: Files that came as parts, by input field and in the order in which they came.
Parts = Mapping[str, Sequence[Received]]


def with_parts(spec: PipelineSpec, inputs: Any, parts: Parts) -> Any:
    """Inputs with each part in its field; raises RequestError for one that the task has no field for.

    Several parts of one name are a list. Where the request has that list, they take the places of its nulls.
    """
    task = spec.catalogue
    for name in parts:
        if name not in task.media:
            known = ", ".join(task.media) or "none; it takes no files"
            message = f"{name[:64]} is no part that this pipeline takes. Known: {known}."
            raise RequestError(ErrorCode.UNKNOWN_FIELD, message, field=name[:64])
    if not isinstance(inputs, dict):
        return inputs
    brought = {name: [{"file": {"id": part.file_id}} for part in listed] for name, listed in parts.items()}
    return {
        **inputs,
        **{
            name: _listed(name, inputs.get(name), files) if name in task.media_lists else _single(name, inputs, files)
            for name, files in brought.items()
        },
    }


def _single(name: str, inputs: dict[str, Any], files: list[Any]) -> Any:
    if name in inputs or len(files) > 1:
        how = "as a part and in the request" if name in inputs else "as two parts, and it is one file"
        raise RequestError(ErrorCode.INVALID_VALUE, f"{name} came twice: {how}.", field=f"inputs.{name}")
    return files[0]


def _listed(name: str, given: Any, files: list[Any]) -> list[Any]:
    places = [None] * len(files) if given is None else given
    if not isinstance(places, list) or places.count(None) != len(files):
        message = f"inputs.{name} must hold one null for each part of that name, or be left out."
        raise RequestError(ErrorCode.INVALID_VALUE, message, field=f"inputs.{name}")
    coming = iter(files)
    return [next(coming) if place is None else place for place in places]


def files_of(parts: Parts) -> Iterable[Received]:
    return (part for listed in parts.values() for part in listed)


def throw_out(storage: FileStorage, parts: Parts) -> None:
    for part in files_of(parts):
        storage.delete(part.file_id)


@dataclasses.dataclass(frozen=True)
class Journey:
    """One job on its way in, checked but for its files."""

    spec: PipelineSpec
    job: NewJob
    job_id: str
    key: str | None
    body: dict[str, Any]
    parts: Parts


def submit_with_files(here: Services, journey: Journey, *, now: datetime) -> Submitted:
    """Store what came, then commit the job with its files. What fails leaves no file behind."""
    luggage = _Luggage(here, journey)
    try:
        submitted = _submit(here, luggage, journey, now)
    except BaseException:
        luggage.drop()
        raise
    if submitted.replayed:
        luggage.drop()
    else:
        here.dispatch.wake(journey.spec.name)
    return submitted


def _submit(here: Services, luggage: _Luggage, journey: Journey, now: datetime) -> Submitted:
    media = journey.spec.catalogue.media
    inputs = {
        name: luggage.packed(name, value) if name in media else value for name, value in journey.job.inputs.items()
    }
    job = dataclasses.replace(journey.job, inputs=inputs)
    told = {**journey.body, "parts": luggage.digests()} if journey.key and journey.parts else journey.body

    def work(conn: sa.Connection) -> Submitted:
        submitted = submit(conn, job, now=now, job_id=journey.job_id, idempotency_key=journey.key, request_body=told)
        if not submitted.replayed:
            attach(conn, journey.job_id, luggage.made, now=now)
            link(conn, journey.job_id, luggage.known)
        return submitted

    try:
        return transaction(here.engine, work)
    except IntegrityError as error:
        # Between the look at it and this commit somebody deleted it.
        raise RequestError(ErrorCode.INVALID_VALUE, GONE, field="inputs") from error


class _Luggage(Customs):
    """The files of one job."""

    def __init__(self, here: Services, journey: Journey) -> None:
        super().__init__(here.engine, here.storage, here.settings.media)
        self._parts = journey.parts
        self._received = {part.file_id: part for part in files_of(journey.parts)}
        self._kinds = journey.spec.catalogue.media
        #: Files that the database does not know yet, and those that it does.
        self.made: list[NewFile] = []
        self.known: list[str] = []
        self._fetches_end: float | None = None

    def packed(self, field: str, value: Any) -> Any:
        """What the job's inputs hold of the file or files of one field."""
        return each(field, value, lambda one, place: self._packed(one, At(place, self._kinds[field])))

    def _packed(self, value: dict[str, Any], at: At) -> dict[str, Any]:
        if "data" in value:
            return self._store(decoded(value["data"], field=f"{at.field}.data"), at)
        if "url" in value:
            return self._fetch(value["url"], at)
        file_id = value.get("file_id") or value["file"]["id"]
        if file_id in self._received:
            part = self._received.pop(file_id)
            return self._keep(file_id, part.filename, part.bytes, at)
        self.known.append(file_id)
        return self.from_storage(file_id, at)

    def drop(self) -> None:
        throw_out(self._storage, self._parts)
        for file in self.made:
            self._storage.delete(file.id)

    def digests(self) -> dict[str, str]:
        """Of every part, by its field; of one in a list also by its place."""
        return {
            name if place == 0 else f"{name}.{place}": self._storage.digest(part.file_id)
            for name, listed in sorted(self._parts.items())
            for place, part in enumerate(listed)
        }

    def _fetch(self, url: str, at: At) -> dict[str, Any]:
        # One thread answers this request: its URLs share the time that one may take.
        self._fetches_end = self._fetches_end or time.monotonic() + self._limits.fetch_seconds
        with fetched(url, self._limits, kind=at.kind, field=at.field, ends=self._fetches_end) as pieces:
            file_id, size = self._storage.save(pieces, max_bytes=self._limits.most_bytes(at.kind), field=at.field)
        return self._keep(file_id, clean_name(urlsplit(url).path), size, at)

    def _store(self, body: bytes, at: At) -> dict[str, Any]:
        file_id, size = self._storage.save([body], max_bytes=self._limits.most_bytes(at.kind), field=at.field)
        return self._keep(file_id, at.name, size, at)

    def _keep(self, file_id: str, name: str, size: int, at: At) -> dict[str, Any]:
        # Known as made before it is looked at: a refusal must not leave it behind.
        self.made.append(NewFile(file_id, name[:255], "", size))
        self.weigh(size, at)
        content_type = self.look_stored(file_id, at).content_type
        self.made[-1] = dataclasses.replace(self.made[-1], content_type=content_type)
        return self.made[-1].shown()
