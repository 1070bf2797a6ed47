"""Handing in a batch: its rows are in a file, which is sent, or in a dataset, which the server is told by name.

None of the rows is ever held in memory here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.exits import NotFound, Refused

if TYPE_CHECKING:
    from cli.api import Api

#: How long the server may look for a dataset; its own FOURNIL_DATASETS_SECONDS ends that sooner.
_DATASET_PATIENCE = 300.0
#: How long the server may look at the beginning of a file.
_FILE_PATIENCE = 300.0


def upload(api: Api, path: Path, request: dict[str, Any], *, resume: bool = True) -> dict[str, Any]:
    """One request with everything; a large file first, in pieces that a broken connection does not undo."""
    from typing import IO, cast

    from rich.console import Console

    from cli import resuming
    from cli.progress import Reading, upload_bar
    from cli.unfinished import Unfinished

    size = path.stat().st_size
    with path.open("rb") as file, upload_bar(Console(stderr=True)) as bar:
        task = bar.add_task(f"upload {path.name}", total=size)

        def moved(at: int) -> None:
            bar.update(task, completed=at)

        if size >= resuming.LARGE:
            unfinished = Unfinished.of(api.url, path)
            made = name_file(api, resuming.send_file(api, path, moved, unfinished, resume=resume), request)
            unfinished.forget()
            return made
        reading = cast("IO[bytes]", Reading(file, moved))
        return api.upload("/batches", request=request, name=path.name, file=reading)


def try_out(api: Api, path: Path | None, request: dict[str, Any]) -> dict[str, Any]:
    """How the server would read a file, or the dataset that the request names, and what is wrong in it."""
    from typing import IO, cast

    from rich.console import Console

    from cli.progress import Reading, upload_bar

    if path is None:
        return api.post("/batches/validate", request, patience=_DATASET_PATIENCE)
    with path.open("rb") as file, upload_bar(Console(stderr=True)) as bar:
        task = bar.add_task(f"upload {path.name}", total=path.stat().st_size)
        reading = cast("IO[bytes]", Reading(file, lambda at: bar.update(task, completed=at)))
        return api.upload("/batches/validate", request=request, name=path.name, file=reading)


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
