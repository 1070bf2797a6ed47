"""Fournil's settings: one frozen, typed object, built from FOURNIL_* variables at each entry point.

Nothing reads the environment at import. docs/settings.md is generated from this file and held to it by a test.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from contract.cache import Cache
from contract.datasets import Datasets
from contract.media import Media
from contract.options import (
    BOOL,
    DEVICES,
    FILE,
    FOLDER,
    TEXT,
    Form,
    SettingsError,
    a_url,
    names_of,
    one_of,
    option,
    read_section,
    refuse_unknown,
    seconds,
    whole,
)
from contract.webhooks import Webhooks

__all__ = ["Settings", "SettingsError"]

_DATABASES = ("sqlite:///", "postgresql+psycopg://")
_BROKERS = ("redis://", "rediss://", "unix://")


@dataclasses.dataclass(frozen=True)
class Storage:
    """Where things are kept."""

    data_dir: Path = option(
        "DATA_DIR",
        FOLDER,
        Path("fournil-data"),
        "Database, uploads, converted checkpoints and the embedded Valkey live here. One stack a folder.",
    )
    database_url: str = option(
        "DATABASE_URL",
        a_url(*_DATABASES),
        "",
        "Empty: SQLite (WAL) in the data directory, right for one machine. Several hosts need PostgreSQL.",
        secret=True,
    )

    max_unpacked_bytes: int = option(
        "MAX_UNPACKED_BYTES",
        whole(1_000, 1 << 50),
        50 << 30,
        "Most bytes of an upload once it is unpacked (.gz, .zst, Parquet, .xlsx). It is kept unpacked beside the "
        "upload until its batch is deleted. Past 1 GiB a file may also grow no more than 200 times.",
    )

    upload_seconds: float = option(
        "UPLOAD_SECONDS",
        seconds(1, 2_592_000),
        86_400.0,
        "How long a resumable upload that was broken off can be gone on with, from its last byte on. Longer holds "
        "more of the disk for files that nobody may come back for.",
    )

    @property
    def url(self) -> str:
        return self.database_url or f"sqlite:///{self.data_dir.absolute() / 'fournil.db'}"

    @property
    def files_dir(self) -> Path:
        return self.data_dir / "files"

    @property
    def checkpoints_dir(self) -> Path:
        return self.data_dir / "checkpoints"


@dataclasses.dataclass(frozen=True)
class Broker:
    """The message broker: Redis 6.2 or later, or Valkey."""

    url: str = option(
        "BROKER_URL",
        a_url(*_BROKERS),
        "",
        "Empty: `fournil up` starts a Valkey of its own. Set it to use yours; set maxmemory-policy noeviction there.",
        secret=True,
    )
    prefix: str = option(
        "BROKER_PREFIX",
        TEXT,
        "fournil",
        "Put before every key and queue. Two stacks that share a broker need two prefixes.",
    )
    server: str = option(
        "BROKER_SERVER",
        TEXT,
        "",
        "Path or name of the redis-server or valkey-server that `fournil up` starts in place of the embedded one.",
    )


@dataclasses.dataclass(frozen=True)
class Web:
    """The HTTP server."""

    host: str = option(
        "HOST",
        TEXT,
        "127.0.0.1",
        "Address to listen on. There are no keys yet, so any but a loopback address needs FOURNIL_TRUST_NETWORK.",
    )
    port: int = option("PORT", whole(0, 65535), 8000, "Port to listen on; 0 takes a free one.")
    trust_network: bool = option(
        "TRUST_NETWORK",
        BOOL,
        False,
        "true: listen beyond loopback although anybody who reaches the port may submit, read and cancel.",
    )
    processes: int = option(
        "WEB_PROCESSES", whole(1, 64), 1, "More take more requests at once; each holds about 90 MB."
    )
    threads: int = option(
        "WEB_THREADS",
        whole(2, 1024),
        160,
        "Requests one process answers at once. A long poll or an event stream holds one while it waits.",
    )
    waiting: int = option(
        "WEB_WAITING",
        whole(1, 1024),
        128,
        "Long polls and event streams at once, a process; more are answered at once (poll) or 429 (stream). "
        "Keep it below FOURNIL_WEB_THREADS, or waiting callers shut out new ones.",
    )
    silence_seconds: float = option(
        "SILENCE_SECONDS",
        seconds(0.1, 3_600),
        60.0,
        "How long a caller may send nothing in the middle of a request, which holds one of the threads, or be waited "
        "for with less than 10 bytes a second. Less cuts off uploads on bad lines; what came of a resumable one "
        "stays.",
    )
    secret_key: str = option(
        "SECRET_KEY",
        TEXT,
        "",
        "Signs the forms' tokens. Empty: one is made and kept in the data directory; several hosts must share one.",
        secret=True,
    )
    max_json_bytes: int = option(
        "MAX_JSON_BYTES", whole(1_000, 1 << 30), 4 << 20, "Largest JSON body; a larger one is answered 413."
    )
    max_upload_bytes: int = option(
        "MAX_UPLOAD_BYTES",
        whole(1_000, 1 << 50),
        20 << 30,
        "Largest upload. It is streamed to the data directory, so the disk is the limit to think of.",
    )


@dataclasses.dataclass(frozen=True)
class Inference:
    """The ovens: device slots, claims and limits."""

    pipelines: Path | None = option(
        "PIPELINES",
        FILE,
        None,
        "TOML file of pipelines, read at each start. Empty: ./pipelines.toml, else ./examples/pipelines.toml, "
        "else what the database already has.",
    )
    devices: str = option(
        "DEVICES",
        DEVICES,
        "auto",
        "Device slots, one process each. auto: every GPU, or one CPU slot with all cores, and no more threads than "
        "the quota of a container is enough for. "
        "cpu*2 splits the cores: more jobs at once, each slower, and every slot holds its own activations.",
    )
    token_budget: int = option(
        "TOKEN_BUDGET",
        whole(0, 1 << 24),
        0,
        "Padded tokens in one microbatch. 0: measured for each pipeline at its first load, corrected as it runs.",
    )
    claim_rows: int = option(
        "CLAIM_ROWS",
        whole(1, 10_000),
        2048,
        "Most rows one claim takes; about eight seconds of work below that. More sort better by length; all of them "
        "come back when the worker dies.",
    )
    slice_seconds: float = option(
        "SLICE_SECONDS",
        seconds(0.1, 600),
        10.0,
        "How long one Celery task bakes one pipeline before the next pipeline's turn.",
    )
    lease_seconds: float = option(
        "LEASE_SECONDS",
        seconds(2, 3600),
        30.0,
        "How long a silent worker keeps its rows. Shorter recovers sooner from a lost host; too short "
        "takes rows from a busy one.",
    )
    microbatch_timeout: float = option(
        "MICROBATCH_TIMEOUT",
        seconds(1, 86_400),
        600.0,
        "A child that spends longer on one microbatch, or one load, is killed and its rows go back.",
    )
    max_attempts: int = option(
        "MAX_ATTEMPTS", whole(1, 100), 3, "Claims a job may lose to a dying worker, alone, before it fails."
    )
    memory_bytes: int = option(
        "MEMORY_BYTES",
        whole(0, 1 << 50),
        0,
        "Measured bytes of warm pipelines one slot may hold. 0: 80% of the GPU, or of the memory its CPU slot "
        "has a share in. The pipeline that is worth least for its bytes goes first.",
    )
    hub_offline: bool = option(
        "HUB_OFFLINE",
        BOOL,
        False,
        "true: never ask the Hugging Face Hub; only packages, directories and what is cached.",
    )


@dataclasses.dataclass(frozen=True)
class Upkeep:
    """What the scheduler asks for."""

    sweep_seconds: float = option(
        "SWEEP_SECONDS",
        seconds(0.2, 600),
        5.0,
        "Between sweeps, which send lost messages again, take back rows of lost workers and expire late jobs.",
    )
    tidy_seconds: float = option(
        "TIDY_SECONDS",
        seconds(1, 86_400),
        1_800.0,
        "Between looks through the stored files, which remove what belongs to nothing: parts of uploads that were "
        "broken off, files of refused batches. Each look asks the disk about every file.",
    )
    ingest_slice_seconds: float = option(
        "INGEST_SLICE_SECONDS",
        seconds(0.1, 600),
        5.0,
        "How long one Celery task reads one file before the next file's turn.",
    )
    ingest_rows: int = option(
        "INGEST_ROWS",
        whole(1, 100_000),
        2_000,
        "Rows of a file committed at once. More is faster; the database is locked a little longer.",
    )
    keep_days: int = option(
        "KEEP_DAYS",
        whole(0, 36_500),
        0,
        "Days until what is over is removed: batches with their rows and files, jobs, uploads that nothing was made "
        "from. 0: never. What is removed cannot be had back.",
    )


@dataclasses.dataclass(frozen=True)
class Logs:
    level: str = option("LOG_LEVEL", one_of("debug", "info", "warning", "error"), "info", "Least level logged.")
    format: str = option("LOG_FORMAT", one_of("console", "json"), "console", "Lines for people, or for machines.")


@dataclasses.dataclass(frozen=True)
class Slot:
    """One device slot; `fournil worker` sets these for each process it starts."""

    name: str = option("SLOT", TEXT, "", "Name of this device slot.")
    device: str = option("SLOT_DEVICE", TEXT, "cpu", "Its device: cpu or cuda:N.")
    threads: int = option("SLOT_THREADS", whole(0, 1024), 0, "CPU threads it may use; 0: all cores.")


@dataclasses.dataclass(frozen=True)
class Client:
    """The command-line client."""

    url: str = option("URL", a_url("http://", "https://"), "http://127.0.0.1:8000", "Server the client talks to.")


@dataclasses.dataclass(frozen=True)
class Settings:
    storage: Storage = dataclasses.field(default_factory=Storage)
    broker: Broker = dataclasses.field(default_factory=Broker)
    web: Web = dataclasses.field(default_factory=Web)
    media: Media = dataclasses.field(default_factory=Media)
    datasets: Datasets = dataclasses.field(default_factory=Datasets)
    inference: Inference = dataclasses.field(default_factory=Inference)
    cache: Cache = dataclasses.field(default_factory=Cache)
    upkeep: Upkeep = dataclasses.field(default_factory=Upkeep)
    webhooks: Webhooks = dataclasses.field(default_factory=Webhooks)
    logs: Logs = dataclasses.field(default_factory=Logs)
    slot: Slot = dataclasses.field(default_factory=Slot)
    client: Client = dataclasses.field(default_factory=Client)

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Read every section; raise SettingsError on an unknown name or a bad value."""
        refuse_unknown(env, {name for _, field in fields() for name in names_of(field)})
        return cls(**{name: read_section(kind, env) for name, kind in _SECTIONS.items()})


_SECTIONS: dict[str, type[Any]] = {
    "storage": Storage, "broker": Broker, "web": Web, "media": Media, "datasets": Datasets, "inference": Inference,
    "cache": Cache, "upkeep": Upkeep, "webhooks": Webhooks, "logs": Logs, "slot": Slot, "client": Client,
}  # fmt: skip


def fields() -> Iterator[tuple[str, dataclasses.Field[Any]]]:
    """Every option with the name of its section, in the order of the docs."""
    for section, kind in _SECTIONS.items():
        for field in dataclasses.fields(kind):
            yield section, field


def as_markdown() -> str:
    """The table of docs/settings.md."""
    lines = ["| variable | accepts | default | what it trades |", "| --- | --- | --- | --- |"]
    for _, field in fields():
        form: Form = field.metadata["form"]
        default = "" if field.default in (None, "") else f"`{field.default}`"
        note = " Also from the file that the same name with _FILE names." if field.metadata["secret"] else ""
        lines.append(f"| `{field.metadata['name']}` | {form.words} | {default} | {field.metadata['doc']}{note} |")
    return "\n".join(lines) + "\n"
