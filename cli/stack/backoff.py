"""How long to wait before a dead process is started again: 1, 2, 4 ... 30 s, and 1 again after a healthy minute."""

from __future__ import annotations

LONGEST = 30.0
HEALTHY_AFTER = 60.0


class Backoff:
    def __init__(self) -> None:
        self.failures = 0

    def died(self, *, lived: float) -> float:
        """Seconds to wait after a process that lived `lived` seconds."""
        if lived >= HEALTHY_AFTER:
            self.failures = 0
        delay = min(LONGEST, 2.0**self.failures)
        self.failures += 1
        return delay
