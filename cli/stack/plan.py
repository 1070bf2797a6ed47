"""Which programs a stack is made of, and the environment each of them reads its settings from."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from cli.stack.devices import Slot
from cli.stack.program import Program, Stage
from contract.settings import Settings

_SHARED_MEMORY = Path("/dev/shm")
#: Where the packages lie. gunicorn puts its own folder first on the path, and a caller's may hold another `web`.
_ROOT = Path(__file__).resolve().parents[2]
#: How OpenMP's threads wait for their next piece of work. Those that spin for long take the cores from whoever has
#: the work: on two busy cores one text took 450 ms with what torch comes with, 56 ms with threads that sleep at once.
#: Those that sleep at once must be woken for every operator: what a language model writes takes 25% longer, a caller
#: who is alone 24 ms instead of 19. A short spin, of so many turns, has neither.
WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "10000"}


def environment(
    settings: Settings, env: Mapping[str, str], *, broker_url: str, pipelines: Path | None
) -> dict[str, str]:
    """`env` with what the supervisor decided; paths made absolute, since a child may stand elsewhere."""
    decided = {
        "FOURNIL_DATA_DIR": str(settings.storage.data_dir.absolute()),
        "FOURNIL_DATABASE_URL": _absolute_sqlite(settings.storage.url),
        "FOURNIL_BROKER_URL": broker_url,
        "PYTHONUNBUFFERED": "1",
    }
    if pipelines:
        decided["FOURNIL_PIPELINES"] = str(pipelines.absolute())
    replaced = {"FOURNIL_DATABASE_URL_FILE", "FOURNIL_BROKER_URL_FILE"}
    return {name: value for name, value in env.items() if name not in replaced} | decided


def web_argv(settings: Settings, *, bind: str) -> tuple[str, ...]:
    shared = ("--worker-tmp-dir", str(_SHARED_MEMORY)) if _SHARED_MEMORY.is_dir() else ()
    options = {
        "--bind": bind,
        "--chdir": str(_ROOT),
        "--worker-class": "web.gateway.Gateway",
        "--workers": str(settings.web.processes),
        "--threads": str(settings.web.threads),
        # A line's most: a list of columns in a query may be long.
        "--limit-request-line": "8190",
        "--timeout": "120",
        "--graceful-timeout": "10",
        "--config": "python:web.serving",
    }
    words = [word for pair in options.items() for word in pair]
    return module_argv("gunicorn", *words, *shared, "--no-control-socket", "web.wsgi:application()")


def web(settings: Settings, env: Mapping[str, str], *, descriptor: int) -> Program:
    argv = web_argv(settings, bind=f"fd://{descriptor}")
    return Program("web", argv, Stage.WEB, env, fds=(descriptor,))


def ovens(slots: Sequence[Slot], env: Mapping[str, str]) -> list[Program]:
    # Whoever says one of the two means it alone.
    env = dict(env) if WAITING.keys() & env.keys() else {**WAITING, **env}
    return [
        Program(f"oven-{slot.name}", node_argv("oven"), Stage.OVENS, {**env, **slot.environment()}, cpus=slot.cpus)
        for slot in slots
    ]


def upkeep(env: Mapping[str, str]) -> Program:
    return Program("upkeep", node_argv("upkeep"), Stage.OVENS, env)


def scheduler(env: Mapping[str, str]) -> Program:
    return Program("scheduler", node_argv("scheduler"), Stage.SCHEDULER, env)


def migrate(env: Mapping[str, str]) -> Program:
    return Program("migrate", module_argv("cli.main", "migrate"), Stage.SCHEDULER, env, kept=False)


def node_argv(role: str) -> tuple[str, ...]:
    return module_argv("worker.node", role)


def module_argv(name: str, *words: str) -> tuple[str, ...]:
    # -P: a `worker` folder where the command was typed must not stand in for ours.
    return (sys.executable, "-P", "-m", name, *words)


def _absolute_sqlite(url: str) -> str:
    scheme = "sqlite:///"
    path, mark, query = url.removeprefix(scheme).partition("?")
    if not url.startswith(scheme) or path.startswith(":"):
        return url
    return f"{scheme}{Path(path).absolute()}{mark}{query}"
