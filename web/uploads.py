"""Uploads: from the socket to file storage in bounded pieces, at any size, whichever part comes first."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast

import sqlalchemy as sa
from flask import request
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData

from contract.errors import ErrorCode, RequestError
from contract.ids import is_id
from models.customs import GONE
from models.files import PIECE, FileStorage, find_file, pieces_of

#: Room for boundaries, headers and the small fields around a file.
AROUND_FILE = 1 << 20
_TOUCH_SECONDS = 600
_MEDIA_TYPE = re.compile(r"^[\w.+-]{1,100}/[\w.+-]{1,100}(\s*;[\x20-\x7e]{0,50})?$", re.ASCII)


#: A question about a part, whose head has been read.
Asks = Callable[[File | Field], bool]


@dataclasses.dataclass(frozen=True)
class Received:
    """A file that is in storage and not yet in the database: whoever does not keep it deletes it."""

    file_id: str
    filename: str
    content_type: str
    bytes: int


def stored_file(conn: sa.Connection, storage: FileStorage, file_id: str) -> Received:
    """A file that was uploaded before; 422 when there is none, or when it is gone from the disk."""
    stored = find_file(conn, file_id) if is_id(file_id) else None
    if stored is None or not storage.path(stored.id).is_file():
        raise no_such_file()
    return Received(stored.id, stored.name, stored.content_type, stored.bytes)


def no_such_file() -> RequestError:
    return RequestError(ErrorCode.INVALID_VALUE, GONE, field="file_id")


@dataclasses.dataclass
class Form:
    """The parts of a multipart body in the order they came: small ones as text, files in storage."""

    fields: MultiDict[str, str] = dataclasses.field(default_factory=MultiDict)
    files: dict[str, list[Received]] = dataclasses.field(default_factory=dict)

    @property
    def file(self) -> Received | None:
        """The one named `file`."""
        return next(iter(self.files.get("file", ())), None)

    def all_files(self) -> list[Received]:
        return [file for listed in self.files.values() for file in listed]


def _is_named_file(head: File | Field) -> bool:
    return head.name == "file"


def _never(_head: File | Field) -> bool:
    return False


def receive_body(storage: FileStorage, *, max_bytes: int, filename: str) -> Received:
    """Store the raw body. One whose connection broke ends early, as the server hands it on, and is thrown away."""
    request.max_content_length = max_bytes
    file_id, size = storage.save(pieces_of(_stream()), max_bytes=max_bytes)
    if size < (request.content_length or 0):
        storage.delete(file_id)
        raise RequestError(ErrorCode.INVALID_REQUEST, "The body is cut short.")
    return Received(file_id, clean_name(filename), media_type(request.mimetype), size)


def receive_form(
    storage: FileStorage,
    *,
    max_bytes: int,
    max_field_bytes: int,
    is_file: Asks = _is_named_file,
    may_repeat: Asks = _never,
    files: int = 1,
) -> Form:
    """Read a multipart body, its files into storage as they arrive: those parts of which `is_file` says so.

    At most `files` of `max_bytes` each, texts of `max_field_bytes` in all, and several parts of one name where
    `may_repeat` says so. What fails leaves nothing behind.
    """
    request.max_content_length = files * max_bytes + max_field_bytes + AROUND_FILE
    form = Form()
    reader = _Reader(max_field_bytes, is_file, may_repeat, files)
    try:
        for event in reader.events():
            if isinstance(event, File | Field):
                reader.read_part(event, form, storage, max_bytes)
    except BaseException as error:
        for received in form.all_files():
            storage.delete(received.file_id)
        if isinstance(error, ValueError):
            raise RequestError(ErrorCode.INVALID_REQUEST, "The multipart body is broken or cut short.") from error
        raise
    return form


class _Reader:
    """The body as the decoder's events; one piece of it in memory at a time."""

    def __init__(self, max_field_bytes: int, is_file: Asks, may_repeat: Asks, most_files: int) -> None:
        boundary = request.mimetype_params.get("boundary", "")
        if request.mimetype != "multipart/form-data":
            raise RequestError(ErrorCode.UNSUPPORTED_MEDIA_TYPE, "Send multipart/form-data.")
        if not boundary:
            raise RequestError(ErrorCode.INVALID_REQUEST, "multipart/form-data comes without its boundary.")
        self._text_bytes_left = max_field_bytes
        self._is_file = is_file
        self._may_repeat = may_repeat
        self._most_files = most_files
        self._decoder = MultipartDecoder(boundary.encode("latin-1", "replace"), max_parts=100)
        self._body = _stream()
        self._events = self._read()

    def events(self) -> Iterator[Event]:
        return self._events

    def _read(self) -> Iterator[Event]:
        while True:
            event = self._decoder.next_event()
            if isinstance(event, NeedData):
                self._decoder.receive_data(self._body.read(PIECE) or None)
                continue
            yield event
            if isinstance(event, Epilogue):
                return

    def _pieces(self) -> Iterator[bytes]:
        """The data of the part whose head was just read."""
        for event in self._events:
            if isinstance(event, Data):
                yield event.data
                if not event.more_data:
                    return

    def read_part(self, head: File | Field, form: Form, storage: FileStorage, max_bytes: int) -> None:
        name = head.name or ""
        if name in {*form.fields, *form.files} and not self._may_repeat(head):
            raise RequestError(ErrorCode.INVALID_VALUE, f"The part {name[:64]} came twice.", field=name[:64])
        if self._is_file(head):
            if len(form.all_files()) == self._most_files:
                message = f"This request brings more than {self._most_files} files, the most that are taken."
                raise RequestError(ErrorCode.INVALID_VALUE, message, field=name[:64])
            filename = (head.filename or "") if isinstance(head, File) else ""
            content_type = media_type(head.headers.get("Content-Type", ""))
            pieces = self._keeping(storage, form)
            file_id, size = storage.save(pieces, max_bytes=max_bytes, field=name[:64])
            made = Received(file_id, clean_name(filename), content_type, size)
            form.files.setdefault(name, []).append(made)
        else:
            form.fields.add(name, self._text(name))

    def _keeping(self, storage: FileStorage, form: Form) -> Iterator[bytes]:
        """The data of this part. Files before it belong to nothing yet: upkeep must see that somebody is at it."""
        touched = float("-inf")
        for piece in self._pieces():
            if time.monotonic() - touched > _TOUCH_SECONDS:
                touched = time.monotonic()
                for received in form.all_files():
                    storage.held(received.file_id)
            yield piece

    def _text(self, name: str) -> str:
        held = bytearray()
        for piece in self._pieces():
            held += piece
            if len(held) > self._text_bytes_left:
                raise RequestEntityTooLarge
        self._text_bytes_left -= len(held)
        try:
            return held.decode()
        except UnicodeDecodeError as error:
            raise RequestError(
                ErrorCode.INVALID_JSON, f"The part {name[:64]} is not UTF-8.", field=name[:64]
            ) from error


def _stream() -> BinaryIO:
    return cast(BinaryIO, request.stream)


def clean_name(filename: str) -> str:
    """The last part of what a browser or a script called the file: a name to show, never a path to open."""
    last = filename.replace("\\", "/").rpartition("/")[2]
    return "".join(c for c in last if c.isprintable()).strip() or "upload"


def media_type(text: str) -> str:
    """What a sender says of the content, where it looks like a media type."""
    return text if _MEDIA_TYPE.match(text) else "application/octet-stream"
