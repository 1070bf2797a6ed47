"""The table of proven tasks: written by a run that was asked to, true to its tests, and the same in docs/tasks.md."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from contract.docs import PROOFS, WAYS, tasks_page
from contract.tasks import CATALOGUE
from tests.processes import clean_environment

MODULE = """
import os
import pytest

@pytest.mark.proves("api", "view")
@pytest.mark.parametrize("task", ["fill-mask", "translation"])
def test_shows(task):
    assert task != "translation"

@pytest.mark.proves("view")
@pytest.mark.parametrize("task", ["fill-mask"])
def test_shows_the_contrary(task):
    assert False

@pytest.mark.proves("bulk")
@pytest.mark.parametrize("task", ["summarization"])
def test_lacks_a_part(task):
    pytest.skip("needs a GPU")

def test_programs_never_see_the_variable():
    assert "FOURNIL_TESTS_PROOFS" not in os.environ
"""
KNOWN = {"translation": ["form", "api"], "summarization": ["bulk"], "gone": ["api"]}


def recorded(folder: Path, **env: str) -> dict[str, list[str]]:
    """What a run over MODULE makes of a file that says KNOWN."""
    (folder / "test_it.py").write_text(MODULE)
    file = folder / "proofs.json"
    file.write_text(json.dumps({"transformers": "1", "tasks": KNOWN}))
    words = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-q", str(folder)]
    done = subprocess.run(
        [*words, "--rootdir", str(folder), "-c", os.devnull],
        env=clean_environment() | env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "2 failed" in done.stdout, done.stdout
    found: dict[str, list[str]] = json.loads(file.read_text())["tasks"]
    return found


def test_what_a_run_shows_is_kept_beside_what_it_did_not_look_at(tmp_path):
    found = recorded(tmp_path, FOURNIL_TESTS_PROOFS=str(tmp_path / "proofs.json"))

    assert set(found) == set(CATALOGUE)
    assert found["fill-mask"] == ["api"], "view was shown and then not"
    assert found["translation"] == ["form"], "a proof is lost with its test"
    assert found["summarization"] == ["bulk"], "a skipped test shows nothing new"


def test_a_run_that_was_not_asked_to_records_nothing(tmp_path):
    assert recorded(tmp_path) == KNOWN


def test_the_docs_table_has_a_row_for_every_task_and_no_other():
    table = [line for line in tasks_page().splitlines() if line.startswith("| [")]
    assert [line.split("]")[0].removeprefix("| [") for line in table] == list(CATALOGUE)


def test_the_docs_table_is_made_of_doors_and_tasks_that_there_are():
    tasks = json.loads(PROOFS.read_text(encoding="utf-8"))["tasks"]
    assert set(tasks) <= set(CATALOGUE), "run `make proofs`"
    assert {way for ways in tasks.values() for way in ways} <= set(WAYS)
