"""A Celery task a text, with no batching, and a Flask door that waits for its result. PORT, BROKER, WORKERS, NAIVE.

Run as a script it starts the worker and the door. NAIVE=1: `pipeline()` as users call it, torch's own threads.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from celery import Celery
from flask import Flask, request

BROKER = os.environ["BROKER"]
celery = Celery("celery_server", broker=BROKER, backend=BROKER)
celery.conf.update(worker_prefetch_multiplier=1, result_expires=60, broker_connection_retry_on_startup=True)
door = Flask("door")


@cache
def _model() -> Any:
    from model import Model

    return Model().embed


@cache
def _pipeline() -> Any:
    import transformers

    return transformers.pipeline("feature-extraction", model=os.environ["CHECKPOINT"])


@celery.task(name="embed")
def embed(text: str) -> list[float]:
    if os.environ.get("NAIVE") == "1":
        tokens = _pipeline()(text, truncation=True)[0]
        return [sum(column) / len(column) for column in zip(*tokens, strict=True)]
    found: list[float] = _model()([text])[0]
    return found


@door.post("/")
def answer() -> dict[str, Any]:
    return {"embedding": embed.delay(request.get_json()["input"]).get(timeout=120)}


def main() -> None:
    here = str(Path(__file__).parent)
    worker = [
        sys.executable, "-m", "celery", "-A", "celery_server", "worker", "-c", os.environ["WORKERS"],
        "--without-mingle", "--without-gossip", "--loglevel", "warning",
    ]  # fmt: skip
    web = [
        sys.executable, "-m", "gunicorn", "--threads", "80", "--bind", f"127.0.0.1:{os.environ['PORT']}",
        "--no-control-socket", "celery_server:door",
    ]  # fmt: skip
    with subprocess.Popen(worker, cwd=here), subprocess.Popen(web, cwd=here) as server:
        server.wait()


if __name__ == "__main__":
    main()
