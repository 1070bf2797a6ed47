"""The budget of a microbatch, found by measuring: no number is right for two machines.

A forward pass over c padded tokens takes a + b * c seconds, and b grows again where the activations no longer fit
into a cache. So seconds a token are kept by rung (powers of two of padded tokens): measured when a pipeline is first
loaded, by baking its example over and over, and corrected from what every microbatch took. The budget is the
smallest rung within 1% of the best: people wait less behind a small microbatch. What a pass costs besides its tokens
(a / b) tells the planner when another pass is cheaper than more padding.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from typing import Any

from worker.backends.backend import UNMEASURED

LEAST, MOST = 32, 1 << 17
_OVERHEAD_UNMEASURED = 32
_NEAR_ENOUGH = 1.01
#: Samples kept a rung, and fewest to believe one.
_KEPT, _FEWEST = 15, 3
_REHEARSAL_SECONDS = 2.0
#: A slow machine may take so many times as long until every rung has its samples.
_PATIENCE = 3
#: What a microbatch costs beside its forward pass: notes, looks at the table, a transaction. Seconds of CPU here,
#: of the threads that plan and record while decks bake.
_AROUND_SECONDS = 0.006
_WORSE = 1.1
#: One plan in so many tries the next rung, up and down by turns; sooner while that rung is hardly known.
_TRY_EVERY, _TRY_SOON = 24, 4


@dataclasses.dataclass
class Budget:
    """What one pipeline's microbatches cost on this device. `fixed` tokens, where an operator says so."""

    fixed: int = 0
    #: Padded tokens where nothing is measured.
    usual: int = UNMEASURED
    #: Whether what a microbatch takes is decided by its tokens; where it is not, `usual` stands.
    measured: bool = True
    #: Padded tokens that memory allows.
    ceiling: int = MOST
    samples: dict[int, deque[float]] = dataclasses.field(default_factory=lambda: defaultdict(_samples))
    _plans: int = 0

    @property
    def tokens(self) -> int:
        """Most padded tokens of a microbatch."""
        return max(1, min(self.fixed or self._best(), self.ceiling))

    @property
    def overhead(self) -> int:
        """What a forward pass costs besides its tokens, in tokens.

        Seconds a token are b + a / rung: by least squares, each rung as heavy as its samples are many, because the
        smallest have only those of the rehearsal, which something may have disturbed.
        """
        known = self._known(fewest=1)
        if len(known) < 2:
            return _OVERHEAD_UNMEASURED
        weights = {rung: len(self.samples[rung]) for rung in known}
        whole = sum(weights.values())
        mean = sum(weight / rung for rung, weight in weights.items()) / whole
        seconds = sum(weight * known[rung] for rung, weight in weights.items()) / whole
        spread = sum(weight * (1 / rung - mean) ** 2 for rung, weight in weights.items())
        a = sum(weight * (1 / rung - mean) * (known[rung] - seconds) for rung, weight in weights.items()) / spread
        # On a busy machine large passes may look as dear as small ones; what surrounds a pass is never free.
        a = max(a, _AROUND_SECONDS)
        b = max(seconds - a * mean, min(known.values()) / 2)
        return max(0, min(min(known) * 8, round(a / b)))

    def for_next_plan(self) -> int:
        """`tokens`, and once in a while a neighbor, so that a change of the machine or the texts is noticed."""
        self._plans += 1
        tokens = self.tokens
        if self.fixed or not self.measured or self.ceiling <= tokens:
            return tokens
        if len(self.samples[2 * tokens]) < _FEWEST:
            return tokens if self._plans % _TRY_SOON else min(self.ceiling, 2 * tokens)
        turn, due = divmod(self._plans, _TRY_EVERY)
        if due:
            return tokens
        return min(self.ceiling, 2 * tokens) if turn % 2 else max(LEAST, tokens // 2)

    def took(self, padded_tokens: int, seconds: float) -> None:
        """A microbatch of so many padded tokens took so long."""
        if self.measured:
            self.samples[_rung(padded_tokens)].append(seconds / max(1, padded_tokens))

    def ran_out(self, padded_tokens: int) -> None:
        """A microbatch did not fit into memory: half of it is the most from now on."""
        self.ceiling = max(1, min(self.ceiling, padded_tokens // 2))

    def rehearse(self, bake: Callable[[int], int], *, seconds: float = _REHEARSAL_SECONDS, most: int = MOST) -> None:
        """Measure the rungs in about `seconds`. `bake(tokens)` runs one pass of about so many; how many they were.

        No rung above `most`, what there is memory for now: on a CPU a pass that does not fit raises no error, the
        kernel kills its process.

        A rung that costs 10% more a token than the best ends the climb, the second time it is seen.
        """
        bake(LEAST)  # the first pass of a process allocates
        starts = time.monotonic()
        rungs = list(self._climb(bake, starts + seconds / 3, min(self.ceiling, most)))
        # Those above the best take longest and would not be chosen; plans try the next one by themselves.
        best = self._best(fewest=1)
        rungs = [rung for rung in rungs if rung <= best]
        # Again in turns, so that a busy moment of the machine does not hit one rung alone.
        rounds, turn = 1, 0.0
        while self._goes_on(rounds, time.monotonic() - starts, seconds, turn):
            begins = time.monotonic()
            for rung in rungs:
                self._try(bake, rung)
            rounds, turn = rounds + 1, time.monotonic() - begins

    def _goes_on(self, rounds: int, passed: float, seconds: float, turn: float) -> bool:
        return passed + turn < seconds or (rounds < _FEWEST and passed < _PATIENCE * seconds)

    def _climb(self, bake: Callable[[int], int], ends: float, most: int) -> Iterator[int]:
        best, worse, rung, on = float("inf"), 0, LEAST, True
        while rung <= most and worse < 2 and on:
            begins = time.monotonic()
            cost = self._try(bake, rung)
            yield rung
            now = time.monotonic()
            worse = worse + 1 if cost > _WORSE * best else 0
            # A pass of twice as many tokens that would end late is worth it while tokens become cheaper yet.
            on = now < ends and (now + 2 * (now - begins) < ends or cost * _WORSE < best)
            best = min(best, cost)
            rung *= 2

    def _try(self, bake: Callable[[int], int], rung: int) -> float:
        start = time.perf_counter()
        tokens = bake(rung)
        seconds = time.perf_counter() - start
        self.took(tokens, seconds)
        return seconds / max(1, tokens)

    def _best(self, fewest: int = _FEWEST) -> int:
        known = self._known(fewest)
        if not known:
            return self.usual
        best = min(known.values())
        return next(rung for rung in sorted(known) if known[rung] <= _NEAR_ENOUGH * best)

    def _known(self, fewest: int = _FEWEST) -> dict[int, float]:
        """Seconds a token by rung: the lower quartile, because what disturbs a measurement only makes it longer."""
        return {
            rung: (statistics.quantiles(found, n=4)[0] if len(found) > 1 else found[0]) + _AROUND_SECONDS / rung
            for rung, found in self._samples_now().items()
            if len(found) >= fewest and rung <= self.ceiling
        }

    def as_dict(self) -> dict[str, Any]:
        samples = {str(rung): list(found) for rung, found in self._samples_now().items()}
        return {"ceiling": self.ceiling, "samples": samples}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Budget:
        """What `as_dict` gave; raises ValueError, KeyError, TypeError or AttributeError for anything else."""
        budget = cls(ceiling=int(values["ceiling"]))
        for rung, found in values["samples"].items():
            budget.samples[int(rung)].extend(float(sample) for sample in found)
            if int(rung) < 1 or min(budget.samples[int(rung)], default=0.0) < 0:
                raise ValueError("no pass has fewer tokens than one, or ends before it begins")
        return budget

    def _samples_now(self) -> dict[int, deque[float]]:
        # A copy is made in one step: decks add rungs while the thread that claims plans with them, and a dict that
        # grows under a loop breaks the slice.
        return dict(self.samples)


def _samples() -> deque[float]:
    return deque(maxlen=_KEPT)


def _rung(tokens: int) -> int:
    """The largest power of two that is not above, give or take: 1,000 tokens are a trial of 1,024."""
    return 1 << max(0, round(tokens * 1.25).bit_length() - 1)
