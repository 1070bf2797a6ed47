"""Large files go up in pieces (the tus protocol): what the connection breaks off goes on where it was."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import httpx

from cli.api import Api
from cli.exits import NotFound, Refused, Unreachable
from cli.unfinished import Unfinished

#: A smaller file is sent again sooner than it is gone on with.
LARGE = 32 << 20
#: What one request brings; the server keeps what came of one that breaks.
_REQUEST = 256 << 20
_READ = 1 << 18
_PAUSE = 0.5
#: How long nothing may come through before the upload is given up.
_PATIENCE = 120.0
_TUS = {"Tus-Resumable": "1.0.0"}
_TIMEOUT = httpx.Timeout(60.0, connect=5.0)

Moved = Callable[[int], object]


def send_file(api: Api, path: Path, moved: Moved, unfinished: Unfinished, *, resume: bool = True) -> str:
    """Upload a file, however often the connection breaks; its id. `moved` is told how many bytes are there.

    `unfinished` is kept until the file is there as a whole, and after: the batch of it may not be made yet.
    """
    size = path.stat().st_size
    upload, offset = (_gone_on_with(api, unfinished) if resume else None) or (_begin(api, path.name, size), 0)
    unfinished.keep(upload)
    try:
        with path.open("rb") as file:
            _send(api, upload, file, offset, size, moved)
    except Unreachable as error:
        raise Unreachable(f"{error.message} The same command goes on where this one was.") from error
    return upload.rpartition("/")[2]


def _send(api: Api, upload: str, file: IO[bytes], begins: int, size: int, moved: Moved) -> None:
    #: None: not known, and asked for.
    offset: int | None = begins
    reached, heard = begins, time.monotonic()
    moved(begins)
    while offset is None or offset < size:
        try:
            offset = _offset(api, upload) if offset is None else _append(api, upload, file, offset, moved)
        except Unreachable:
            if time.monotonic() - heard > _PATIENCE:
                raise
            time.sleep(_PAUSE)
            offset = None
        if offset is not None and offset > reached:
            reached, heard = offset, time.monotonic()


def _gone_on_with(api: Api, unfinished: Unfinished) -> tuple[str, int] | None:
    """The upload that another run left, and how far it is; None where the server has none."""
    upload = unfinished.recall()
    if upload is None:
        return None
    try:
        return upload, _offset(api, upload)
    except (NotFound, Refused):
        return None


def _begin(api: Api, name: str, size: int) -> str:
    """The path of a new upload."""
    words = base64.b64encode(name.encode(errors="replace")).decode()
    answer = api.ask(
        "POST", "/uploads", headers={**_TUS, "Upload-Length": str(size), "Upload-Metadata": f"filename {words}"}
    )
    return "/uploads/" + answer.headers["Location"].rpartition("/")[2]


def _append(api: Api, upload: str, file: IO[bytes], offset: int, moved: Moved) -> int | None:
    """Send on from an offset; the one reached. None: a lost request has brought the upload further."""
    pieces = _pieces(file, offset, moved)
    headers = {**_TUS, "Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
    answer = api.ask("PATCH", upload, headers=headers, content=pieces, timeout=_TIMEOUT, taken=(409,))
    return None if answer.is_error else int(answer.headers["Upload-Offset"])


def _offset(api: Api, upload: str) -> int:
    return int(api.ask("HEAD", upload, headers=_TUS).headers["Upload-Offset"])


def _pieces(file: IO[bytes], offset: int, moved: Moved) -> Iterator[bytes]:
    file.seek(offset)
    end = offset + _REQUEST
    while offset < end and (piece := file.read(min(_READ, end - offset))):
        yield piece
        offset += len(piece)
        moved(offset)
