"""`python -m tests.fuzz`: see the package."""

from __future__ import annotations

import argparse
import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.harness import keep
from tests.fuzz.cases import case
from tests.fuzz.reading import answer
from tests.fuzz.watch import Findings, run

_SHOWN = 30
_LIBRARIES = ("pyarrow", "orjson", "python-calamine", "charset-normalizer")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seconds", type=float, default=30.0, help="most that one case may take")
    parser.add_argument("--only", type=int, help="one case, in this process")
    parser.add_argument("--keep", type=Path, help="with --only: write its file into this folder")
    parser.add_argument("--save", action="store_true", help="keep the figures in benchmarks/results")
    given = parser.parse_args()
    if given.only is not None:
        return _only(given.seed, given.only, given.keep)
    began = time.monotonic()
    findings = run(given.seed, range(given.first, given.first + given.cases), seconds=given.seconds)
    figures = _figures(findings, given.seed, time.monotonic() - began)
    print(keep("fuzz-readers", figures) if given.save else json.dumps(figures, indent=2))
    for trouble in findings.troubles[:_SHOWN]:
        print(f"\ncase {trouble['case']} ({trouble['format']})\n{trouble['what']}")
    return 1 if findings.troubles else 0


def _only(seed: int, number: int, folder: Path | None) -> int:
    one = case(seed, number)
    if folder is not None:
        (folder / one.filename).write_bytes(one.data)
    found = answer(one, seed)
    print(one.format, one.filename, one.said, len(one.data), one.data[:300])
    print(found.trouble or found)
    return 1 if found.trouble else 0


def _figures(findings: Findings, seed: int, seconds: float) -> dict[str, Any]:
    return {
        "cases": findings.cases.total(),
        "seed": seed,
        "seconds": round(seconds),
        "libraries": {name: version(name) for name in _LIBRARIES},
        "by_format": dict(sorted(findings.cases.items())),
        "answers": dict(findings.answers.most_common()),
        "rows": {"good": findings.good_rows, "bad": findings.bad_rows},
        "slowest_seconds": dict(sorted(findings.slowest_seconds.items())),
        "held_mb": round(findings.held_bytes / 1e6),
        "troubles": len(findings.troubles),
    }


if __name__ == "__main__":
    sys.exit(main())
