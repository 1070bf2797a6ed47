"""The supervisor with real processes: it restarts what dies, stops in order, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cli.stack.logbook import Logbook
from cli.stack.program import GRACE, Program, Stage
from cli.stack.signals import Signals
from cli.stack.supervisor import Supervisor
from tests.processes import Process, alive, clean_environment, wait_until, wait_until_gone

#: Prints its name, has a child of its own, and stays; TERM ends it with a word.
GOOD = """
import signal, subprocess, sys, time
subprocess.Popen(["sleep", "600"])
def end(number, frame):
    print("stopped", time.monotonic(), flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("up", flush=True)
while True:
    time.sleep(600)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
time.sleep(600)
"""


def program(name: str, script: str = GOOD, *, stage: Stage = Stage.OVENS, **more) -> Program:
    return Program(name, (sys.executable, "-c", script), stage, dict(os.environ), **more)


class House:
    def __init__(self, folder: Path) -> None:
        self.signals = Signals()
        self.logs = folder
        self.supervisor = Supervisor(Logbook(folder), self.signals)
        self.seen: list[psutil.Process] = []

    def start(self, wanted: Program) -> psutil.Process:
        child = self.supervisor.start(wanted)
        self.until(lambda: "up" in self.log(wanted.name), f"{wanted.name} to be up")
        process = psutil.Process(child.pid)
        self.seen += [process, *process.children(recursive=True)]
        return process

    def until(self, condition, what: str, seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"waited for {what}: {self.log_of_all()}"
            self.supervisor.step(0.05)

    def log(self, name: str) -> str:
        path = self.logs / f"{name}.log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def log_of_all(self) -> str:
        return "\n".join(f"{path.name}: {path.read_text(encoding='utf-8')}" for path in self.logs.iterdir())


@pytest.fixture
def house(tmp_path) -> Iterator[House]:
    built = House(tmp_path / "logs")
    yield built
    if not built.supervisor.stopped:
        built.signals.stops = 2
        built.supervisor.stop()
    built.signals.close()
    wait_until_gone(built.seen)


def test_a_killed_child_is_started_again_and_its_own_children_are_gone(house):
    first = house.start(program("oven"))
    family = first.children()
    assert family

    first.kill()
    house.until(lambda: house.log("oven").count("up") == 2, "a second start")

    wait_until_gone([first, *family])
    house.seen += [psutil.Process(house.supervisor.children["oven"].pid)]


def test_a_program_that_keeps_dying_is_tried_ever_more_slowly(house):
    house.supervisor.start(program("oven", "print('no bread'); raise SystemExit(3)"))
    house.until(lambda: house.supervisor.failures("oven") == 2, "two deaths")

    assert house.supervisor.exit_codes["oven"] == 3
    assert "no bread" in house.supervisor.logbook.tail("oven")


def test_a_program_that_is_not_there_says_so(house):
    house.supervisor.start(Program("oven", ("/no/such/program",), Stage.OVENS, {}))
    house.until(lambda: house.supervisor.failures("oven") == 1, "its death")

    assert "cannot start /no/such/program" in house.log("oven")


def test_stopping_goes_web_scheduler_ovens_broker(house):
    for name, stage in (
        ("valkey", Stage.BROKER),
        ("oven", Stage.OVENS),
        ("scheduler", Stage.SCHEDULER),
        ("web", Stage.WEB),
    ):
        house.start(program(name, stage=stage))

    house.supervisor.stop()

    stopped = {name: float(house.log(name).split()[-1]) for name in ("web", "scheduler", "oven", "valkey")}
    assert sorted(stopped, key=stopped.__getitem__) == ["web", "scheduler", "oven", "valkey"]
    wait_until_gone(house.seen)


def test_what_does_not_stop_in_time_is_killed(house, monkeypatch):
    monkeypatch.setitem(GRACE, Stage.OVENS, 0.3)
    house.start(program("oven", STUBBORN))

    house.supervisor.stop()

    assert house.supervisor.exit_codes["oven"] == -signal.SIGKILL


def test_a_second_request_to_stop_does_not_wait(house):
    house.start(program("oven", STUBBORN))
    house.signals.stops = 2
    begun = time.monotonic()

    house.supervisor.stop()

    assert time.monotonic() - begun < GRACE[Stage.OVENS] / 2


def test_a_program_that_runs_once_gives_its_exit_code_and_all_it_printed(house):
    code = house.supervisor.run_once(program("migrate", "print('done'); raise SystemExit(4)", kept=False))

    assert code == 4
    assert house.log("migrate") == "done\n"


def test_a_request_to_stop_ends_what_runs_once(house):
    house.signals.stops = 1

    assert house.supervisor.run_once(program("migrate", GOOD, kept=False)) in (0, -signal.SIGTERM)


def test_a_flood_of_output_loses_no_line(house):
    house.start(program("oven", "print('up')\nfor i in range(50_000): print('row', i)\nimport time; time.sleep(600)"))
    house.until(lambda: "row 49999\n" in house.log("oven"), "the last line", seconds=60)

    assert house.log("oven").count("row ") == 50_000


def test_a_log_file_that_grows_too_large_makes_room(house, monkeypatch):
    monkeypatch.setattr("cli.stack.logbook.MAX_BYTES", 1000)
    house.supervisor.start(program("oven", "for i in range(500): print('row', i)\nimport time; time.sleep(600)"))
    house.until(lambda: "row 499\n" in house.log("oven"), "the last line")

    assert (house.logs / "oven.log").stat().st_size < 2000
    assert (house.logs / "oven.log.1").exists()


def test_children_are_held_to_their_cores(house):
    core = min(os.sched_getaffinity(0))
    process = house.start(program("oven", cpus=frozenset({core})))

    assert process.cpu_affinity() == [core]


def test_a_guardian_that_was_killed_is_replaced_and_knows_everyone(house):
    house.start(program("oven"))
    before = house.supervisor._guardian
    before.kill()
    before.wait()

    house.start(program("web", stage=Stage.WEB))

    assert house.supervisor._guardian.pid != before.pid


SUPERVISED = """
import sys
from pathlib import Path
from tests.integration.test_supervisor import *
house = House(Path(sys.argv[1]))
house.start(program("oven", GOOD))
house.start(program("stubborn", STUBBORN))
print("ready", flush=True)
while True:
    house.supervisor.step()
"""


def test_kill_9_of_the_supervisor_leaves_no_process(tmp_path):
    supervising = Process([sys.executable, "-c", SUPERVISED, str(tmp_path)], env=clean_environment())
    supervising.wait_for_line("ready")
    family = supervising.descendants()
    assert len(family) >= 4  # two children, the sleep that one of them started, the guardian

    supervising.send(signal.SIGKILL)

    wait_until(lambda: not alive(family), seconds=10, what="the end of the family", show=supervising.shown)
    supervising.end()
