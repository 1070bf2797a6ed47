"""Keeps programs running: one loop that reads, reaps, restarts and, at the end, stops in order.

A dead leader's process group is killed before the leader is reaped: until then the kernel cannot give its
number to anybody else, so no stranger can be hit.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from cli.stack.backoff import Backoff
from cli.stack.child import Child
from cli.stack.logbook import Logbook
from cli.stack.program import GRACE, Program, Stage
from cli.stack.signals import Signals
from contract.logs import get_logger

_GUARDIAN = Path(__file__).with_name("guardian.py")
log = get_logger("fournil")


class Supervisor:
    def __init__(self, logbook: Logbook, signals: Signals) -> None:
        self.logbook = logbook
        self.signals = signals
        self.children: dict[str, Child] = {}
        self.backoffs: dict[str, Backoff] = {}
        self.exit_codes: dict[str, int] = {}
        self.stopped = False
        self._due: dict[str, tuple[float, Program]] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(signals, selectors.EVENT_READ)
        self._guardian = self._start_guardian()

    def start(self, program: Program) -> Child:
        child = self.children[program.name] = Child(program, now=time.monotonic())
        self._selector.register(child.output, selectors.EVENT_READ, child)
        self._tell_guardian(f"+{child.pid}")
        log.info("started", program=program.name, pid=child.pid)
        return child

    def step(self, timeout: float = 1.0) -> None:
        """One turn: wait for output, a death or a signal, and act on it."""
        for key, _ in self._selector.select(self._patience(timeout)):
            if key.data is None:
                self.signals.drain()
            else:
                self._read(key.data)
        for child in [child for child in self.children.values() if child.dead()]:
            self._bury(child)
        self._start_due()

    def run_until(self, condition: Callable[[], bool], *, seconds: float = float("inf")) -> bool:
        """Step until `condition`, or until somebody asks to stop; True when the condition holds."""
        end = time.monotonic() + seconds
        while not condition():
            if self.signals.stops or time.monotonic() >= end:
                return False
            self.step(0.1)
        return True

    def run_once(self, program: Program) -> int:
        """Run a program to its end; its exit code. A request to stop ends it."""
        child = self.start(program)
        while program.name in self.children:
            if self.signals.stops:
                child.terminate()
            self.step(0.1)
        return self.exit_codes[program.name]

    def failures(self, name: str) -> int:
        """How often in a row a program died young."""
        return self.backoffs[name].failures if name in self.backoffs else 0

    def stop(self) -> None:
        """Web, scheduler, ovens, broker: each asked, given its grace, then killed. A second request kills all."""
        self.stopped = True
        self._due.clear()
        for stage in Stage:
            self._stop_stage([child for child in self.children.values() if child.program.stage is stage], stage)
        self._close_guardian()
        self._selector.close()

    def _stop_stage(self, children: Iterable[Child], stage: Stage) -> None:
        names = {child.program.name for child in children}
        for child in self._alive(names):
            child.terminate()
        end = time.monotonic() + GRACE[stage]
        while self._alive(names) and self.signals.stops < 2 and time.monotonic() < end:
            self.step(0.1)
        for child in self._alive(names):
            log.warning("killed: it did not stop in time", program=child.program.name, pid=child.pid)
            child.kill_group()
        while self._alive(names):
            self.step(0.1)

    def _alive(self, names: set[str]) -> list[Child]:
        return [child for name, child in self.children.items() if name in names]

    def _patience(self, timeout: float) -> float:
        now = time.monotonic()
        return max(0.0, min([timeout, *(due - now for due, _ in self._due.values())]))

    def _read(self, child: Child) -> None:
        for line in child.lines():
            self.logbook.write(child.program.name, line)

    def _bury(self, child: Child) -> None:
        name = child.program.name
        self._selector.unregister(child.output)
        for line in child.last_lines():
            self.logbook.write(name, line)
        code = self.exit_codes[name] = child.bury()
        self._tell_guardian(f"-{child.pid}")
        del self.children[name]
        if child.program.kept and not self.stopped:
            self._schedule(child, code)

    def _schedule(self, child: Child, code: int) -> None:
        now = time.monotonic()
        program = child.program
        backoff = self.backoffs.setdefault(program.name, Backoff())
        delay = backoff.died(lived=now - child.started)
        self._due[program.name] = (now + delay, program)
        log.warning("died; starting it again", program=program.name, exit_code=code, in_seconds=delay)

    def _start_due(self) -> None:
        now = time.monotonic()
        for name, (due, program) in list(self._due.items()):
            if due <= now:
                del self._due[name]
                self.start(program)

    def _start_guardian(self) -> subprocess.Popen[bytes]:
        guardian = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_GUARDIAN)], stdin=subprocess.PIPE, start_new_session=True
        )
        for child in self.children.values():
            _write_line(guardian, f"+{child.pid}")
        return guardian

    def _tell_guardian(self, line: str) -> None:
        try:
            _write_line(self._guardian, line)
        except BrokenPipeError:
            # It was killed. The new one hears of every child, and of this line after that.
            self._guardian.wait()
            self._guardian = self._start_guardian()
            _write_line(self._guardian, line)

    def _close_guardian(self) -> None:
        assert self._guardian.stdin
        self._guardian.stdin.close()
        self._guardian.wait()


def _write_line(guardian: subprocess.Popen[bytes], line: str) -> None:
    assert guardian.stdin
    os.write(guardian.stdin.fileno(), line.encode() + b"\n")
