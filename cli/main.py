"""The `fournil` command. A command's module is imported when that command is asked for, and not before.

So `fournil submit --help` answers in a fraction of a second and never sees a web framework, a database or torch.
"""

from __future__ import annotations

import importlib

import click

from cli.exits import EXIT_CODES

# name: (module, attribute, summary); in the order of --help.
_COMMANDS = {
    "up": ("cli.commands.up", "up", "Start the whole stack on this machine."),
    "demo": ("cli.commands.demo", "demo", "Start it, bake a sample file, show the results, stop."),
    "submit": ("cli.commands.submit", "submit", "Hand in one job."),
    "batch": ("cli.commands.batch", "batch", "Hand in a file: a job for each row."),
    "status": ("cli.commands.status", "status", "Show a job or a batch."),
    "results": ("cli.commands.results", "results", "Download the results of a batch."),
    "cancel": ("cli.commands.status", "cancel", "Cancel a job or a batch."),
    "pipelines": ("cli.commands.pipelines", "pipelines", "List what the server offers, or add an offer."),
    "doctor": ("cli.commands.doctor", "doctor", "Say what is wrong with the set-up and how to mend it."),
    "migrate": ("cli.commands.migrate", "migrate", "Bring database and pipelines up to date."),
    "web": ("cli.commands.roles", "web", "Run the web server only."),
    "worker": ("cli.commands.up", "worker", "Run this machine's ovens only."),
    "upkeep": ("cli.commands.roles", "upkeep", "Run the upkeep node only."),
    "scheduler": ("cli.commands.roles", "scheduler", "Run the scheduler only."),
}


class LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """From the summaries here: listing the commands must not import them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, _, summary) in _COMMANDS.items()])


@click.group(cls=LazyGroup, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fournil")
def main() -> None:
    """Hugging Face pipelines as asynchronous jobs: a form, an API call or a million rows through warm workers.

    Start with `fournil up`, then `fournil submit sentiment "What a fine loaf" --wait`.
    """


if __name__ == "__main__":
    main(prog_name="fournil")
