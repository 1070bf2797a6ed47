"""The entry of every worker process: `python -m worker.node oven | upkeep | scheduler`.

An oven is a Celery node of one device slot: this main process, which never imports torch, and one spawned child that
holds the warm pipelines. Its device, threads and cores are fixed by whoever starts it, before torch is imported.
"""

from __future__ import annotations

import os
import socket
import sys
import warnings
from typing import Any

import structlog
from celery import Celery, signals
from celery.exceptions import SecurityWarning

from contract import logs
from contract.names import infer_queue
from contract.settings import Settings, SettingsError
from models.database import make_engine, reading
from models.pipelines import list_pipelines
from worker.app import UPKEEP_QUEUES, make_app
from worker.crew import main_warden

_ROLES = ("oven", "upkeep", "scheduler")


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in _ROLES:
        print(f"usage: python -m worker.node {' | '.join(_ROLES)}", file=sys.stderr)  # noqa: T201
        return 2
    try:
        settings = Settings.from_env(os.environ)
    except SettingsError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    logs.set_up_logs(level=settings.logs.level, fmt=settings.logs.format)
    role = arguments[0]
    structlog.contextvars.bind_contextvars(slot=settings.slot.name or role)
    {"oven": run_oven, "upkeep": run_upkeep, "scheduler": run_scheduler}[role](settings)
    return 0


def run_oven(settings: Settings) -> None:
    app = make_app(settings, [infer_queue(name) for name in _pipeline_names(settings)] or ["infer"])
    _run_with_warden(app, settings)


def run_upkeep(settings: Settings) -> None:
    _run_node(make_app(settings, UPKEEP_QUEUES), "upkeep", settings)


def run_scheduler(settings: Settings) -> None:
    """Celery beat, with its schedule in memory: it only asks for sweeps, and any number of it is harmless."""
    app = make_app(settings, UPKEEP_QUEUES)
    app.Beat(scheduler="celery.beat:Scheduler", loglevel=settings.logs.level.upper(), quiet=True).run()


def _pipeline_names(settings: Settings) -> list[str]:
    engine = make_engine(settings.storage.url)
    with reading(engine) as conn:
        names = [stored.spec.name for stored in list_pipelines(conn)]
    engine.dispose()
    return names


def _run_with_warden(app: Celery, settings: Settings) -> None:
    warden = main_warden(app, settings, host=socket.gethostname(), pid=os.getpid())
    warden.start()

    @signals.worker_shutting_down.connect(weak=False)
    def put_everything_down(**_: Any) -> None:
        # A warm shutdown waits for the task: its child ends it after the microbatch in hand.
        warden.ask_child_to_stop()

    try:
        _run_node(app, settings.slot.name, settings)
    finally:
        warden.stop()


def _run_node(app: Celery, name: str, settings: Settings) -> None:
    # Being root is a danger where messages may hold pickles; ours are JSON only.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    argv = [
        "--quiet", "worker", "--hostname", f"{name}@%h", "--pool", "prefork", "--concurrency", "1",
        "--without-mingle", "--without-gossip", "--loglevel", settings.logs.level,
    ]  # fmt: skip
    app.worker_main(argv)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
