"""A stack in a process of its own, for a command that needs one for a while: `fournil up` on a free port."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from cli.stack.plan import module_argv
from cli.stack.program import leashed

_STOP_SECONDS = 25.0
_TAIL = 25


@contextlib.contextmanager
def running_stack(data_dir: Path, *, pipelines: Path, env: Mapping[str, str]) -> Iterator[str]:
    """Yield its URL; then stop it. It dies with us, should we be killed."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = data_dir / "up.log"
    words = ("up", "--port", "0", "--data-dir", str(data_dir), "--pipelines", str(pipelines))
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(
            leashed(module_argv("cli.main", *words)),
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            # A Ctrl-C is for the command, which then stops the stack in order.
            start_new_session=True,
        )
    try:
        yield _url(process, log)
    finally:
        _stop(process)


def _url(process: subprocess.Popen[str], log: Path) -> str:
    assert process.stdout
    line = process.stdout.readline()
    if not line:
        process.wait()
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL:]
        raise click.ClickException("\n".join(["The stack did not start:", *lines, f"All of it: {log}"]))
    return line.split()[3]


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    assert process.stdout
    process.stdout.close()
