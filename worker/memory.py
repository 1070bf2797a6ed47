"""How many bytes the warm pipelines of a slot may hold, when no setting says so, and what its device is called."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from contract.cores import of_host
from worker.backends.registry import memory_of, name_of

# The rest is for activations, the interpreter and everybody else.
_SHARE = 0.8
_CPU_INFO = Path("/proc/cpuinfo")
#: Where the kernel counts whom it killed for want of memory: in this container, else on this host.
_KILLS = (Path("/sys/fs/cgroup/memory.events"), Path("/proc/vmstat"))
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def room(*, setting: int, device: str, threads: int) -> int:
    """Bytes: the setting, or 80% of the GPU, or of the part of the host (or container) that its threads stand for."""
    if setting:
        return setting
    gpu = memory_of(device)
    if gpu is not None:
        return int(gpu * _SHARE)
    part = min(1.0, threads / of_host()) if threads else 1.0
    return int(host_memory() * _SHARE * part)


def device_name(device: str) -> str:
    """What the processor or the GPU is called: measurements of one say nothing of another."""
    if device.startswith("cuda"):
        return name_of(device)
    for line in _CPU_INFO.read_text().splitlines() if _CPU_INFO.exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def host_memory() -> int:
    """Bytes of this host, or of the container we are in."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = _CGROUP_LIMIT.read_text().strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdigit() else total


def kills() -> int:
    """Processes that the kernel has killed for want of memory, here; 0 where it does not say."""
    for file in _KILLS:
        try:
            counts = dict(line.split() for line in file.read_text().splitlines())
        except (OSError, ValueError):
            continue
        if "oom_kill" in counts:
            return int(counts["oom_kill"])
    return 0
