"""`fournil up` and its client as processes: ready, supervised, stopped, started again; two never in one place."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.processes import (
    FAKE,
    Stack,
    alive,
    clean_environment,
    fournil,
    run_fournil,
    running_stack,
    wait_until,
    wait_until_gone,
)

WAIT = {"Prefer": "wait=30"}
DONE = "succeeded"

CHILDREN = {
    "valkey": ("valkey-server",),
    "web": ("gunicorn", "web.wsgi"),
    "oven": ("worker.node", "oven"),
    "upkeep": ("worker.node", "upkeep"),
    "scheduler": ("worker.node", "scheduler"),
}


@pytest.fixture
def stack(tmp_path):
    """A stack of the test's own, to stop and to hurt."""
    with running_stack(tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One stack for every test that only uses it."""
    with running_stack(tmp_path_factory.mktemp("shared")) as running:
        yield running


def submit(stack: Stack, text: str, *, wait: bool = True) -> httpx.Response:
    body = {"pipeline": "fake", "inputs": {"text": text}}
    return httpx.post(f"{stack.url}/api/v1/jobs", json=body, headers=WAIT if wait else {}, timeout=60)


def is_done(stack: Stack, job_id: str) -> Callable[[], bool]:
    def done() -> bool:
        return bool(httpx.get(f"{stack.url}/api/v1/jobs/{job_id}", timeout=10).json()["status"] == DONE)

    return done


def test_up_prints_one_ready_line_and_stops_with_all_it_started(stack):
    assert submit(stack, "hello").json()["status"] == DONE
    family = stack.descendants()
    assert len(family) > len(CHILDREN)

    stack.send(signal.SIGTERM)

    assert stack.wait(seconds=18) == 0
    wait_until_gone(family, show=stack.shown)
    assert stack.out == [f"Fournil is ready: {stack.url} (pipelines: fake)\n"]
    logs = {path.name for path in (stack.data_dir / "logs").iterdir()}
    assert {"web.log", "oven-cpu0.log", "valkey.log", "migrate.log", "supervisor.log"} <= logs


def test_ctrl_c_stops_everything_with_a_job_in_the_oven(stack):
    submit(stack, "sleep:60", wait=False)
    wait_until(lambda: _count(stack, "running") == 1, what="the job in the oven", show=stack.shown)
    family = stack.descendants()

    stack.send(signal.SIGINT)

    assert stack.wait(seconds=18) == 0
    wait_until_gone(family, show=stack.shown)


def test_kill_9_of_up_leaves_no_process(stack):
    family = stack.descendants()

    stack.send(signal.SIGKILL)

    wait_until(lambda: not alive(family), seconds=15, what="the end of the family", show=stack.shown)


def test_kill_9_of_each_child_is_mended_and_jobs_go_on(stack):
    for name, words in CHILDREN.items():
        child = stack.child(*words)
        child.kill()
        wait_until(lambda gone=child: not alive([gone]), what=f"the death of {name}")

    for words in CHILDREN.values():
        stack.child(*words)
    wait_until(lambda: _ready(stack), seconds=60, what="readiness", show=stack.shown)
    assert submit(stack, "after the storm").json()["status"] == DONE


def test_a_second_ctrl_c_stops_at_once(stack):
    submit(stack, "sleep:20", wait=False)
    family = stack.descendants()
    oven = stack.child(*CHILDREN["oven"])
    stack.send(signal.SIGINT)
    wait_until(lambda: any("stopping" in line for line in stack.err), what="the first to be heard", show=stack.shown)

    stack.send(signal.SIGINT)

    stack.wait(seconds=5)
    wait_until_gone([oven, *family], show=stack.shown)


def test_a_second_start_goes_on_where_the_first_stopped(tmp_path):
    with running_stack(tmp_path, FOURNIL_LEASE_SECONDS="3") as first:
        submit(first, "sleep:5", wait=False)
        waiting = [submit(first, f"row {i}", wait=False).json()["id"] for i in range(20)]

    with running_stack(tmp_path, FOURNIL_LEASE_SECONDS="3") as second:
        for job_id in waiting:
            wait_until(is_done(second, job_id), seconds=120, what=f"job {job_id}", show=second.shown)


def test_a_second_up_on_the_same_folder_says_so(shared):
    done = run_fournil("up", "--port", "0", "--data-dir", str(shared.data_dir), cwd=shared.data_dir)

    assert done.returncode == 2
    assert f"Another `fournil up` (process {shared.pid}) uses the data directory" in done.stderr


def test_a_port_that_is_taken_is_named(shared, tmp_path):
    port = shared.url.rpartition(":")[2]
    done = run_fournil("up", "--port", port, "--data-dir", str(tmp_path / "other"), cwd=tmp_path)

    assert done.returncode == 2
    assert f"port {port}: another program has it" in done.stderr


def test_two_stacks_on_one_machine_do_not_meet(shared, tmp_path):
    with running_stack(tmp_path / "other") as other:
        mine = submit(shared, "mine").json()["id"]

        assert httpx.get(f"{other.url}/api/v1/jobs/{mine}").status_code == 404
        other_jobs = httpx.get(f"{other.url}/api/v1/jobs").json()["data"]
        assert other_jobs == []
    assert submit(shared, "the other one is gone").json()["status"] == DONE


def test_two_slots_are_two_processes_on_cores_of_their_own(tmp_path):
    if len(psutil.Process().cpu_affinity()) < 2:
        pytest.skip("needs two cores")
    more = FAKE + FAKE.replace("pipelines.fake", "pipelines.other")
    with running_stack(tmp_path, pipelines=more, options=["--devices", "cpu*2"]) as stack:
        assert "(pipelines: fake, other)" in stack.out[0]
        ovens = [p for p in psutil.Process(stack.pid).children() if "oven" in " ".join(p.cmdline())]
        cores = [set(process.cpu_affinity()) for process in ovens]

        assert len(cores) == 2
        assert not cores[0] & cores[1]
        assert submit(stack, "either").json()["status"] == DONE


def test_a_stack_that_cannot_start_says_why_and_ends(tmp_path):
    done = run_fournil(
        *("up", "--port", "0", "--data-dir", str(tmp_path)),
        cwd=tmp_path,
        FOURNIL_DATABASE_URL="postgresql+psycopg://nobody@127.0.0.1:1/none?connect_timeout=2",
    )

    assert done.returncode == 1
    assert "The database cannot be made ready." in done.stderr


def test_the_client_commands_against_the_real_server(shared, tmp_path):
    def client(*words: str):
        return run_fournil(*words, cwd=tmp_path, FOURNIL_URL=shared.url)

    job = json.loads(client("submit", "fake", "four", "--wait", "--json", "--param", "top_k=1").stdout)
    assert job["result"] == [{"label": "even", "score": 0.9}]
    assert client("submit", "fake", "raise", "--wait").returncode == 1
    assert "succeeded" in client("status", job["id"]).stdout
    assert client("submit", "no-such", "text").returncode == 5
    assert client("submit", "fake", "text", "--param", "shell=rm").returncode == 4
    assert "fake" in client("pipelines").stdout
    assert client("cancel", job["id"]).returncode == 0
    assert client("doctor", "--data-dir", str(shared.data_dir)).returncode == 0


def test_a_batch_from_the_shell_comes_back_joined_and_in_order(shared, tmp_path):
    rows = "".join(f"r{i},{'x' * (i % 7 + 1)}\n" for i in range(300))
    (tmp_path / "reviews.csv").write_text(f"ref,review\n{rows}", encoding="utf-8")

    done = run_fournil(
        *("batch", "fake", "reviews.csv", "--input", "text=review", "--id-column", "ref", "--out", "results.csv"),
        cwd=tmp_path,
        FOURNIL_URL=shared.url,
    )

    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "results.csv").read_text(encoding="utf-8-sig").splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == [f"r{i}" for i in range(300)]


def test_watching_draws_one_line_of_a_terminal_and_ctrl_c_stops_nothing_but_that(shared, tmp_path):
    (tmp_path / "slow.csv").write_text("text\nsleep:60\n", encoding="utf-8")
    with Screen("batch", "fake", "slow.csv", "--watch", cwd=tmp_path, FOURNIL_URL=shared.url, NO_COLOR="1") as screen:
        screen.resize(80)
        screen.wait_for("fake running ")
        screen.resize(40)
        screen.wait_for("running ", width=40)
        screen.process.send_signal(signal.SIGINT)
        assert screen.end() == 130
        said = screen.wait_for("The batch goes on: fournil status ", width=80)

    batch_id = said.split()[-1]
    found = run_fournil("status", batch_id, "--json", cwd=tmp_path, FOURNIL_URL=shared.url)
    assert json.loads(found.stdout)["status"] == "running"
    assert run_fournil("cancel", batch_id, cwd=tmp_path, FOURNIL_URL=shared.url).returncode == 0


@contextlib.contextmanager
def hearing_ctrl_c() -> Iterator[None]:
    """Whoever is started here hears it, though a shell started these tests in its background, where nobody does."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Screen:
    """A command on a terminal of its own."""

    def __init__(self, *words: str, cwd: Path, **env: str) -> None:
        self._keyboard, inner = pty.openpty()
        kept = {name: value for name, value in clean_environment().items() if name not in ("COLUMNS", "LINES")}
        with hearing_ctrl_c():
            self.process = subprocess.Popen(
                fournil(*words),
                stdin=inner,
                stdout=inner,
                stderr=inner,
                cwd=cwd,
                env={**kept, "TERM": "xterm", **env},
            )
        os.close(inner)
        self._drawn: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        os.close(self._keyboard)

    def end(self) -> int:
        """Its exit code, with all it drew read."""
        code = self.process.wait(20)
        self._reader.join()
        return code

    def _read(self) -> None:
        # Where nobody has the other end any more Linux says EIO.
        with contextlib.suppress(OSError):
            while said := os.read(self._keyboard, 65_536):
                self._drawn.append(said.decode(errors="replace"))

    def resize(self, columns: int) -> None:
        """What was drawn before is forgotten."""
        fcntl.ioctl(self._keyboard, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
        self._drawn.clear()

    def wait_for(self, words: str, *, width: int = 80) -> str:
        """A line with these words that is no longer than the terminal is wide, and cut nowhere."""

        def line() -> str | None:
            plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", "".join(self._drawn))
            lines = [one.rstrip() for one in re.split(r"[\r\n]+", plain)]
            return next((one for one in lines if words in one and len(one) <= width and "…" not in one), None)

        return wait_until(line, what=f"the line {words!r}", show=lambda: repr(self._drawn[-20:]))


def _ready(stack: Stack) -> bool:
    try:
        return httpx.get(f"{stack.url}/readyz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def _count(stack: Stack, status: str) -> int:
    return len(httpx.get(f"{stack.url}/api/v1/jobs?status={status}", timeout=10).json()["data"])
