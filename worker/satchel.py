"""Satchel: which webhooks are in a postman's hands, so that one receiver that hangs does not hold up the others.

A host has few tries at once, and one while it is slow: what else waits for it in memory then goes back to the table,
where it is due, and makes room for other hosts.
"""

from __future__ import annotations

import threading
from collections import deque
from urllib.parse import urlsplit

#: Tries of a host at once, and webhooks of it that may wait in memory.
PLACES, _WAITING = 4, 252
#: Webhooks in memory, whoever they are for.
_IN_HAND = 1_024


class Satchel:
    """Thread-safe. Whatever is begun must be ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_hand: set[str] = set()
        self._trying: dict[str, int] = {}
        self._waiting: dict[str, deque[str]] = {}
        self._slow: set[str] = set()

    def begin(self, webhook_id: str, host: str) -> bool:
        """Whether it may be tried now. If not it waits in memory, or, where there is no room, stays in the table."""
        with self._lock:
            if webhook_id in self._in_hand or len(self._in_hand) >= _IN_HAND:
                return False
            if self._trying.get(host, 0) < self._places(host):
                self._trying[host] = self._trying.get(host, 0) + 1
                self._in_hand.add(webhook_id)
                return True
            waiting = self._waiting.setdefault(host, deque())
            if host not in self._slow and len(waiting) < _WAITING:
                waiting.append(webhook_id)
                self._in_hand.add(webhook_id)
            return False

    def end(self, webhook_id: str, host: str, *, slow: bool) -> str | None:
        """A try is over; the webhook that takes its place. `slow`: it took so long that others should not wait."""
        with self._lock:
            self._in_hand.discard(webhook_id)
            if slow:
                self._slow.add(host)
                self._in_hand.difference_update(self._waiting.pop(host, ()))
            else:
                self._slow.discard(host)
            waiting = self._waiting.get(host)
            if waiting and self._trying[host] <= self._places(host):
                return waiting.popleft()
            self._leave(host)
            return None

    def _places(self, host: str) -> int:
        return 1 if host in self._slow else PLACES

    def _leave(self, host: str) -> None:
        self._trying[host] -= 1
        if not self._trying[host]:
            del self._trying[host]
            self._waiting.pop(host, None)


def host_of(url: str) -> str:
    """The same for every port: what hangs is mostly the machine, or the way to it."""
    try:
        return (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return ""
