"""Settings of the answers that are kept for whoever asks the same again."""

from __future__ import annotations

import dataclasses

from contract.options import option, whole


@dataclasses.dataclass(frozen=True)
class Cache:
    """Answers of earlier jobs and batches, in the database."""

    bytes: int = option(
        "CACHE_BYTES",
        whole(0, 1 << 50),
        0,
        "Bytes of answers kept for later jobs and batches that ask exactly the same of the same weights; the oldest "
        "go first. 0: none, and those that were kept are removed. Each claim then looks once, each microbatch writes "
        "once more.",
    )
    rows: int = option("CACHE_ROWS", whole(1, 1 << 40), 1_000_000, "Most answers kept, however small they are.")
    days: int = option(
        "CACHE_DAYS",
        whole(1, 36_500),
        30,
        "Days an answer is kept, however much room there is. It may outlive its job.",
    )
