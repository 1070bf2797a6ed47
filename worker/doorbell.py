"""The doorbell: an oven with nothing to do stays in its Celery task and listens for a knock.

A message through Celery takes four to seven milliseconds from the caller's commit to the oven's claim, a knock half
a one (contract/wakes.py). Whatever Celery has for this slot still comes first: an oven does not rest while a message
waits for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from worker.hand import Hand
from worker.signals import Signals

#: How long a request to stop may go unheard, and how often an idle slot says that it still is.
_LISTEN_SECONDS = 0.5
#: Far below the time after which a broker delivers a message again (contract.brokers.VISIBILITY_SECONDS).
_LONGEST_SECONDS = 900.0


class Doorbell:
    """`slot` names the worker (host/slot); `pipelines` are those whose messages this slot consumes.

    `quiet` is called when nobody knocked for a while; a knock that comes meanwhile is heard after it.
    """

    def __init__(
        self,
        signals: Signals,
        hand: Hand,
        *,
        slot: str,
        pipelines: Sequence[str],
        quiet: Callable[[], None] = lambda: None,
    ) -> None:
        self._signals = signals
        self._hand = hand
        self._slot = slot
        self._pipelines = pipelines
        self._quiet = quiet

    def rings(self) -> Iterator[str]:
        """Pipelines to look after, each when somebody knocks; ends when Celery has something, or it is time."""
        ends = time.monotonic() + _LONGEST_SECONDS
        while time.monotonic() < ends and self._may_rest():
            pipeline = self._signals.knock(self._slot, seconds=_LISTEN_SECONDS)
            if pipeline is not None:
                yield pipeline
            else:
                self._quiet()
        last = self._signals.retire(self._slot)
        if last is not None:
            yield last

    def _may_rest(self) -> bool:
        return not self._hand.should_stop() and self._signals.rest(self._slot, self._pipelines)
