"""Fixtures of the whole suite, and the rule that CI skips nothing for lack of a part."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

_required = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    # Taken out of the environment: the programs under test refuse a FOURNIL_ name that is not a setting.
    config.stash[_required] = os.environ.pop("FOURNIL_TESTS_REQUIRE_ALL", "") == "1"
    if file := os.environ.pop("FOURNIL_TESTS_PROOFS", ""):
        from tests.proofs import Recorder

        config.pluginmanager.register(Recorder(Path(file)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A test that is skipped because it `needs ...` has failed where FOURNIL_TESTS_REQUIRE_ALL=1."""
    report: pytest.TestReport = yield  # type: ignore[assignment]
    _refuse_skip(report, required=item.config.stash[_required])
    return report  # type: ignore[return-value]


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    report: pytest.CollectReport = yield  # type: ignore[assignment]
    _refuse_skip(report, required=collector.config.stash[_required])
    return report  # type: ignore[return-value]


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport, *, required: bool) -> None:
    if not (required and report.skipped) or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if reason.removeprefix("Skipped: ").startswith("needs "):
        report.outcome = "failed"
        report.longrepr = f"FOURNIL_TESTS_REQUIRE_ALL is set, and this was skipped: {reason}"
