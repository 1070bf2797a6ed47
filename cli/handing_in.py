"""Handing in a batch: its rows are in a file, which is sent, or in a dataset, which the server is told by name.

None of the rows is ever held in memory here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from cli.exits import NotFound, Refused

if TYPE_CHECKING:
    from cli.api import Api

#: How long the server may look for a dataset; its own FOURNIL_DATASETS_SECONDS ends that sooner.
_DATASET_PATIENCE = 300.0
#: How long the server may look at the beginning of a file.
_FILE_PATIENCE = 300.0


def upload(api: Api, path: Path, request: dict[str, Any], *, resume: bool = True) -> dict[str, Any]:
    """One request with everything; a large file first, in pieces that a broken connection does not undo."""
    from cli import resuming
    from cli.unfinished import Unfinished

    if path.stat().st_size < resuming.LARGE:
        return _send(api, "/batches", path, request)
    unfinished = Unfinished.of(api.url, path)
    with _shown(path) as (_, moved):
        made = name_file(api, resuming.send_file(api, path, moved, unfinished, resume=resume), request)
    unfinished.forget()
    return made


def try_out(api: Api, path: Path | None, request: dict[str, Any]) -> dict[str, Any]:
    """How the server would read a file, or the dataset that the request names, and what is wrong in it."""
    if path is None:
        return api.post("/batches/validate", request, patience=_DATASET_PATIENCE)
    return _send(api, "/batches/validate", path, request)


def _send(api: Api, address: str, path: Path, request: dict[str, Any]) -> dict[str, Any]:
    from typing import IO, cast

    from cli.progress import Reading

    with _shown(path) as (file, moved):
        return api.upload(address, request=request, name=path.name, file=cast("IO[bytes]", Reading(file, moved)))


@contextlib.contextmanager
def _shown(path: Path) -> Iterator[tuple[BinaryIO, Callable[[int], None]]]:
    """An opened file, and a bar that is told how many of its bytes were sent."""
    from rich.console import Console

    from cli.progress import upload_bar

    with path.open("rb") as file, upload_bar(Console(stderr=True)) as bar:
        task = bar.add_task(f"upload {path.name}", total=path.stat().st_size)
        yield file, lambda at: bar.update(task, completed=at)


def name_file(api: Api, file_id: str, request: dict[str, Any]) -> dict[str, Any]:
    """A batch of a file that is on the server, and stays there only if it is taken."""
    try:
        return api.post("/batches", {**request, "file_id": file_id}, patience=_FILE_PATIENCE)
    except (Refused, NotFound):
        api.ask("DELETE", f"/files/{file_id}", taken=(404, 409))
        raise


def name_dataset(api: Api, dataset: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """The server finds the dataset and its first row before it answers."""
    return api.post("/batches", {**request, "dataset": dataset}, patience=_DATASET_PATIENCE)
