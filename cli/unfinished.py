"""Uploads that were broken off: which upload of which server a file was being sent to, for the next run to go on.

    STATE/fournil/uploads/DIGEST    the upload's path at the server; DIGEST of server, file, size and time

A file that was changed is another one, and begins anew. Where nothing can be written nothing is remembered.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from pathlib import Path

#: Servers remove a broken upload sooner than that.
_KEPT_SECONDS = 30 * 86_400.0


class Unfinished:
    """The upload of one file to one server."""

    def __init__(self, place: Path) -> None:
        self._place = place

    @classmethod
    def of(cls, server: str, path: Path) -> Unfinished:
        from platformdirs import user_state_path

        found = path.resolve()
        about = found.stat()
        words = f"{server}\0{found}\0{about.st_size}\0{about.st_mtime_ns}"
        name = hashlib.sha256(words.encode(errors="surrogateescape")).hexdigest()
        return cls(user_state_path("fournil", appauthor=False) / "uploads" / name)

    def recall(self) -> str | None:
        """What was kept last, by whichever run."""
        try:
            return self._place.read_text(encoding="ascii").strip() or None
        except (OSError, ValueError):
            return None

    def keep(self, upload: str) -> None:
        with contextlib.suppress(OSError):
            self._place.parent.mkdir(parents=True, exist_ok=True)
            # Whole or not at all: a run that reads half a name would ask for an upload that never was.
            part = self._place.with_suffix(".part")
            part.write_text(upload + "\n", encoding="ascii")
            part.replace(self._place)
            self._tidy()

    def forget(self) -> None:
        with contextlib.suppress(OSError):
            self._place.unlink(missing_ok=True)

    def _tidy(self) -> None:
        """Remove what no run came back for."""
        for old in self._place.parent.iterdir():
            if time.time() - old.stat().st_mtime > _KEPT_SECONDS:
                old.unlink(missing_ok=True)
