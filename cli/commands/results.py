"""`fournil results`: every row of a batch with its result, streamed."""

from __future__ import annotations

import click

from cli import options
from cli.exits import EXIT_CODES
from cli.outfile import format_of, open_out


@click.command(epilog=EXIT_CODES)
@click.argument("batch")
@click.option("--format", "format_", help="csv, jsonl, ...  [by the name of --out, else the upload's]")
@click.option("--out", "-o", type=click.Path(dir_okay=False), help="File to write.  [stdout]")
@click.option("--status", help="Only rows with this status.")
@click.option("--columns", help="inputs, results, or a comma list of names.")
@options.url
def results(
    batch: str, format_: str | None, out: str | None, status: str | None, columns: str | None, url: str
) -> None:
    """Download the results of BATCH in row order, each beside its input. While it runs: what is finished."""
    from cli.api import Api

    wanted = format_ or format_of(out)
    with open_out(out) as file:
        Api(url).download(f"/batches/{batch}/results", file, format=wanted, status=status, columns=columns)
    if out:
        click.echo(f"Wrote {out}.", err=True)
