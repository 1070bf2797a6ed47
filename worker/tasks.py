"""The Celery tasks. Wiring only: each takes names or ids, calls one thing, and answers nothing.

A child process builds what it needs once, when it starts (`worker_process_init`), and keeps it: the warm pipelines
are why the process exists.
"""

from __future__ import annotations

import os
import socket
import time
from typing import Any

import structlog
from celery import Celery, shared_task, signals

from contract import logs
from contract.names import CANCEL_BATCH, DELIVER, INFER, INGEST, SWEEP, TIDY
from contract.settings import Settings
from worker.crew import Crew, child_crew

log = logs.get_logger(__name__)

_PAUSE_SECONDS = 2.0
_FAILED = 70  # EX_SOFTWARE
_crew: Crew | None = None  # of this process; set when it starts


def crew() -> Crew:
    if _crew is None:
        raise RuntimeError("this process was not set up")
    return _crew


@signals.worker_process_init.connect
def set_up_child(**_: Any) -> None:
    """Runs in each new child before its first task: connect, and warm what is to be warm."""
    global _crew
    settings = Settings.from_env(os.environ)
    logs.set_up_logs(level=settings.logs.level, fmt=settings.logs.format)
    structlog.contextvars.bind_contextvars(slot=settings.slot.name or "upkeep", pid=os.getpid())
    try:
        _crew = child_crew(_current_app(), settings, host=socket.gethostname())
    except Exception:
        # Celery would keep a child that cannot work. It replaces one that ends; a moment later, because a
        # database that is away must not be asked by ever new processes.
        log.exception("This process could not be set up; another will try.")
        time.sleep(_PAUSE_SECONDS)
        os._exit(_FAILED)


@signals.worker_process_shutdown.connect
def put_down(**_: Any) -> None:
    if _crew is not None:
        _crew.stop()


def _current_app() -> Celery:
    from celery import current_app

    return current_app._get_current_object()


@shared_task(name=INFER)
def infer(pipeline: str) -> None:
    crew().serve(pipeline)


@shared_task(name=INGEST)
def ingest(batch_id: str) -> None:
    crew().ingest(batch_id)


@shared_task(name=SWEEP)
def sweep() -> None:
    crew().sweep()


@shared_task(name=TIDY)
def tidy() -> None:
    crew().tidy()


@shared_task(name=CANCEL_BATCH)
def cancel_batch(batch_id: str) -> None:
    crew().cancel_batch(batch_id)


@shared_task(name=DELIVER)
def deliver(ids: list[str]) -> None:
    crew().deliver(ids)
