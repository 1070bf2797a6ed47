"""What the children print: to stderr with their name before it, and to one file each."""

from __future__ import annotations

import collections
import contextlib
import sys
from pathlib import Path
from typing import BinaryIO

MAX_BYTES = 20 << 20
TAIL = 20


class Logbook:
    def __init__(self, folder: Path | None, *, names: bool = True) -> None:
        """`folder` None: stderr only. `names` False: lines as they are, for machines that parse them."""
        self._folder = folder
        self._names = names
        self._files: dict[str, BinaryIO] = {}
        self._tails: dict[str, collections.deque[str]] = {}
        if folder:
            folder.mkdir(parents=True, exist_ok=True)

    def write(self, name: str, line: bytes) -> None:
        text = line.decode("utf-8", "replace")
        self._tails.setdefault(name, collections.deque(maxlen=TAIL)).append(text)
        # A reader of our stderr that went away is no reason to stop the stack.
        with contextlib.suppress(OSError, ValueError):
            print(f"[{name}] {text}" if self._names else text, file=sys.stderr, flush=True)
        if self._folder:
            self._write_file(self._folder, name, line)

    def tail(self, name: str) -> str:
        """The last lines of one program, for the sentence that says why it does not start."""
        return "\n".join(f"  {line}" for line in self._tails.get(name, ()))

    def close(self) -> None:
        for file in self._files.values():
            file.close()

    def _write_file(self, folder: Path, name: str, line: bytes) -> None:
        # A full disk must not stop the processes that could still answer.
        with contextlib.suppress(OSError):
            self._file(folder, name).write(line + b"\n")

    def _file(self, folder: Path, name: str) -> BinaryIO:
        path = folder / f"{name}.log"
        file = self._files.get(name)
        if file and file.tell() > MAX_BYTES:
            file.close()
            path.replace(path.with_suffix(".log.1"))
            file = None
        if file is None:
            file = self._files[name] = path.open("ab", buffering=0)
        return file
