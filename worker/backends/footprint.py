"""What this process occupies in memory, as its kernel counts it. 0 where there is no /proc."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from weakref import WeakKeyDictionary, WeakSet

_PAGE = os.sysconf("SC_PAGE_SIZE")
_STATM = Path("/proc/self/statm")
_LOOK_SECONDS = 0.003


def resident() -> int:
    """Bytes of it in memory, mapped files included."""
    return _pages()[0] * _PAGE


def anonymous() -> int:
    """Bytes that belong to it alone: neither mapped files nor what it shares. Takes ten microseconds."""
    whole, shared = _pages()
    return (whole - shared) * _PAGE


def _pages() -> tuple[int, int]:
    try:
        fields = _STATM.read_text().split()
    except OSError:
        return 0, 0
    return int(fields[1]), int(fields[2])


def trim() -> None:
    """Give freed memory back to the system: glibc keeps it otherwise, a pipeline's worth and more."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


class Rise:
    """How far this process rises in memory inside `with`.

    Of its own memory the highest point counts, looked for every few milliseconds; of mapped files what is left at the
    end: the kernel takes clean pages back whenever somebody needs them.
    """

    def __init__(self) -> None:
        self.now = 0
        self.peak = 0
        self._highest = 0
        self._over = threading.Event()

    def __enter__(self) -> Rise:
        self._resident, self._own = resident(), anonymous()
        self._watch = threading.Thread(target=self._look, name="rise", daemon=True)
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watch.join()
        own, rise = anonymous(), resident() - self._resident
        mapped = max(0, rise - (own - self._own))
        self.now = max(0, rise)
        self.peak = max(self.now, max(self._highest, own) - self._own + mapped)

    def _look(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            self._highest = max(self._highest, anonymous())


class Growth:
    """Memory that stays when microbatches end (arenas, buffers), by who was baking when it came.

    Bytes count once, above the highest the process has stood at, and only for a holder that had the process to
    itself: where two were baking nobody can say whose they are.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._baking = 0
        self._holders: WeakSet[object] = WeakSet()
        self._high = 0
        self._bytes: WeakKeyDictionary[object, int] = WeakKeyDictionary()

    @contextmanager
    def of(self, holder: object) -> Iterator[None]:
        """Around each microbatch of `holder`."""
        with self._lock:
            if not self._baking:
                self._holders.clear()
                # What came between microbatches is nobody's.
                self._high = max(self._high, anonymous())
            self._baking += 1
            self._holders.add(holder)
        try:
            yield
        finally:
            with self._lock:
                self._baking -= 1
                if not self._baking:
                    self._count()

    def bytes(self, holder: object) -> int:
        return self._bytes.get(holder, 0)

    def forget(self, holder: object) -> None:
        """It gave its memory back: growth counts from where the process stands now."""
        with self._lock:
            self._bytes.pop(holder, None)
            self._high = anonymous()

    def _count(self) -> None:
        now = anonymous()
        if now > self._high and len(self._holders) == 1:
            [holder] = self._holders
            self._bytes[holder] = self._bytes.get(holder, 0) + now - self._high
        self._high = max(self._high, now)


#: Of this process.
GROWTH = Growth()
