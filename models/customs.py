"""Customs: every file of a job or a row is found, weighed and looked at before it is taken, whichever way it came.

A file is looked at by its content, and only its header, so that a huge picture costs nothing here. Who takes single
jobs (web/luggage.py) and who brings the files of a batch's rows (models/porter.py) ask the same and say the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, BinaryIO

import sqlalchemy as sa

from contract.errors import ErrorCode, RequestError
from contract.ids import is_id
from contract.media import Media
from models.database import reading
from models.files import FileStorage, find_file, shown_file
from models.media import MediaRefused, Seen, look

GONE = "There is no file with this file_id."


@dataclasses.dataclass(frozen=True)
class At:
    """Where a file is in a request, and what it must be."""

    field: str
    kind: str

    @property
    def name(self) -> str:
        """Of the input field, whose place in a list may follow it."""
        return self.field.split(".")[1]


def each(field: str, value: Any, take: Callable[[dict[str, Any], str], Any]) -> Any:
    """What `take` makes of a field's file, or of each of its list; it is told where the file is."""
    if isinstance(value, list):
        return [take(one, f"inputs.{field}.{place}") for place, one in enumerate(value)]
    return take(value, f"inputs.{field}")


class Customs:
    """Raises RequestError, which names the file's field, for every file that is not taken."""

    def __init__(self, engine: sa.Engine, storage: FileStorage, limits: Media) -> None:
        self._engine = engine
        self._storage = storage
        self._limits = limits

    def from_storage(self, file_id: str, at: At) -> dict[str, Any]:
        """What inputs show of a file that was uploaded before, or made by another job."""
        with reading(self._engine) as conn:
            stored = find_file(conn, file_id) if is_id(file_id) else None
        if stored is None:
            raise RequestError(ErrorCode.INVALID_VALUE, GONE, field=at.field)
        self.weigh(stored.bytes, at)
        return shown_file(file_id, self.look_stored(file_id, at).content_type, stored.bytes)

    def weigh(self, size: int, at: At) -> None:
        if size > self._limits.most_bytes(at.kind):
            raise self.too_large(at)

    def too_large(self, at: At) -> RequestError:
        message = f"This file is larger than {self._limits.most_bytes(at.kind):,} bytes, the most a job may bring."
        return RequestError(ErrorCode.INVALID_VALUE, message, field=at.field)

    def look_stored(self, file_id: str, at: At) -> Seen:
        try:
            with self._storage.open(file_id) as stream:
                return self.look(stream, at)
        except FileNotFoundError as error:
            raise RequestError(ErrorCode.INVALID_VALUE, GONE, field=at.field) from error

    def look(self, stream: BinaryIO, at: At) -> Seen:
        try:
            return look(at.kind, stream, self._limits)
        except MediaRefused as refused:
            raise RequestError(ErrorCode.INVALID_VALUE, str(refused), field=at.field) from refused
