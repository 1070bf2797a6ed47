"""The command line itself: quick to answer, and nothing heavy behind --help."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest
from click.testing import CliRunner

from cli.main import _COMMANDS, main
from tests.processes import clean_environment

HEAVY = ("flask", "celery", "torch", "transformers", "sqlalchemy", "httpx", "rich", "web", "worker", "models")


@pytest.mark.parametrize("words", [["submit"], ["pipelines", "add"]])
def test_help_imports_nothing_heavy_and_answers_within_half_a_second(tmp_path, words):
    script = (
        "import sys\nfrom cli.main import main\n"
        f"main({[*words, '--help']}, standalone_mode=False)\n"
        f"heavy = [name for name in {HEAVY} if name in sys.modules]\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    # Measuring coverage would be measured too.
    env = {name: value for name, value in clean_environment().items() if not name.startswith("COVERAGE")}
    before = _processor_seconds()

    done = subprocess.run([sys.executable, "-c", script], env=env, cwd=tmp_path, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout
    # Processor time: on a machine that does nothing else it is the time a person waits.
    assert _processor_seconds() - before < 0.5


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize("name", _COMMANDS)
def test_every_command_has_help(name):
    answer = CliRunner().invoke(main, [name, "--help"])

    assert answer.exit_code == 0, answer.output
    assert answer.output.startswith("Usage: ")


def test_the_group_lists_every_command_and_the_exit_codes():
    output = CliRunner().invoke(main, ["--help"]).output

    assert all(f"  {name} " in output for name in _COMMANDS)
    assert "3  no server answers there" in output


def test_an_unknown_command_is_a_usage_error():
    assert CliRunner().invoke(main, ["bake"]).exit_code == 2
