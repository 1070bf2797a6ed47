"""Texts of skewed length: paragraphs of the standard library's docstrings, and the sentences that people rated."""

from __future__ import annotations

import ast
import random
import re
import sysconfig
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from benchmarks.engine.sentences import sentences

#: Longer paragraphs are cut, as all-MiniLM-L6-v2 would cut them at 256 tokens.
_MOST_WORDS = 160


def texts(count: int, *, seed: int = 1) -> list[str]:
    """`count` different texts in random order, the same for the same Python version."""
    found = list(_different())
    random.Random(seed).shuffle(found)
    if len(found) < count:
        # A numbered copy is as long as its original and no longer equal to it.
        found += [f"{text} ({n})" for n, text in enumerate(found * (count // len(found)))]
    return found[:count]


@cache
def _different() -> tuple[str, ...]:
    return tuple(dict.fromkeys([*_paragraphs(), *sentences()]))


def _paragraphs() -> Iterator[str]:
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.py")):
        if "site-packages" in path.parts or "test" in path.parts:
            continue
        for docstring in _docstrings(path):
            for paragraph in re.split(r"\n\s*\n", docstring):
                words = paragraph.split()
                if len(words) >= 3:
                    yield " ".join(words[:_MOST_WORDS])


def _docstrings(path: Path) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""
