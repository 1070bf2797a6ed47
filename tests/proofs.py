"""Which task came through which door: what marked tests showed, kept for the table of docs/tasks.md.

`@pytest.mark.proves("api")` on a test with a `task` parameter says what its passing shows of that task. `make proofs`
runs these tests and records; any other run records nothing. A task whose test fails loses its proof.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from contract.docs import WAYS
from contract.tasks import CATALOGUE


class Recorder:
    """A pytest plugin; `file` is read and written when the run is over."""

    def __init__(self, file: Path) -> None:
        self._file = file
        #: Whether every test that shows this of a task has passed so far.
        self._shown: dict[tuple[str, str], bool] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Function) -> Iterator[None]:
        report: pytest.TestReport = yield  # type: ignore[assignment]
        if not report.skipped:
            self._note(item, passed=report.passed)
        return report  # type: ignore[return-value]

    def _note(self, item: pytest.Function, *, passed: bool) -> None:
        for marker in item.iter_markers("proves"):
            for way in marker.args:
                key = (item.callspec.params["task"], way)
                self._shown[key] = self._shown.get(key, True) and passed

    def pytest_sessionfinish(self) -> None:
        if self._shown:
            kept = json.loads(self._file.read_text(encoding="utf-8"))["tasks"] if self._file.exists() else {}
            self._file.write_text(_as_text(self._merged(kept)), encoding="utf-8")

    def _merged(self, kept: dict[str, list[str]]) -> dict[str, list[str]]:
        """What was known of tasks that are still there, and what this run says on top."""
        return {
            task: [way for way in WAYS if self._shown.get((task, way), way in kept.get(task, ()))]
            for task in CATALOGUE
        }


def _as_text(tasks: dict[str, list[str]]) -> str:
    """JSON, a line a task: two people who each add one do not meet."""
    lines = ",\n".join(f"  {json.dumps(task)}: {json.dumps(ways)}" for task, ways in tasks.items())
    version = json.dumps(metadata.version("transformers"))
    return f'{{\n "transformers": {version},\n "tasks": {{\n{lines}\n }}\n}}\n'
