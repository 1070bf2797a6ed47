"""Rules of the house that no linter has: how long things may be, and what is loaded with what."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("contract", "models", "web", "worker", "cli")
MODULES = [
    path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
    # Written by a program, and never changed again.
    if "versions" not in path.parts
]
MOST_LINES, LONGEST_FUNCTION = 350, 60


def functions(module: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            yield node.name, node.end_lineno - node.lineno + 1


@pytest.mark.parametrize("package", PACKAGES)
def test_modules_and_functions_can_be_taken_in_at_a_look(package: str):
    ours = [module for module in MODULES if module.relative_to(ROOT).parts[0] == package]
    long = {str(module): count for module in ours if (count := lines_of(module)) > MOST_LINES}
    assert long == {}
    assert [(module.name, *one) for module in ours for one in functions(module) if one[1] > LONGEST_FUNCTION] == []


def lines_of(module: Path) -> int:
    return len(module.read_text(encoding="utf-8").splitlines())


def test_every_module_of_the_worker_is_kept_from_torch():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    [guarded] = [set(one["source_modules"]) for one in contracts if "worker.backends only" in one["name"]]
    there = {f"worker.{module.stem}" for module in (ROOT / "worker").glob("*.py") if module.stem != "__init__"}
    assert there == guarded


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("web.wsgi", ("torch", "transformers", "worker")),
        ("worker.node", ("torch", "transformers", "flask", "web")),
        ("worker.tasks", ("torch", "transformers", "flask", "web")),
        ("contract.settings", ("sqlalchemy", "flask", "celery", "torch")),
        ("models.jobs", ("flask", "celery", "torch", "web", "worker")),
    ],
)
def test_a_room_does_not_import_what_is_not_its_own(module, forbidden):
    code = f"import sys, {module}; print([m for m in {forbidden!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
