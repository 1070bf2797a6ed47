"""The pantry: files that jobs brought along, and where the files of results are put.

A file is decoded only when its row is prepared and forgotten at once: of a whole claim, pixels would fill the
memory. Only this module opens a stored file for a job; no library ever sees a path.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from contract.errors import InputError
from contract.media import Media
from contract.pipelines import PipelineSpec
from models.files import FileStorage, NewFile
from worker.backends.backend import Binary, Inputs, WithFiles
from worker.backends.media import MediaFile, in_place

Unpack = Callable[[Inputs], Inputs]


@dataclasses.dataclass
class PutAway:
    """Answers as JSON, and the files that they name: in storage, and not yet in the database."""

    answers: list[Any | InputError]
    #: One list an answer.
    files: list[list[NewFile]]


class Pantry:
    def __init__(self, storage: FileStorage, limits: Media) -> None:
        self._storage = storage
        self._limits = limits

    def unpacking(self, spec: PipelineSpec) -> Unpack | None:
        """What puts a file that can be decoded in the place of each stored one; None for a task without files."""
        media = spec.catalogue.media
        if not media:
            return None
        return lambda inputs: {
            name: in_place(value, name, media[name], self._brought) if name in media else value
            for name, value in inputs.items()
        }

    def naming(self, spec: PipelineSpec) -> Callable[[Inputs], Inputs] | None:
        """What names each stored file by a digest of its bytes, whoever stored it; None for a task without files.

        Raises OSError for a file that is gone.
        """
        media = spec.catalogue.media
        if not media:
            return None
        return lambda inputs: {name: self._named(value) if name in media else value for name, value in inputs.items()}

    def _named(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._named(one) for one in value]
        # Far less than it costs to decode it.
        return {"sha256": self._storage.digest(value["file"]["id"])}

    def _brought(self, value: Any, field: str, kind: str) -> MediaFile:
        def open_file() -> Any:
            return self._storage.open(value["file"]["id"])

        return MediaFile(open_file, field, kind, self._limits)

    @contextlib.contextmanager
    def put_away(self, answers: Sequence[Any | InputError]) -> Iterator[PutAway]:
        """Write the files of results. What breaks inside leaves none of them behind."""
        put = PutAway([], [])
        try:
            for answer in answers:
                put.files.append([])
                found = self._without_files(answer.result, put.files[-1]) if isinstance(answer, WithFiles) else answer
                put.answers.append(found)
            yield put
        except BaseException:
            for files in put.files:
                self.throw_out(files)
            raise

    def throw_out(self, files: Sequence[NewFile]) -> None:
        for file in files:
            self._storage.delete(file.id)

    def _without_files(self, value: Any, made: list[NewFile]) -> Any:
        if isinstance(value, Binary):
            body = value.encode()
            file_id, size = self._storage.save([body], max_bytes=len(body))
            made.append(NewFile(file_id, value.name, value.content_type, size))
            return made[-1].shown()
        if isinstance(value, dict):
            return {name: self._without_files(one, made) for name, one in value.items()}
        if isinstance(value, list):
            return [self._without_files(one, made) for one in value]
        return value
