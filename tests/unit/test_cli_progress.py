"""The progress of a batch: one line on a terminal of any width, lines now and then elsewhere."""

from __future__ import annotations

import io
import os
import pty
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

from cli.progress import BatchProgress, fitting, upload_bar

COUNTS = {"total": 1_000_000, "queued": 599_000, "running": 512, "succeeded": 400_488, "failed": 0, "invalid": 0}
BATCH = {
    "pipeline": "sentiment", "status": "running", "counts": {**COUNTS, "canceled": 0, "expired": 0}, "progress": 0.4,
    "rate": 5432.1, "eta": 110.4,
}  # fmt: skip
FAILED = {**BATCH, "counts": {**BATCH["counts"], "failed": 12, "invalid": 3}, "eta": 8000.0}


@pytest.mark.parametrize(
    ("batch", "width", "line"),
    [
        (BATCH, 100, "sentiment running|400,488/1,000,000, 110 s left, 5,432.1 rows/s"),
        (BATCH, 60, "sentiment running|400,488/1,000,000, 110 s left"),
        (BATCH, 50, "running|400,488/1,000,000, 110 s left"),
        (BATCH, 40, "running|400,488/1,000,000"),
        (FAILED, 100, "sentiment running|400,488/1,000,000, 2.2 h left, 15 failed, 5,432.1 rows/s"),
        (FAILED, 64, "running|400,488/1,000,000, 2.2 h left, 15 failed"),
        ({**BATCH, "pipeline": "p" * 64, "eta": None}, 80, "running|400,488/1,000,000, 5,432.1 rows/s"),
    ],
)
def test_what_is_said_fits_the_width_and_the_time_left_comes_first(batch, width, line):
    assert "|".join(fitting(batch, "400,488/1,000,000", width)) == line


@pytest.fixture
def terminal() -> Iterator[io.TextIOWrapper]:
    inner, outer = pty.openpty()
    with os.fdopen(outer, "w", encoding="utf-8") as file:
        yield file
    os.close(inner)


@pytest.mark.parametrize("width", [40, 80])
def test_the_bar_is_one_line_of_a_narrow_terminal(terminal, width):
    progress = BatchProgress(Console(file=terminal, width=width, force_terminal=True))
    drawn = Console(file=io.StringIO(), width=width, force_terminal=False)
    for batch in (BATCH, FAILED):
        progress.show(batch)
        drawn.print(progress._bar.get_renderable())
    progress.away()
    drawn.print(progress._bar.get_renderable())

    lines = said(drawn)
    assert len(lines) == 3
    assert all(len(line) <= width and "…" not in line for line in lines)
    assert "the server does not answer" in lines[2]


def test_where_nothing_can_be_drawn_again_lines_are_said_and_silence_of_the_server_once():
    # Colors are forced, as in logs of CI; a bar is not.
    console = Console(file=io.StringIO(), width=40, force_terminal=True, no_color=True)
    with BatchProgress(console) as progress:
        for step in (FAILED, None, None, BATCH, None):
            progress.away() if step is None else progress.show(step)
        progress.show({**BATCH, "status": "completed", "eta": None, "progress": 1}, last=True)

    away = "the server does not answer; trying again"
    rows = "1,000,000 in all: 599,000 queued, 512 running, 400,488 succeeded"
    assert said(console) == [
        f"running: {rows}, 12 failed, 3 invalid, 2.2 h left, 5,432.1 rows/s",
        away,
        away,
        f"completed: {rows}, 5,432.1 rows/s",
    ]


def test_the_bar_of_an_upload_is_one_line_too(terminal):
    bar = upload_bar(Console(file=terminal, width=40, force_terminal=True))
    bar.update(bar.add_task("upload [all] my reviews.csv", total=288_900), completed=288_900)
    drawn = Console(file=io.StringIO(), width=40, force_terminal=False)
    drawn.print(bar.get_renderable())
    (line,) = said(drawn)
    assert line.startswith("upload [all]")


def said(console: Console) -> list[str]:
    file: Any = console.file
    return [line.rstrip() for line in file.getvalue().splitlines()]
