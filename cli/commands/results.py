"""`fournil results`: every row of a batch with its result, streamed."""

from __future__ import annotations

from pathlib import Path

import click

from cli import options
from cli.exits import EXIT_CODES
from cli.outfile import format_of, open_out, unpack


@click.command(epilog=EXIT_CODES)
@click.argument("batch")
@click.option("--format", "format_", help="csv, jsonl, datasets ...  [by --out, else the upload's]")
@click.option("--out", "-o", type=click.Path(), help="File to write; of datasets, a new folder.  [stdout]")
@click.option("--status", help="Only rows with this status.")
@click.option("--columns", help="inputs, results, or a comma list of names.")
@options.url
def results(
    batch: str, format_: str | None, out: str | None, status: str | None, columns: str | None, url: str
) -> None:
    """Download the results of BATCH in row order, each beside its input. While it runs: what is finished.

    When the connection breaks, CSV and JSONL go on where they were, and other formats begin again.
    """
    from cli.api import Api
    from cli.downloading import download

    wanted = format_ or format_of(out)
    folder = _folder(out, format=wanted)
    packed = f"{folder}.zip" if folder else out
    with open_out(packed) as file:
        download(Api(url), f"/batches/{batch}/results", file, format=wanted, status=status, columns=columns)
    if folder and packed:
        unpack(Path(packed), folder)
        Path(packed).unlink()
    if out:
        click.echo(f"Wrote {out}.", err=True)


def _folder(out: str | None, *, format: str | None) -> str | None:
    """The folder that the results are to be; None where they are a file, or go to stdout."""
    if format != "datasets" or out is None or out == "-" or out.endswith(".zip"):
        return None
    return out.rstrip("/")
