"""Ray Serve: `@serve.batch`. PORT, BATCH, DELAY (seconds), WORKERS."""

from __future__ import annotations

import os
import signal
from typing import Any

import ray
from ray import serve

_NEEDED = ("CHECKPOINT", "THREADS", "PYTHONPATH")
WORKERS = int(os.environ["WORKERS"])


@serve.deployment(num_replicas=WORKERS, max_ongoing_requests=256, ray_actor_options={"num_cpus": 1 / WORKERS})  # type: ignore[misc]
class Embedder:
    def __init__(self) -> None:
        from model import Model

        self.model = Model()

    @serve.batch(max_batch_size=int(os.environ["BATCH"]), batch_wait_timeout_s=float(os.environ["DELAY"]))  # type: ignore[misc]
    async def embed(self, texts: list[str]) -> list[list[float]]:
        return self.model.embed(texts)

    async def __call__(self, request: Any) -> dict[str, list[float]]:
        return {"embedding": await self.embed((await request.json())["input"])}


if __name__ == "__main__":
    variables = {name: os.environ[name] for name in (*_NEEDED, "BATCH", "DELAY", "WORKERS")}
    ray.init(
        num_cpus=4, include_dashboard=False, object_store_memory=200_000_000, runtime_env={"env_vars": variables},
        logging_level="error",
    )  # fmt: skip
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["PORT"])})
    serve.run(Embedder.bind())
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    ray.shutdown()
