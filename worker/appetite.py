"""How many rows to claim: about as many as this slot bakes in eight seconds, and at least a microbatch's.

More would lie in its hands while another slot is idle; fewer would sort badly by length and claim too often: of texts
of skewed length 256 rows are padded by 5%, 512 by 4%, 1,024 by 2%. Where a microbatch takes longer than that, as one
of texts that are written, half of it would be baked at half the rate, and the next claim be smaller still.
"""

from __future__ import annotations

_SECONDS = 8.0
_FIRST = 32
_LEAST = 4
_WEIGHT = 0.3


class Appetite:
    def __init__(self, *, most: int) -> None:
        self._most = most
        self._rates: dict[str, float] = {}
        self._full: dict[str, int] = {}

    def rows(self, pipeline: str) -> int:
        """Rows the next claim of this pipeline should take."""
        rate = self._rates.get(pipeline)
        wanted = _FIRST if rate is None else int(rate * _SECONDS)
        return max(1, min(self._most, max(_LEAST, wanted, self._full.get(pipeline, 0))))

    def took(self, pipeline: str, *, rows: int, seconds: float, full: int = 0) -> None:
        """A microbatch of so many rows took so long; `full` rows like these fill one."""
        self._full[pipeline] = full
        rate = rows / max(seconds, 1e-4)
        known = self._rates.get(pipeline)
        self._rates[pipeline] = rate if known is None else (1 - _WEIGHT) * known + _WEIGHT * rate
