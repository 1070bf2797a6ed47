"""Texts of skewed length: docstrings of the standard library and as many of the sentences that people rated.

Tokens of MiniLM: a tenth have at most 10, half 24, nine tenths 72, and of a hundred one has more than 170.
"""

from __future__ import annotations

import ast
import random
import sysconfig
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from benchmarks.engine.sentences import sentences

#: Where docstrings are cut: few reach the 256 tokens that all-MiniLM-L6-v2 takes.
_MOST_WORDS = 90


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
    long = dict.fromkeys(_docs())
    short = sorted(set(sentences()) - long.keys())
    return (*long, *random.Random(2).sample(short, min(len(long), len(short))))


def _docs() -> Iterator[str]:
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.py")):
        if "site-packages" in path.parts or "test" in path.parts:
            continue
        for docstring in _docstrings(path):
            words = docstring.split()
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
