"""One stack a data directory: a lock that the kernel lets go of when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contract.options import SettingsError


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Hold the data directory; SettingsError names the process that has it already."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise SettingsError(f"The data directory {data_dir} cannot be written: {error.strerror}.") from error
    with os.fdopen(descriptor, "r+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = file.read().strip()
            raise SettingsError(
                f"Another `fournil up` (process {holder}) uses the data directory {data_dir}. "
                "Stop it, or give this one another --data-dir."
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
