"""`fournil submit`: one job."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from cli import options
from cli.exits import EXIT_CODES, Exit
from cli.values import main_field, pairs, typed, warn_if_idle
from cli.watching import going_on
from contract.jsons import dumps
from contract.statuses import JOB_OVER, JobStatus


@click.command(cls=options.OptionalSeconds, epilog=EXIT_CODES)
@click.argument("pipeline")
@click.argument("text", required=False)
@click.option("--input", "-i", "inputs", multiple=True, metavar="NAME=VALUE", help="An input field; repeatable.")
@options.parameters
@options.wait
@options.as_json
@options.url
@click.pass_context
def submit(
    context: click.Context,
    *,
    pipeline: str,
    text: str | None,
    inputs: tuple[str, ...],
    parameters: tuple[str, ...],
    wait: float | None,
    as_json: bool,
    url: str,
) -> None:
    """Hand in TEXT as one job of PIPELINE. TEXT `-` is read from stdin.

    Values are read as the pipeline's schemas say: `--param top_k=2` is a number, `--param labels=a,b` a list.
    """
    from cli.api import Api

    given, named = pairs(parameters, option="--param"), pairs(inputs, option="--input")
    if text is None and not named:
        raise click.UsageError("Give the TEXT, or --input NAME=VALUE.")
    api = Api(url)
    offer = api.get(f"/pipelines/{pipeline}")
    warn_if_idle(offer)
    body = _body(offer, _read(text), named, given)
    end = time.monotonic() + (wait or 0)
    # Its id is known before anybody waits: else Ctrl-C would lose it.
    job = api.post("/jobs", body)
    with going_on("job", how=f"fournil status {job['id']}"):
        job = api.wait_until_over(job, JOB_OVER, end=end)
    _show(job, as_json=as_json)
    context.exit(_exit_code(job, waited=wait is not None))


def _read(text: str | None) -> str | None:
    return sys.stdin.read().rstrip("\n") if text == "-" else text


def _body(offer: dict[str, Any], text: str | None, inputs: dict[str, str], given: dict[str, str]) -> dict[str, Any]:
    fields = typed(inputs, offer["input_schema"])
    if text is not None:
        fields = {main_field(offer): text, **fields}
    return {"pipeline": offer["name"], "inputs": fields, "parameters": typed(given, offer["parameters_schema"])}


def _show(job: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(dumps(job))
        return
    from cli import show

    show.job(job)


def _exit_code(job: dict[str, Any], *, waited: bool) -> Exit:
    status = JobStatus(job["status"])
    if status in JOB_OVER:
        return Exit.OK if status is JobStatus.SUCCEEDED else Exit.FAILED
    return Exit.NOT_OVER if waited else Exit.OK
