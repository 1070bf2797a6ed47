"""A machine whose clock is moved by forward passes alone: what measuring finds does not depend on the real one."""

from __future__ import annotations

import dataclasses
import threading

import pytest

from worker.backends.backend import OutOfMemory
from worker.budget import Budget

RUNGS = [1 << k for k in range(5, 18)]


@dataclasses.dataclass
class Machine:
    """A pass over n tokens takes `apart + n * token` seconds, and `slower` a token above `cache`."""

    apart: float = 0.004
    token: float = 1e-4
    cache: int = 1 << 30
    slower: float = 1.3
    #: More tokens do not fit.
    memory: int = 1 << 30
    now: float = 0.0
    asked: list[int] = dataclasses.field(default_factory=list)
    _lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def seconds(self, tokens: int) -> float:
        return self.apart + tokens * self.token * (self.slower if tokens > self.cache else 1.0)

    def rate(self, tokens: int) -> float:
        return tokens / self.seconds(tokens)

    def bake(self, tokens: int) -> int:
        with self._lock:
            self.asked.append(tokens)
            if tokens > self.memory:
                raise OutOfMemory
            self.now += self.seconds(tokens)
        return tokens

    def keeps_time(self, monkeypatch: pytest.MonkeyPatch) -> Machine:
        """Budgets look at this machine's clock from here on."""
        monkeypatch.setattr("worker.budget.time", self)
        return self

    def monotonic(self) -> float:
        return self.now

    def perf_counter(self) -> float:
        return self.now


def well_known(machine: Machine, *, budget: Budget | None = None, passes: int = 5) -> Budget:
    """A budget that has seen every rung of a machine."""
    budget = budget or Budget()
    for _ in range(passes):
        for rung in RUNGS:
            budget.took(rung, machine.seconds(rung))
    return budget
