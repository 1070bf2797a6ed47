"""Many cases in a process that is watched from outside: when it dies, hangs or swells, another goes on behind it."""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import time
from collections import Counter
from multiprocessing.connection import Connection
from typing import Any

import psutil

from tests.fuzz.cases import case
from tests.fuzz.reading import Answer, answer, limited

#: Of memory, for the process that reads and those it starts.
MOST_BYTES = 2 << 30
_LOOK_SECONDS = 0.1


@dataclasses.dataclass
class Findings:
    cases: Counter[str] = dataclasses.field(default_factory=Counter)
    #: By what became of them, and by format where they were read.
    answers: Counter[str] = dataclasses.field(default_factory=Counter)
    read: Counter[str] = dataclasses.field(default_factory=Counter)
    good_rows: int = 0
    bad_rows: int = 0
    slowest_seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    #: Most that was held when somebody looked.
    held_bytes: int = 0
    troubles: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    def note(self, number: int, format: str, seconds: float, found: Answer) -> None:
        self.cases[format] += 1
        self.answers["trouble" if found.trouble else found.code or "read"] += 1
        self.read[format] += found.code is None and found.trouble is None
        self.good_rows += found.good
        self.bad_rows += found.bad
        self.slowest_seconds[format] = round(max(self.slowest_seconds.get(format, 0.0), seconds), 3)
        if found.trouble:
            self.troubles.append({"case": number, "format": format, "what": found.trouble})

    def add(self, other: Findings) -> None:
        """What another run found, too."""
        for mine, theirs in ((self.cases, other.cases), (self.answers, other.answers), (self.read, other.read)):
            mine.update(theirs)
        self.good_rows += other.good_rows
        self.bad_rows += other.bad_rows
        self.held_bytes = max(self.held_bytes, other.held_bytes)
        self.troubles += other.troubles
        for format, seconds in other.slowest_seconds.items():
            self.slowest_seconds[format] = max(self.slowest_seconds.get(format, 0.0), seconds)


def run(seed: int, numbers: range, *, seconds: float) -> Findings:
    """Every case once. One that takes more than `seconds` is trouble, and its process ends."""
    findings = Findings()
    while numbers:
        done = _in_one_process(seed, numbers, seconds, findings)
        numbers = numbers[done:]
    return findings


def _in_one_process(seed: int, numbers: range, seconds: float, findings: Findings) -> int:
    """How many cases it came to know the end of: all of them, or as many as a process lived for."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    # No daemon: a workbook is read by a process of its own.
    child = context.Process(target=_read_all, args=(seed, numbers, theirs))
    child.start()
    theirs.close()
    try:
        for done, number in enumerate(numbers):
            began = time.monotonic()
            found = _next_answer(ours, psutil.Process(child.pid), seconds, findings)
            if isinstance(found, str):
                findings.note(
                    number, case(seed, number).format, time.monotonic() - began, Answer(None, trouble=found)
                )
                return done + 1
            findings.note(number, *found)
        return len(numbers)
    finally:
        child.kill()
        child.join()
        ours.close()


def _read_all(seed: int, numbers: range, out: Connection) -> None:
    limited()
    for number in numbers:
        one = case(seed, number)
        began = time.perf_counter()
        found = answer(one, seed)
        out.send((one.format, time.perf_counter() - began, found))


def _next_answer(
    answers: Connection, process: psutil.Process, seconds: float, findings: Findings
) -> tuple[str, float, Answer] | str:
    """`(format, seconds, answer)`, or why there is none."""
    until = time.monotonic() + seconds
    try:
        while not answers.poll(_LOOK_SECONDS):
            held = _held(process)
            findings.held_bytes = max(findings.held_bytes, held)
            if held > MOST_BYTES:
                return f"It took {held >> 20} MB."
            if time.monotonic() > until:
                return "It took too long."
        found: tuple[str, float, Answer] = answers.recv()
    except EOFError:
        return "The process died."
    return found


def _held(process: psutil.Process) -> int:
    """Bytes of a process and those it started, as many as live: a reader of workbooks comes and goes."""
    held = 0
    with contextlib.suppress(psutil.Error):
        for one in (process, *process.children()):
            with contextlib.suppress(psutil.Error):
                held += one.memory_info().rss
    return held
