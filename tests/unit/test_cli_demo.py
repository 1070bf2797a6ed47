"""What the demo says of its own results."""

from __future__ import annotations

import io
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner
from rich.console import Console

from cli.commands import demo
from cli.main import main
from cli.stack import detached

REVIEWS = """id,product,stars,review,label,score
r1,Pan,5,Superb.,POSITIVE,0.98
r2,Pot,1,Leaks.,POSITIVE,0.6
r3,Lid,3,Fits.,NEGATIVE,0.5
"""


@pytest.mark.parametrize(
    ("stars", "label", "agreed"),
    [
        ("5", "POSITIVE", True),
        ("1", "negative", True),
        ("4", "NEGATIVE", False),
        ("2", "positive", False),
        ("3", "x", None),
    ],
)
def test_stars_and_labels_agree_or_not_and_three_stars_say_nothing(stars, label, agreed):
    assert demo.agrees({"stars": stars, "label": label}) is agreed


def test_the_table_shows_reviews_with_labels_and_counts_who_agrees(tmp_path):
    (tmp_path / "r.csv").write_text(REVIEWS, encoding="utf-8")
    console = Console(file=io.StringIO(), width=120)

    demo._show(console, tmp_path / "r.csv")

    shown = console.file.getvalue()
    assert "Superb." in shown
    assert "★★★★★" in shown
    assert "agree with the stars in 1 of 2 reviews (50%; 1 with three stars left out)" in shown


def test_without_the_examples_it_says_where_to_run(monkeypatch, tmp_path):
    monkeypatch.setattr(demo, "_EXAMPLES", tmp_path)

    answer = CliRunner().invoke(main, ["demo"])

    assert answer.exit_code == 1
    assert "clone of the repository" in answer.stderr


def test_a_broken_pipeline_is_said_and_not_waited_for():
    with pytest.raises(click.ClickException, match="Its adapter is gone"):
        demo._refuse_idle({"state": "broken", "reason": "Its adapter is gone."})


def test_a_stack_that_does_not_start_shows_its_last_lines(monkeypatch, tmp_path):
    script = "import sys; print('no oven here', file=sys.stderr)"
    monkeypatch.setattr(detached, "module_argv", lambda *words: (sys.executable, "-c", script))

    with pytest.raises(click.ClickException, match="no oven here"), _running(tmp_path):
        pass


def test_a_stack_that_does_not_stop_is_killed(monkeypatch, tmp_path):
    script = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('Fournil is ready: http://here', flush=True); time.sleep(600)"
    )
    monkeypatch.setattr(detached, "module_argv", lambda *words: (sys.executable, "-c", script))
    monkeypatch.setattr(detached, "_STOP_SECONDS", 0.2)
    started = []
    popen = subprocess.Popen
    monkeypatch.setattr(detached.subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[0])

    with _running(tmp_path) as url:
        assert url == "http://here"

    assert started[0].returncode == -9


def _running(folder):
    return detached.running_stack(folder, pipelines=folder / "p.toml", env={})
