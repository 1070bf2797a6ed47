"""The porter brings the files of a batch's rows: finds them, looks at them, and puts them into storage.

A file that is put away gets an id which its place in the batch decides. Whoever was killed between the file and its
row left a file that the next reader of the row finds by that id: nothing is fetched twice, and nothing is lost sight
of but by a batch that is never read on, whose files upkeep takes for the waste they are.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, Literal, cast
from urllib.parse import urlsplit

import sqlalchemy as sa

from contract.errors import ErrorCode, FournilError, RequestError
from contract.ids import new_id
from contract.media import Media
from contract.pipelines import PipelineSpec
from contract.schemas import Problem
from models.customs import At, Customs, each
from models.fetching import fetched
from models.files import FileStorage, NewFile
from models.media.sources import decoded
from models.sheets.members import Member, about
from models.sheets.rows import Row

#: Rows whose files are brought at once. Each may wait for another server, or for the disk.
AT_ONCE = 8
#: Bytes of an archive's file that is looked at which stay in memory.
_SPOOLED = 4 << 20

#: glance: look at what is here, fetch nothing. check: fetch too, and keep what was fetched. keep: keep everything.
Mode = Literal["glance", "check", "keep"]


@dataclasses.dataclass(frozen=True)
class _At(At):
    """Where a file stands in a batch, and what it must be."""

    row: int

    def file_id(self, batch_id: str) -> str:
        """As all ids it begins with a time, that of the batch."""
        place = f"{batch_id}/{self.row}/{self.field}".encode()
        return batch_id[:12] + hashlib.blake2b(place, digest_size=10).hexdigest()


class Porter(Customs):
    """`batch_id`: whose rows these are; None for a look at a file that is no batch yet."""

    def __init__(
        self,
        engine: sa.Engine,
        storage: FileStorage,
        limits: Media,
        spec: PipelineSpec,
        *,
        batch_id: str | None = None,
    ) -> None:
        super().__init__(engine, storage, limits)
        self._kinds = spec.catalogue.media
        self._batch_id = batch_id or new_id()
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="porter")

    def close(self) -> None:
        self._threads.shutdown()

    def bring_all(self, rows: Sequence[Row], mode: Mode) -> list[Row]:
        return list(self._threads.map(lambda row: self.bring(row, mode), rows))

    def bring(self, row: Row, mode: Mode) -> Row:
        """The row with its files as a job has them, or with a problem for one that is not taken."""
        if row.problems:
            return row
        load = _Load(self, row.record.row, mode, row.record.members)
        try:
            inputs = {
                name: load.packed(name, value, self._kinds[name]) if name in self._kinds else value
                for name, value in row.inputs.items()
            }
        except FournilError as error:
            message = error.message if load.at is None else about(load.at.name, error.message)
            return row._replace(problems=[Problem(error.field or "inputs", error.code, message)])
        if mode != "keep":
            return row
        return row._replace(inputs=inputs, made=tuple(load.made), known=tuple(load.known))

    def from_data(self, body: bytes, name: str, at: _At, mode: Mode) -> NewFile:
        self.weigh(len(body), at)
        if mode == "keep":
            return self._kept(lambda: [body], name, at)
        return self._seen(io.BytesIO(body), name, len(body), at)

    def from_member(self, member: Member, at: _At, mode: Mode) -> NewFile:
        """All of it is read, whatever for: only its end tells whether it is what was packed."""
        self.weigh(member.size, at)
        name, pieces = member.name.rpartition("/")[2], member.pieces(field=at.field)
        if mode == "keep":
            return self._kept(lambda: pieces, name, at)
        with tempfile.SpooledTemporaryFile(_SPOOLED) as copy:
            copy.writelines(pieces)
            copy.seek(0)
            return self._seen(cast(BinaryIO, copy), name, member.size, at)

    def from_url(self, url: str, at: _At, mode: Mode) -> NewFile | None:
        if mode == "glance":
            if not self._limits.fetch:
                message = "This server fetches no URLs. Send files as base64 or by file_id."
                raise RequestError(ErrorCode.INVALID_VALUE, message, field=at.field)
            return None

        def pieces() -> Iterator[bytes]:
            with fetched(url, self._limits, kind=at.kind, field=at.field) as body:
                yield from body

        return self._kept(pieces, urlsplit(url).path.rpartition("/")[2] or "file", at)

    def _kept(self, pieces: Callable[[], Iterable[bytes]], name: str, at: _At) -> NewFile:
        file_id = at.file_id(self._batch_id)
        size = self._storage.held(file_id)
        if size is None:
            most = self._limits.most_bytes(at.kind)
            _, size = self._storage.save(pieces(), max_bytes=most, field=at.field, file_id=file_id)
        try:
            content_type = self.look_stored(file_id, at).content_type
        except RequestError:
            self._storage.delete(file_id)
            raise
        return NewFile(file_id, _plain(name), content_type, size)

    def _seen(self, stream: BinaryIO, name: str, size: int, at: _At) -> NewFile:
        return NewFile("", _plain(name), self.look(stream, at).content_type, size)


class _Load:
    """The files of one row."""

    def __init__(self, porter: Porter, row: int, mode: Mode, members: list[Member]) -> None:
        self._porter = porter
        self._members = {member.name: member for member in members}
        #: The file of an archive that is brought, or that the row is about.
        self.at = members[0] if members else None
        self._row = row
        self._mode = mode
        #: Files that the database does not know yet, and those that it does.
        self.made: list[NewFile] = []
        self.known: list[str] = []

    def packed(self, field: str, value: Any, kind: str) -> Any:
        """What the job's inputs hold of the file or files of one field."""
        return each(field, value, lambda one, place: self._one(one, _At(place, kind, self._row)))

    def _one(self, value: dict[str, Any], at: _At) -> Any:
        porter, mode = self._porter, self._mode
        if "member" in value:
            self.at = self._members[value["member"]["name"]]
            made = porter.from_member(self.at, at, mode)
        elif "data" in value:
            made = porter.from_data(decoded(value["data"], field=at.field), at.name, at, mode)
        elif "url" in value:
            found = porter.from_url(value["url"], at, mode)
            if found is None:
                return value
            made = found
        else:
            file_id = value.get("file_id") or value["file"]["id"]
            self.known.append(file_id)
            return porter.from_storage(file_id, at)
        self.made.append(made)
        return made.shown()


def _plain(name: str) -> str:
    return "".join(c for c in name if c.isprintable()).strip()[:255] or "file"
