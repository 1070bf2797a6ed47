"""How many cores are ours: on a host, in a container that is held to some, and in one with a quota of time."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from contract import cores

Container = Callable[..., None]


@pytest.fixture
def container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Container:
    """What the kernel says of one, on a host of 64 cores; None: nothing."""

    def make(*, affinity: int = 64, quota: str | None = None, cpuset: str | None = None) -> None:
        for name, text in (("_QUOTA", quota), ("_CPUSET", cpuset)):
            file = tmp_path / name
            if text is not None:
                file.write_text(text)
            monkeypatch.setattr(cores, name, file)
        monkeypatch.setattr(os, "cpu_count", lambda: 64)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(affinity)))

    return make


def found() -> tuple[int, int, int]:
    return len(cores.allowed()), cores.at_once(), cores.of_host()


def test_a_host_has_all_of_its_cores(container: Container) -> None:
    container()
    assert found() == (64, 64, 64)


def test_a_process_that_is_held_to_some_is_not_the_host(container: Container) -> None:
    container(affinity=2)
    assert found() == (2, 2, 64)


def test_a_container_that_is_held_to_some_has_no_others(container: Container) -> None:
    container(affinity=6, cpuset="0-3,8,10\n")
    assert found() == (6, 6, 6)


@pytest.mark.parametrize(("quota", "number"), [("400000 100000\n", 4), ("150000 100000", 1), ("20000 100000", 1)])
def test_a_quota_of_time_is_never_outnumbered(container: Container, quota: str, number: int) -> None:
    container(quota=quota)
    assert found() == (64, number, number)


def test_the_less_of_both_counts(container: Container) -> None:
    container(affinity=2, cpuset="0-1", quota="800000 100000")
    assert found() == (2, 2, 2)


@pytest.mark.parametrize(("quota", "cpuset"), [("max 100000\n", "0-63\n"), ("", "\n"), ("?", "?")])
def test_what_says_nothing_limits_nothing(container: Container, quota: str, cpuset: str) -> None:
    container(quota=quota, cpuset=cpuset)
    assert found() == (64, 64, 64)
