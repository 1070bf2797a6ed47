"""The progress of an upload and of a batch: a bar on a terminal, a line now and then anywhere else."""

from __future__ import annotations

import time
from typing import IO, Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Column

from cli.show import counts

_LINE_SECONDS = 5.0
_LEAST_BAR = 8
_AWAY = "the server does not answer"


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
    name = TextColumn("{task.description}", markup=False)
    columns = (name, BarColumn(), DownloadColumn(table_column=_whole()), TransferSpeedColumn(table_column=_whole()))
    return Progress(*columns, console=console, transient=True, disable=not _is_live(console))


def _whole() -> Column:
    """Of a table whose bar is what becomes shorter."""
    return Column(no_wrap=True)


def _is_live(console: Console) -> bool:
    """Whether a line can be drawn again: colors may be forced into a log, a bar must not be."""
    return console.is_interactive and console.file.isatty()


class BatchProgress:
    """Shows one snapshot of a batch after another; on a terminal in one line, however narrow it is or becomes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._is_live = _is_live(console)
        columns = [TextColumn(f"{{task.fields[{part}]}}", markup=False) for part in ("name", "rest")]
        self._bar = Progress(columns[0], BarColumn(), columns[1], console=console, disable=not self._is_live)
        self._task = self._bar.add_task("", total=None, name="", rest="", visible=False)
        self._spoken = 0.0
        self._is_away = False

    def __enter__(self) -> BatchProgress:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def show(self, batch: dict[str, Any], *, last: bool = False) -> None:
        over = sum(batch["counts"][state] or 0 for state in ("succeeded", "failed", "canceled", "expired", "invalid"))
        total = batch["counts"]["total"]
        name, rest = fitting(batch, f"{over:,}/{'?' if total is None else format(total, ',')}", self._console.width)
        self._bar.update(self._task, completed=over, total=total, name=name, rest=rest, visible=True)
        self._is_away = False
        if last or time.monotonic() - self._spoken >= _LINE_SECONDS:
            self._spoken = time.monotonic()
            self._say(f"{batch['status']}: {', '.join([counts(batch['counts']), *_left(batch), *_rate(batch)])}")

    def away(self) -> None:
        """The server does not answer, and is asked again."""
        if not self._is_away:
            self._is_away = True
            self._bar.update(self._task, rest=_AWAY)
            self._say(f"{_AWAY}; trying again")

    def _say(self, words: str) -> None:
        if not self._is_live:
            self._console.print(words, markup=False, highlight=False, soft_wrap=True)


def fitting(batch: dict[str, Any], done: str, width: int) -> tuple[str, str]:
    """What stands before the bar and behind it: first things first, and as much as leaves the bar its least width."""
    name = str(batch["status"])
    room = width - len(name) - len(done) - _LEAST_BAR - 2
    rest = [done]
    for part in _parts(batch):
        if len(part) + 2 > room:
            break
        rest.append(part)
        room -= len(part) + 2
    if len(batch["pipeline"]) < room:
        name = f"{batch['pipeline']} {name}"
    return name, ", ".join(rest)


def _parts(batch: dict[str, Any]) -> list[str]:
    """What may stand behind the bar, the most telling first."""
    failed = batch["counts"]["failed"] + batch["counts"]["invalid"]
    return [*_left(batch), *([f"{failed:,} failed"] if failed else []), *_rate(batch)]


def _left(batch: dict[str, Any]) -> list[str]:
    return [] if batch["eta"] is None else [f"{_duration(batch['eta'])} left"]


def _rate(batch: dict[str, Any]) -> list[str]:
    return [f"{batch['rate']:,.1f} rows/s"] if batch["rate"] else []


def _duration(seconds: float) -> str:
    if seconds < 2 * 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 2 * 3600 else f"{seconds / 3600:.1f} h"
