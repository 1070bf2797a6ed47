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
    parser.add_argument("--part", type=Path, help="write what was found into this file, for --join")
    parser.add_argument("--join", type=Path, nargs="+", help="run nothing: the parts of one run as one")
    parser.add_argument("--save", action="store_true", help="keep the figures in benchmarks/results")
    given = parser.parse_args()
    if given.only is not None:
        return _only(given.seed, given.only, given.keep)
    if given.join:
        found, seconds = _joined(given.join)
    else:
        began = time.monotonic()
        found = run(given.seed, range(given.first, given.first + given.cases), seconds=given.seconds)
        seconds = time.monotonic() - began
    if given.part:
        given.part.write_text(json.dumps({"seconds": seconds, "found": vars(found)}))
    figures = _figures(found, given.seed, seconds)
    print(keep("fuzz-readers", figures) if given.save else json.dumps(figures, indent=2))
    for trouble in found.troubles[:_SHOWN]:
        print(f"\ncase {trouble['case']} ({trouble['format']})\n{trouble['what']}")
    return 1 if found.troubles else 0


def _joined(parts: list[Path]) -> tuple[Findings, float]:
    whole, seconds = Findings(), 0.0
    for part in parts:
        kept = json.loads(part.read_text())
        whole.add(Findings(**kept["found"]))
        seconds += kept["seconds"]
    return whole, seconds


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
        "read_by_format": dict(sorted(findings.read.items())),
        "answers": dict(findings.answers.most_common()),
        "rows": {"good": findings.good_rows, "bad": findings.bad_rows},
        "slowest_seconds": dict(sorted(findings.slowest_seconds.items())),
        "held_mb": round(findings.held_bytes / 1e6),
        "troubles": len(findings.troubles),
    }


if __name__ == "__main__":
    sys.exit(main())
