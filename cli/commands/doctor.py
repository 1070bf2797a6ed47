"""`fournil doctor`: each part of the set-up tried for real, and a way to mend what is wrong."""

from __future__ import annotations

import dataclasses

import click

from cli.configuration import settings_and_environment
from cli.diagnosis import State, examine
from cli.exits import Exit
from contract.jsons import dumps

_MARKS = {State.GOOD: ("✓", "green"), State.NOTE: ("-", "yellow"), State.WRONG: ("✗", "red")}


@click.command()
@click.option("--url", help="Server that must answer.  [FOURNIL_URL, if set]")
@click.option("--data-dir", type=click.Path(file_okay=False), help="The data directory to look at.")
@click.option("--pipelines", type=click.Path(dir_okay=False), help="The pipelines file to look at.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")
@click.pass_context
def doctor(context: click.Context, /, *, as_json: bool, **typed: object) -> None:
    """Say what is wrong with the set-up and how to mend it. Exit code 1 when something is."""
    settings, env = settings_and_environment(**typed)
    findings = examine(settings, env)
    if as_json:
        click.echo(dumps([dataclasses.asdict(finding) for finding in findings]))
    else:
        for finding in findings:
            mark, color = _MARKS[finding.state]
            click.echo(f"{click.style(mark, fg=color)} {finding.part}: {finding.words}")
            if finding.mend:
                click.echo(f"    {finding.mend}")
    wrong = sum(finding.state is State.WRONG for finding in findings)
    if not as_json:
        click.echo(f"\n{wrong} to mend." if wrong else "\nNothing is wrong.")
    context.exit(Exit.FAILED if wrong else Exit.OK)
