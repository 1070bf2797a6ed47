"""Real processes for tests: free ports, temporary directories, waits on conditions, output in every failure.

    with running_stack(tmp_path, pipelines=FAKE) as stack:
        httpx.get(f"{stack.url}/livez")

A stack that stops must have taken everything it started with it; `running_stack` fails the test otherwise, and
ends what was left by its own id.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TypeVar

import psutil
import pytest

from cli.stack.program import leashed

ROOT = Path(__file__).resolve().parents[1]
T = TypeVar("T")

FAKE = """
[pipelines.fake]
task = "text-classification"
backend = "fake"
warm = true
"""


def wait_until(
    condition: Callable[[], T | None], *, seconds: float = 30, what: str, show: Callable[[], str] = str
) -> T:
    """The first true value of `condition`; a failure that says what was awaited, and what `show` has to say."""
    end = time.monotonic() + seconds
    pause = threading.Event()
    while not (value := condition()):
        if time.monotonic() > end:
            pytest.fail(f"waited {seconds} s for {what}\n{show()}", pytrace=False)
        pause.wait(0.05)
    return value


def clean_environment(**more: str) -> dict[str, str]:
    """This environment without any FOURNIL_ setting, able to import the repository from anywhere."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FOURNIL_")}
    path = os.pathsep.join(filter(None, [str(ROOT), kept.get("PYTHONPATH")]))
    return {**kept, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1", **more}


class Process:
    """One program, its output read as it comes."""

    def __init__(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path | None = None) -> None:
        self.out: list[str] = []
        self.err: list[str] = []
        self._process = subprocess.Popen(
            # On the leash: a test run that is killed leaves nothing behind either.
            leashed(argv),
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        assert self._process.stdout
        assert self._process.stderr
        self._readers = [
            _start_reader(self._process.stdout, self.out),
            _start_reader(self._process.stderr, self.err),
        ]

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        return self._process.poll()

    def shown(self) -> str:
        return f"exit code {self.exit_code}\n--- stdout\n{''.join(self.out)}--- stderr\n{''.join(self.err[-200:])}"

    def wait_for_line(self, words: str, *, seconds: float = 60) -> str:
        """The first line of stdout that holds `words`; fails at once when the process ends without it."""

        def line_or_end() -> str | None:
            found = next((line for line in list(self.out) if words in line), None)
            if found is None and self.exit_code is not None:
                pytest.fail(f"ended before it printed {words!r}\n{self.shown()}", pytrace=False)
            return found

        return wait_until(line_or_end, seconds=seconds, what=f"the line {words!r}", show=self.shown)

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self, *, seconds: float = 30) -> int:
        """Its exit code, with all it printed read."""
        wait_until(lambda: self.exit_code is not None, seconds=seconds, what="its end", show=self.shown)
        for reader in self._readers:
            reader.join(5)
        assert self.exit_code is not None
        return self.exit_code

    def descendants(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def end(self, *, seconds: float = 25) -> None:
        """SIGTERM, patience, SIGKILL; then nothing that it started may be alive."""
        family = self.descendants()
        if self.exit_code is None:
            self.send(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        # A helper that ends when its pipe is closed may need the processor once more to notice.
        psutil.wait_procs(family, timeout=3)
        left = alive(family)
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if self.exit_code is None:
            self._process.kill()
            self._process.wait()
        if left:
            pytest.fail(f"left behind: {[described(process) for process in left]}\n{self.shown()}", pytrace=False)


class Stack(Process):
    """`fournil up`, ready when the constructor's caller has waited with `ready`."""

    def __init__(self, data_dir: Path, *, options: Sequence[str] = (), cwd: Path, **env: str) -> None:
        self.data_dir = data_dir
        words = ["up", "--port", "0", "--data-dir", str(data_dir), *options]
        super().__init__(fournil(*words), env=clean_environment(**env), cwd=cwd)
        self.url = ""

    def ready(self, *, seconds: float = 90) -> Stack:
        self.url = self.wait_for_line("Fournil is ready:", seconds=seconds).split()[3]
        return self

    def child(self, *words: str) -> psutil.Process:
        """The one direct child whose command line holds every word: "web.wsgi", "oven", "scheduler", "valkey"."""
        return wait_until(lambda: self._child(words), what=f"a child {words}", show=self.shown)

    def _child(self, words: Sequence[str]) -> psutil.Process | None:
        for process in psutil.Process(self.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                line = " ".join(process.cmdline())
                if "leash.py" not in line and all(word in line for word in words):
                    return process
        return None


@contextlib.contextmanager
def running_stack(
    folder: Path, *, pipelines: str = FAKE, options: Sequence[str] = (), wait: bool = True, **env: str
) -> Iterator[Stack]:
    """A stack with its data in `folder`/data and these pipelines; `options` go to `up`, `env` holds variables."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "pipelines.toml"
    file.write_text(pipelines, encoding="utf-8")
    stack = Stack(folder / "data", options=["--pipelines", str(file), *options], cwd=folder, **env)
    try:
        if wait:
            stack.ready()
        yield stack
    finally:
        stack.end()


def fournil(*words: str) -> list[str]:
    """The command line of `fournil`, as this interpreter runs it."""
    return [sys.executable, "-m", "cli.main", *words]


def run_fournil(*words: str, cwd: Path, seconds: float = 60, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; its output is text."""
    return subprocess.run(
        fournil(*words),
        env=clean_environment(**env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def free_port() -> int:
    """A port that was free a moment ago, for a server that cannot be handed a socket."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def alive(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Those that still run; a zombie has ended."""
    return [process for process in processes if _runs(process)]


def wait_until_gone(processes: Sequence[psutil.Process], *, show: Callable[[], str] = str) -> None:
    """A SIGKILL that was sent is not yet a death: the kernel may need a moment for it."""
    wait_until(lambda: not alive(processes), seconds=5, what="the end of every process", show=show)


def described(process: psutil.Process) -> str:
    try:
        return f"{process.pid} {' '.join(process.cmdline())[:200]}"
    except psutil.Error:
        return str(process.pid)


def _runs(process: psutil.Process) -> bool:
    try:
        # is_running compares start times: another process with the same id is not this one.
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _start_reader(stream: IO[str], lines: list[str]) -> threading.Thread:
    def read() -> None:
        for line in stream:
            lines.append(line)
        stream.close()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    return reader
