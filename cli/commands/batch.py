"""`fournil batch`: the rows of a file or of a dataset, each a job."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli import options
from cli.exits import EXIT_CODES, Exit
from cli.handing_in import name_dataset, try_out, upload
from cli.values import column, pairs, typed, warn_if_idle
from cli.watching import going_on, watch_to_the_end
from contract.jsons import dumps
from contract.statuses import BATCH_OVER, BatchStatus, OnInvalidRows

if TYPE_CHECKING:
    from cli.api import Api


@click.command(epilog=EXIT_CODES)
@click.argument("pipeline")
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, readable=True))
@click.option("--dataset", metavar="NAME", help="A dataset of the Hugging Face Hub in place of FILE, as owner/name.")
@click.option("--config", help="Its config.  [the only one, or its default]")
@click.option("--split", help="Its split.  [the only one, or train]")
@click.option("--revision", help="Its branch, tag or commit.  [main]")
@click.option(
    "--input", "-i", "inputs", multiple=True, metavar="FIELD=COLUMN", help="Column of an input field; repeatable."
)
@options.parameters
@click.option("--id-column", help="Column with an id of each row.")
@options.corrections
@click.option(
    "--on-invalid-rows", type=click.Choice([str(word) for word in OnInvalidRows]), help="[fail: nothing runs]"
)
@click.option("--webhook", metavar="URL", help="Where the server is to send word when the batch is over.")
@click.option("--dry-run", is_flag=True, help="Say how FILE is read and what is wrong in it; nothing runs.")
@click.option("--watch", is_flag=True, help="Wait for the end with a progress bar.")
@click.option("--out", "-o", type=click.Path(dir_okay=False), help="Then download the results here; implies --watch.")
@click.option("--no-resume", is_flag=True, help="Send all of FILE, also where a run before was broken off within it.")
@options.as_json
@options.url
@click.pass_context
def batch(
    context: click.Context,
    /,
    *,
    pipeline: str,
    file: str | None,
    dry_run: bool,
    watch: bool,
    out: str | None,
    no_resume: bool,
    as_json: bool,
    url: str,
    **words: Any,
) -> None:
    """Hand in every row of FILE, or of a dataset of the Hub, as a job of PIPELINE.

    `--input text=review` takes the text from the column `review`; a column may be a number, from 0.
    """
    from cli.api import Api
    from cli.downloading import fetch

    dataset = {"name": words["dataset"], **{name: words[name] for name in ("config", "split", "revision")}}
    reading = {name: words[name] for name in ("format", "encoding", "delimiter", "header", "sheet", "skip_lines")}
    check_source(file, dataset, reading)
    if dry_run and (watch or out):
        raise click.UsageError("--dry-run runs nothing that --watch or --out could wait for.")
    api = Api(url)
    request = _given({**asked(api, pipeline, words), **reading})
    if dry_run:
        named = {} if file else {"dataset": _given(dataset)}
        report = try_out(api, Path(file) if file else None, {**request, **named})
        show_report(report, as_json=as_json)
        context.exit(Exit.OK if report["valid"] else Exit.FAILED)
    if file:
        accepted = upload(api, Path(file), request, resume=not no_resume)
    else:
        accepted = name_dataset(api, _given(dataset), request)
    with going_on("batch", how=_how(accepted["id"], out)):
        if watch or out:
            accepted = watch_to_the_end(api, accepted)
        if out and accepted["status"] != BatchStatus.FAILED:
            fetch(api, accepted, out)
    show_batch(accepted, as_json=as_json)
    context.exit(exit_code(accepted))


def asked(api: Api, pipeline: str, words: Mapping[str, Any]) -> dict[str, Any]:
    """What is to be done with the rows, wherever they come from; None for what nothing was said of."""
    given = pairs(words["parameters"], option="--param")
    mapping = {name: column(word) for name, word in pairs(words["inputs"], option="--input").items()}
    offer = api.get(f"/pipelines/{pipeline}")
    warn_if_idle(offer)
    return {
        "pipeline": pipeline,
        "parameters": typed(given, offer["parameters_schema"]),
        "inputs": mapping or None,
        "id_column": words["id_column"],
        "on_invalid_rows": words["on_invalid_rows"],
        "webhook": {"url": words["webhook"]} if words["webhook"] else None,
    }


def check_source(file: str | None, dataset: Mapping[str, Any], reading: Mapping[str, Any]) -> None:
    """Exactly one of a file and a dataset, and nothing that belongs to the other; else a usage error."""
    if (file is None) == (dataset["name"] is None):
        raise click.UsageError("Give a FILE or --dataset NAME" + (", not both." if file else "."))
    if file is None and (strays := [name for name, value in reading.items() if value is not None]):
        option = {"header": "--no-header"}.get(strays[0], f"--{strays[0].replace('_', '-')}")
        raise click.UsageError(f"{option} is of a FILE, not of a --dataset.")
    if file is not None and (strays := [f"--{name}" for name, value in dataset.items() if value is not None]):
        raise click.UsageError(f"{strays[0]} is of a --dataset, not of a FILE.")


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _how(batch_id: str, out: str | None) -> str:
    return f"fournil results {batch_id} --out {shlex.quote(out)}" if out else f"fournil status {batch_id}"


def show_batch(batch: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(dumps(batch))
        return
    from cli import show

    show.batch(batch)


def show_report(report: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(dumps(report))
        return
    from cli import show

    show.report(report)


def exit_code(batch: dict[str, Any]) -> Exit:
    status = BatchStatus(batch["status"])
    if status not in BATCH_OVER:
        return Exit.OK
    all_good = batch["counts"]["succeeded"] == batch["counts"]["total"]
    return Exit.OK if status is BatchStatus.COMPLETED and all_good else Exit.FAILED
