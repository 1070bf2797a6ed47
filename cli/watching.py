"""Watching a job or a batch until it is over. It goes on when the watching ends, and whoever watched is told how."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from cli.exits import Exit, Unreachable
from contract.statuses import BATCH_OVER

if TYPE_CHECKING:
    from cli.api import Api
    from cli.progress import BatchProgress

_POLL_SECONDS = 0.5
#: How long a server that was answering may be away before watching gives up.
_PATIENCE = 60.0


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


def watch_to_the_end(api: Api, batch: dict[str, Any]) -> dict[str, Any]:
    """Show on stderr how far a batch is until it is over; how it ended."""
    from rich.console import Console

    from cli.progress import BatchProgress

    with BatchProgress(Console(stderr=True)) as progress:
        return _poll(api, batch, progress)


def _poll(api: Api, batch: dict[str, Any], progress: BatchProgress) -> dict[str, Any]:
    answered = time.monotonic()
    progress.show(batch, last=batch["status"] in BATCH_OVER)
    while batch["status"] not in BATCH_OVER:
        time.sleep(_POLL_SECONDS)
        try:
            batch = api.get(f"/batches/{batch['id']}")
        except Unreachable:
            # A server that is being restarted is no reason to lose sight of a batch of hours.
            if time.monotonic() - answered > _PATIENCE:
                raise
            progress.away()
            continue
        answered = time.monotonic()
        progress.show(batch, last=batch["status"] in BATCH_OVER)
    return batch
