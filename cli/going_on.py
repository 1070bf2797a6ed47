"""What is being watched goes on when the watching ends."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import click

from cli.exits import Exit, Unreachable


@contextlib.contextmanager
def going_on(what: str, *, how: str) -> Iterator[None]:
    """Ctrl-C, or a server that is gone, ends the watching and never the job or batch: how to go on is said."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"\nThe {what} goes on: {how}", err=True)
        raise click.exceptions.Exit(Exit.INTERRUPTED) from None
    except Unreachable as error:
        raise Unreachable(f"{error.message} The {what} is kept: {how}") from error
