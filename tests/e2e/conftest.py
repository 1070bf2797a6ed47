"""One stack of all tasks, for all tests that ask each of them; and a client of the stack that a module has."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from tests.processes import ROOT, Stack, clean_environment, running_stack


@pytest.fixture(scope="package")
def all_tasks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A pipeline for every task, named as the task, on a tiny checkpoint."""
    folder = tmp_path_factory.mktemp("tasks")
    command = [sys.executable, "-m", "tests.tiny", str(folder)]
    subprocess.run(command, check=True, cwd=ROOT, env=clean_environment(), capture_output=True)
    assert sum(file.stat().st_size for file in folder.rglob("*")) < 200_000_000
    pipelines = (folder / "pipelines.toml").read_text(encoding="utf-8")
    # A fixed budget: measuring one takes seconds for each pipeline.
    with running_stack(folder, pipelines=pipelines, FOURNIL_TOKEN_BUDGET="512") as running:
        yield running


@pytest.fixture(scope="module")
def http(stack: Stack) -> Iterator[httpx.Client]:
    """Waits for each job; `stack` is the module's own."""
    with httpx.Client(base_url=stack.url, headers={"Prefer": "wait=60"}, timeout=90) as client:
        yield client
