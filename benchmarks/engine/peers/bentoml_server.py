"""BentoML: adaptive batching. BATCH, DELAY (its max_latency_ms, in seconds), WORKERS."""

from __future__ import annotations

import os

import bentoml
from model import Model


@bentoml.service(workers=int(os.environ["WORKERS"]), traffic={"timeout": 120})  # type: ignore[misc]
class Embedder:
    def __init__(self) -> None:
        self.model = Model()

    @bentoml.api(
        batchable=True,
        max_batch_size=int(os.environ["BATCH"]),
        max_latency_ms=round(1000 * float(os.environ["DELAY"])),
    )  # type: ignore[misc]
    def embed(self, texts: list[str]) -> list[list[float]]:
        return self.model.embed(texts)
