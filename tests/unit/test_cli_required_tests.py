"""In CI a test that is skipped because it `needs ...` something has failed; any other skip is a skip."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.processes import clean_environment

SKIPS = """
import os
import pytest

def test_that_lacks_a_part():
    pytest.skip("needs a GPU")

@pytest.mark.skipif(True, reason="needs Chromium")
def test_that_lacks_a_browser():
    pass

def test_for_another_system():
    pytest.skip("only on Mars")

@pytest.mark.xfail(reason="needs work")
def test_known_to_fail():
    assert False

def test_programs_never_see_the_variable():
    assert "FOURNIL_TESTS_REQUIRE_ALL" not in os.environ
"""
MODULE = 'import pytest\npytest.skip("needs PostgreSQL", allow_module_level=True)\n'


def outcome(folder, **env: str) -> str:
    words = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-q", str(folder)]
    done = subprocess.run(
        [*words, "--rootdir", str(folder), "-c", "/dev/null"],
        env=clean_environment() | env,
        cwd=folder,
        capture_output=True,
        text=True,
    )
    return done.stdout.splitlines()[-1]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "test_skips.py").write_text(SKIPS, encoding="utf-8")
    (tmp_path / "test_module.py").write_text(MODULE, encoding="utf-8")
    return tmp_path


def test_on_a_developers_machine_a_missing_part_is_a_skip(folder):
    assert outcome(folder).startswith("1 passed, 4 skipped, 1 xfailed")


def test_in_ci_a_missing_part_is_a_failure(folder):
    last = outcome(folder, FOURNIL_TESTS_REQUIRE_ALL="1")

    # The module cannot even be collected, so nothing else runs.
    assert "1 error" in last or "failed" in last

    (folder / "test_module.py").unlink()
    assert outcome(folder, FOURNIL_TESTS_REQUIRE_ALL="1").startswith(
        "1 failed, 1 passed, 1 skipped, 1 xfailed, 1 error"
    )
