"""Kills what a killed supervisor leaves: reads `+GROUP` and `-GROUP` lines, and at the end of input kills the rest.

The leash reaches only direct children. A child's own children (a Celery pool process in the middle of a long
forward pass, a gunicorn worker) would live on until they notice; their process group is in this list.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterable


def main(lines: Iterable[str]) -> None:
    groups: set[int] = set()
    for line in lines:
        group = int(line[1:])
        if line[0] == "+":
            groups.add(group)
        else:
            groups.discard(group)
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    # A Ctrl-C or a polite end is for the supervisor, which closes our input when all is over.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    main(iter(sys.stdin.readline, ""))
