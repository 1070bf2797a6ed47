"""The progress of an upload and of a batch: a bar on a terminal, a line now and then anywhere else."""

from __future__ import annotations

import time
from typing import IO, Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TransferSpeedColumn

from cli.show import counts

_LINE_SECONDS = 5.0


class Reading:
    """A file that tells a callback how far it was read."""

    def __init__(self, file: IO[bytes], moved: Any) -> None:
        self._file = file
        self._moved = moved

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        self._moved(self._file.tell())
        return piece

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def upload_bar(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


class BatchProgress:
    """Shows one snapshot of a batch after another."""

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = (
            TextColumn("{task.fields[pipeline]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rest]}"),
        )
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task("", total=None, pipeline="", rest="")
        self._spoken = 0.0

    def __enter__(self) -> BatchProgress:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def show(self, batch: dict[str, Any], *, last: bool = False) -> None:
        over = sum(batch["counts"][state] or 0 for state in ("succeeded", "failed", "canceled", "expired", "invalid"))
        total = batch["counts"]["total"]
        self._bar.update(
            self._task,
            completed=over,
            total=total,
            pipeline=f"{batch['pipeline']} {batch['status']}",
            rest=_rest(batch),
        )
        if not self._console.is_terminal and (last or time.monotonic() - self._spoken >= _LINE_SECONDS):
            self._spoken = time.monotonic()
            self._console.print(f"{batch['status']}: {counts(batch['counts'])} {_rest(batch)}".rstrip(), markup=False)


def _rest(batch: dict[str, Any]) -> str:
    parts = []
    if batch["rate"]:
        parts.append(f"{batch['rate']:.1f} rows/s")
    if batch["eta"] is not None and batch["progress"] < 1:
        parts.append(f"{batch['eta']:.0f} s left")
    if failed := batch["counts"]["failed"] + batch["counts"]["invalid"]:
        parts.append(f"{failed:,} failed")
    return ", ".join(parts)
