"""How many bytes the warm pipelines of one slot may hold together."""

from __future__ import annotations

import pytest

from worker.memory import host_memory, room


def test_room_is_a_share_of_the_host():
    assert room(setting=5, device="cpu", threads=0) == 5
    assert 0 < room(setting=0, device="cpu", threads=1) <= room(setting=0, device="cpu", threads=0) < host_memory()


@pytest.mark.parametrize(("threads", "part"), [(0, 1.0), (1, 0.25), (4, 1.0), (9, 1.0)])
def test_slots_share_the_memory_as_they_share_the_cores_of_their_container(monkeypatch, threads, part):
    """A container of 4 cores on a host of 64 has all of its own memory to give away."""
    monkeypatch.setattr("worker.memory.of_host", lambda: 4)
    monkeypatch.setattr("worker.memory.host_memory", lambda: 1000)
    assert room(setting=0, device="cpu", threads=threads) == int(800 * part)
