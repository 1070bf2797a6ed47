"""How many cores there are for us: of this host, or of the container we are in.

A container is limited in two ways. Held to some cores (a cpuset), it sees the others nowhere in its affinity. Given a
quota of time (`docker run --cpus`, a limit of Kubernetes), it sees them all, and threads that outnumber the quota are
stopped together for the rest of every tenth of a second.
"""

from __future__ import annotations

import os
from pathlib import Path

#: Microseconds of processor time in a period of so many; `max`: no quota.
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
#: Cores of the container, such as `0-3,8`.
_CPUSET = Path("/sys/fs/cgroup/cpuset.cpus.effective")


def allowed() -> list[int]:
    """The cores that this process may run on."""
    return sorted(os.sched_getaffinity(0))


def at_once() -> int:
    """How many of them it may keep busy: all, or what the container's quota is enough for; one at least."""
    return _within_quota(len(os.sched_getaffinity(0)))


def of_host() -> int:
    """How many cores this host has, or the container we are in."""
    return _within_quota(_cpuset() or os.cpu_count() or 1)


def _within_quota(cores: int) -> int:
    try:
        time, period = _QUOTA.read_text().split()
        return max(1, min(cores, int(time) // int(period)))
    except (OSError, ValueError):
        return cores


def _cpuset() -> int | None:
    try:
        ranges = [part.partition("-") for part in _CPUSET.read_text().strip().split(",")]
        return sum(int(last or first) - int(first) + 1 for first, _, last in ranges)
    except (OSError, ValueError):
        return None
