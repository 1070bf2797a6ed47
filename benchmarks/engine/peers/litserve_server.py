"""LitServe: its own batching. PORT, BATCH, DELAY (seconds), WORKERS.

Annotations are evaluated here: LitServe looks at them.
"""

import os
from typing import Any

import litserve
from model import Model


class Embedder(litserve.LitAPI):  # type: ignore[misc]
    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe's signature
        self.model = Model()

    def decode_request(self, request: dict[str, Any]) -> str:
        return str(request["input"])

    def batch(self, inputs: list[str]) -> list[str]:
        return inputs

    def predict(self, texts: list[str]) -> list[list[float]]:
        return self.model.embed(texts)

    def unbatch(self, output: list[list[float]]) -> list[list[float]]:
        return output

    def encode_response(self, output: list[float]) -> dict[str, list[float]]:
        return {"embedding": output}


if __name__ == "__main__":
    api = Embedder(max_batch_size=int(os.environ["BATCH"]), batch_timeout=float(os.environ["DELAY"]))
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=int(os.environ["WORKERS"]), timeout=120)
    server.run(host="127.0.0.1", port=int(os.environ["PORT"]), generate_client_file=False, log_level="warning")
