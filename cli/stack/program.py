"""What the supervisor is told to keep running, and when it stops relative to the rest."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping, Sequence
from enum import IntEnum
from pathlib import Path

_LEASH = Path(__file__).with_name("leash.py")


class Stage(IntEnum):
    """Order of stopping: who takes work in, who asks for it, who does it, who carries it."""

    WEB = 0
    SCHEDULER = 1
    OVENS = 2
    BROKER = 3


#: Seconds between SIGTERM and SIGKILL, by stage: 15 s at most for a whole stack.
GRACE: dict[Stage, float] = {Stage.WEB: 4.0, Stage.SCHEDULER: 1.0, Stage.OVENS: 7.0, Stage.BROKER: 3.0}


@dataclasses.dataclass(frozen=True)
class Program:
    name: str
    argv: tuple[str, ...]
    stage: Stage
    env: Mapping[str, str] = dataclasses.field(repr=False)
    #: The cores it is held to; None: all.
    cpus: frozenset[int] | None = None
    #: Open sockets it inherits.
    fds: tuple[int, ...] = ()
    #: Started again when it dies; False: it runs once, to its end.
    kept: bool = True


def leashed(argv: Sequence[str], *, cpus: frozenset[int] | None = None) -> list[str]:
    """The command line that runs `argv` so that it dies with this process."""
    cores = ",".join(map(str, sorted(cpus))) if cpus else "-"
    return [sys.executable, "-I", "-S", str(_LEASH), str(os.getpid()), cores, *argv]
