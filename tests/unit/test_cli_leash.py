"""The two small programs that keep a killed supervisor from leaving anything behind."""

from __future__ import annotations

import os
import signal
import subprocess
import types

import pytest

from cli.stack import guardian, leash


@pytest.fixture
def group():
    """A process in a group of its own."""
    process = subprocess.Popen(["sleep", "600"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def test_the_guardian_kills_the_groups_that_are_left(group):
    guardian.main([f"+{group.pid}\n"])

    assert group.wait(10) == -signal.SIGKILL


def test_the_guardian_spares_the_groups_that_ended_in_order(group):
    guardian.main([f"+{group.pid}\n", f"-{group.pid}\n"])

    assert group.poll() is None


def test_a_group_that_is_gone_already_is_no_trouble(group):
    group.kill()
    group.wait()

    guardian.main([f"+{group.pid}\n"])


class Ended(Exception):
    pass


@pytest.fixture
def calls(monkeypatch):
    """What the leash asks of the system, with nothing done to this process."""
    made = []

    def end(code):
        made.append(("exit", code))
        raise Ended

    library = types.SimpleNamespace(prctl=lambda *words: made.append(("prctl", *words)))
    monkeypatch.setattr(leash.ctypes, "CDLL", lambda name: library)
    monkeypatch.setattr(leash.os, "_exit", end)
    monkeypatch.setattr(leash.os, "sched_setaffinity", lambda pid, cpus: made.append(("cores", cpus)))
    monkeypatch.setattr(leash.os, "execvp", lambda path, argv: made.append(("run", argv)))
    return made


def test_the_leash_is_on_before_the_command_runs(calls):
    leash.main([str(os.getppid()), "0,3", "bake", "--hot"])

    assert calls == [("prctl", 1, signal.SIGKILL), ("cores", {0, 3}), ("run", ["bake", "--hot"])]


def test_without_cores_the_command_keeps_all(calls):
    leash.main([str(os.getppid()), "-", "bake"])

    assert [name for name, *_ in calls] == ["prctl", "run"]


def test_a_parent_that_died_first_is_noticed(calls):
    with pytest.raises(Ended):
        leash.main(["1234567", "-", "bake"])

    assert calls[-1] == ("exit", 1)


def test_a_command_that_is_not_there_is_exit_code_127(calls, monkeypatch, capsys):
    def missing(path, argv):
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(leash.os, "execvp", missing)

    with pytest.raises(Ended):
        leash.main([str(os.getppid()), "-", "bake"])

    assert calls[-1] == ("exit", 127)
    assert "cannot start bake: No such file" in capsys.readouterr().err
