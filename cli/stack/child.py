"""One running process: in a session of its own, on the leash, its output in a pipe that never blocks the loop."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess

from cli.stack.program import Program, leashed

_CHUNK = 1 << 16


class Child:
    def __init__(self, program: Program, *, now: float) -> None:
        self.program = program
        self.started = now
        self._rest = b""
        self._process = subprocess.Popen(
            leashed(program.argv, cpus=program.cpus),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(program.env),
            pass_fds=program.fds,
            start_new_session=True,
        )
        assert self._process.stdout
        self.output = self._process.stdout.fileno()
        os.set_blocking(self.output, False)

    @property
    def pid(self) -> int:
        return self._process.pid

    def lines(self) -> list[bytes]:
        """Whole lines printed since the last call."""
        with contextlib.suppress(BlockingIOError):
            self._rest += os.read(self.output, _CHUNK)
        *lines, self._rest = self._rest.split(b"\n")
        if len(self._rest) > _CHUNK:
            lines, self._rest = [*lines, self._rest], b""
        return lines

    def last_lines(self) -> list[bytes]:
        """What a dead child still has in its pipe."""
        lines = []
        while more := self.lines():
            lines += more
        return [*lines, self._rest] if self._rest else lines

    def terminate(self) -> None:
        """Ask the leader only: its pool processes are its own to end, after their work."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)

    def kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def dead(self) -> bool:
        """Whether the leader is gone; it stays a zombie until `bury`, so that its group keeps its number."""
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.pid, flags) is not None

    def bury(self) -> int:
        """Kill what the leader left in its group, then reap it; its exit code (negative: a signal)."""
        self.kill_group()
        code = self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()
        return code
