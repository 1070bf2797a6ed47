"""Changes: how request threads wait for a row without asking the database again and again.

One thread a process listens to the broker's `changes` channel and wakes whoever waits for an id it names. A message
may be lost, so a waiter also looks by itself, ever more slowly. It is registered before it looks at the row: a change
between the look and the wait is then seen.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from contract.logs import get_logger
from contract.names import Keys
from contract.settings import Broker
from web.broker import SOCKET_SECONDS, connect

FIRST_LOOK = 0.5
SLOWEST_LOOK = 2.0
T = TypeVar("T")
log = get_logger(__name__)


class Watch:
    """One waiter's interest in some ids."""

    def __init__(self) -> None:
        self._changed = threading.Event()
        self._pause = FIRST_LOOK

    def wait(self, timeout: float) -> bool:
        """Until one of the ids changes, or it is time to look anyway, or `timeout`; True on a change."""
        changed = self._changed.wait(max(0.0, min(timeout, self._pause)))
        self._changed.clear()
        self._pause = FIRST_LOOK if changed else min(SLOWEST_LOOK, self._pause * 1.5)
        return changed

    def notify(self) -> None:
        self._changed.set()


class Changes:
    def __init__(self, broker: Broker, *, waiting: int) -> None:
        self._url = broker.url
        self._channel = Keys(broker.prefix).changes
        self._places = threading.BoundedSemaphore(waiting)
        self._lock = threading.Lock()
        self._watches: dict[str, set[Watch]] = {}
        self._listener: threading.Thread | None = None
        self._over = threading.Event()

    def close(self) -> None:
        """Let the listener go; it is gone in a few seconds."""
        self._over.set()

    def take_place(self) -> bool:
        """Reserve one of the places for waiters, for a stream that outlives its view; give it back yourself."""
        return self._places.acquire(blocking=False)

    def give_place_back(self) -> None:
        self._places.release()

    @contextmanager
    def watching(self, ids: Iterable[str]) -> Iterator[Watch]:
        """Register for `ids`; look at the rows inside, then `wait`, then look again."""
        wanted = tuple(ids)
        watch = Watch()
        self._add(wanted, watch)
        try:
            yield watch
        finally:
            self._remove(wanted, watch)

    def until(self, ids: Iterable[str], look: Callable[[], T | None], timeout: float) -> T | None:
        """Call `look` at each change of `ids` until it answers something, for at most `timeout` seconds.

        With every place taken it looks once and does not wait.
        """
        with self.watching(ids) as watch:
            found = look()
            return found if found is not None else self.follow(watch, look, timeout)

    def follow(self, watch: Watch, look: Callable[[], T | None], timeout: float) -> T | None:
        """Call `look` after each change that `watch` sees until it answers something, for at most `timeout` seconds.

        It has not looked before: what was true when `watch` began, its caller knows. With every place taken it does
        not wait.
        """
        end = time.monotonic() + timeout
        if timeout <= 0 or not self.take_place():
            return None
        try:
            while (left := end - time.monotonic()) > 0:
                watch.wait(left)
                if (found := look()) is not None:
                    return found
            return None
        finally:
            self.give_place_back()

    def wait(self, ids: Iterable[str], timeout: float) -> bool:
        """Wait for a change of `ids` from this moment on. Who has looked at a row already wants `watching`."""
        end = time.monotonic() + timeout
        with self.watching(ids) as watch:
            while (left := end - time.monotonic()) > 0:
                if watch.wait(left):
                    return True
        return False

    def _add(self, ids: tuple[str, ...], watch: Watch) -> None:
        with self._lock:
            for one in ids:
                self._watches.setdefault(one, set()).add(watch)
            # At the first wait and not before: a server may fork between making the application and serving.
            if self._listener is None and self._url:
                self._listener = threading.Thread(target=self._listen, name="changes", daemon=True)
                self._listener.start()

    def _remove(self, ids: tuple[str, ...], watch: Watch) -> None:
        with self._lock:
            for one in ids:
                watches = self._watches.get(one, set())
                watches.discard(watch)
                if not watches:
                    self._watches.pop(one, None)

    def _listen(self) -> None:
        while not self._over.is_set():
            try:
                self._follow()
            except Exception as error:  # noqa: BLE001 - without this thread every wait would be slow until a restart
                if self._over.is_set():
                    # Nobody waits any more, and the log may be closed.
                    return
                log.warning("No word of changes from the broker; waiters look by themselves.", error=repr(error))
                self._notify_all()
                self._over.wait(1.0)

    def _follow(self) -> None:
        # `get_message` bounds its own read, so that a broker that went away without a word is noticed.
        with connect(self._url, read_timeout=SOCKET_SECONDS) as client, client.pubsub() as subscription:
            subscription.subscribe(self._channel)
            self._notify_all()
            while not self._over.is_set():
                message = subscription.get_message(ignore_subscribe_messages=True, timeout=5.0)
                if message is not None:
                    self._notify(message["data"].decode("ascii", "replace").split())

    def _notify(self, ids: list[str]) -> None:
        with self._lock:
            for one in ids:
                for watch in self._watches.get(one, ()):
                    watch.notify()

    def _notify_all(self) -> None:
        """What was said while nobody listened is unknown: everybody looks once."""
        with self._lock:
            for watches in self._watches.values():
                for watch in watches:
                    watch.notify()
