"""`fournil up`: broker, migrations, web server, ovens, upkeep and scheduler, as one thing that starts and stops."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from cli.stack import plan
from cli.stack.devices import Slot
from cli.stack.listen import url_of
from cli.stack.logbook import Logbook
from cli.stack.ready import Readiness
from cli.stack.signals import Signals
from cli.stack.supervisor import Supervisor
from cli.stack.valkey import EmbeddedValkey, find_server
from contract.logs import get_logger, set_up_logs
from contract.settings import Settings

#: Deaths in a row, before the stack was ever ready, that show it never will be.
_HOPELESS = 5
_BROKER_SECONDS = 120.0
_REPORT_SECONDS = 10.0
log = get_logger("fournil")


class StackFailed(Exception):
    """The stack cannot start; the message says why, with the last lines of the program that failed."""


class Stack:
    def __init__(
        self,
        settings: Settings,
        env: Mapping[str, str],
        *,
        listener: socket.socket,
        slots: Sequence[Slot],
        pipelines: Sequence[str],
        pipelines_file: Path | None,
    ) -> None:
        self._settings = settings
        self._given = env
        self._listener = listener
        self._slots = slots
        self._pipelines = pipelines
        self._pipelines_file = pipelines_file
        self._signals = Signals()
        self._supervisor = Supervisor(open_logs(settings, settings.storage.data_dir / "logs"), self._signals)

    def run(self) -> None:
        """Start, print the ready line, supervise, and stop when asked."""
        try:
            if self._start() and self._wait_until_ready():
                print(self._ready_line(), flush=True)
                watch(self._supervisor, self._signals)
        finally:
            log.info("stopping")
            self._supervisor.stop()

    def _start(self) -> bool:
        """Broker, then tables, then everything that needs both; False when asked to stop meanwhile."""
        url = self._broker_url()
        env = plan.environment(self._settings, self._given, broker_url=url, pipelines=self._pipelines_file)
        if not self._signals.stops:
            self._migrate(env)
        if self._signals.stops:
            return False
        web = plan.web(self._settings, env, descriptor=self._listener.fileno())
        for program in (web, *plan.ovens(self._slots, env), plan.upkeep(env), plan.scheduler(env)):
            self._supervisor.start(program)
        return True

    def _broker_url(self) -> str:
        if self._settings.broker.url:
            return self._settings.broker.url
        server = find_server(self._settings.broker.server)
        valkey = EmbeddedValkey(server, self._settings.storage.data_dir / "valkey")
        self._supervisor.start(valkey.program(self._given))
        if not self._answers(valkey, deaths=2) and not self._signals.stops:
            self._start_valkey_empty(valkey)
        return valkey.url

    def _start_valkey_empty(self, valkey: EmbeddedValkey) -> None:
        if aside := valkey.set_aside():
            log.warning("the broker could not read its data; it starts empty", kept_in=str(aside))
            if self._answers(valkey, deaths=4):
                return
        raise StackFailed(f"The message broker does not start.\n{self._supervisor.logbook.tail('valkey')}")

    def _answers(self, valkey: EmbeddedValkey, *, deaths: int) -> bool:
        def answered_or_hopeless() -> bool:
            return valkey.answers() or self._supervisor.failures("valkey") >= deaths

        return self._supervisor.run_until(answered_or_hopeless, seconds=_BROKER_SECONDS) and valkey.answers()

    def _migrate(self, env: Mapping[str, str]) -> None:
        code = self._supervisor.run_once(plan.migrate(env))
        if code and not self._signals.stops:
            raise StackFailed(f"The database cannot be made ready.\n{self._supervisor.logbook.tail('migrate')}")

    def _wait_until_ready(self) -> bool:
        ready = Readiness(url_of(self._listener))
        try:
            return self._wait_for(ready)
        finally:
            ready.give_up()

    def _wait_for(self, ready: Readiness) -> bool:
        reported = time.monotonic()
        while not ready():
            if self._signals.stops:
                return False
            self._refuse_hopeless()
            if time.monotonic() - reported >= _REPORT_SECONDS:
                reported = time.monotonic()
                log.info("not ready yet", missing=ready.missing)
            self._supervisor.step(0.1)
        for sentence in ready.idle:
            log.warning("a pipeline runs nothing", pipeline=sentence)
        return True

    def _refuse_hopeless(self) -> None:
        for name in self._supervisor.backoffs:
            if self._supervisor.failures(name) >= _HOPELESS:
                tail = self._supervisor.logbook.tail(name)
                raise StackFailed(f"{name} died {_HOPELESS} times before the stack was ready.\n{tail}")

    def _ready_line(self) -> str:
        names = f" (pipelines: {', '.join(self._pipelines)})" if self._pipelines else ""
        return f"Fournil is ready: {url_of(self._listener)}{names}"


def open_logs(settings: Settings, folder: Path | None) -> Logbook:
    """Our own lines to stderr too, and to supervisor.log beside the children's."""
    set_up_logs(level=settings.logs.level, fmt=settings.logs.format)
    book = Logbook(folder, names=settings.logs.format != "json")
    if folder:
        root = logging.getLogger()
        file = logging.FileHandler(folder / "supervisor.log", encoding="utf-8")
        file.setFormatter(root.handlers[0].formatter)
        root.addHandler(file)
    return book


def watch(supervisor: Supervisor, signals: Signals) -> None:
    """Keep everything running until somebody asks to stop."""
    while not signals.stops:
        supervisor.step()
