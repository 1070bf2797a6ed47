"""Runs as the first instant of every child: `leash.py PARENT CPUS COMMAND...`, standard library only.

The kernel kills the child when its parent dies, whatever the parent died of; then the command takes this
process over. A preexec_fn would do the same, but it is unsafe in a parent that has threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(argv: list[str]) -> None:
    parent, cpus, command = int(argv[0]), argv[1], argv[2:]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # A parent that died before the call above will never send that signal.
    if os.getppid() != parent:
        os._exit(1)
    if cpus != "-":
        os.sched_setaffinity(0, {int(cpu) for cpu in cpus.split(",")})
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"cannot start {command[0]}: {error.strerror}", file=sys.stderr)
        os._exit(127)


if __name__ == "__main__":
    main(sys.argv[1:])
