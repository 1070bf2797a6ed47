"""What was killed where and when, kept as a result: FOURNIL_CHAOS_LOG=FILE notes each round, and this sums them up.

python -m tests.chaos.record FILE...     into benchmarks/results/chaos-ingest.json
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.harness import save


def note(**said: Any) -> None:
    """Add a round that ended as it should to the log, where there is one."""
    name = os.environ.get("FOURNIL_CHAOS_LOG")
    if name:
        with Path(name).open("a", encoding="utf-8") as log:
            log.write(json.dumps(said) + "\n")


def summary(rounds: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """By database: rounds whose rows were those of the file, kills in them by victim, and at which rows."""
    found: dict[str, Any] = {}
    for one in rounds:
        about = found.setdefault(one["database"], {"rounds": 0, "kills": 0, "by_victim": Counter(), "each": []})
        about["rounds"] += 1
        about["kills"] += len(one["kills"])
        about["by_victim"].update(victim for victim, _ in one["kills"])
        kills = ", ".join(f"{victim} at row {row}" for victim, row in one["kills"])
        about["each"].append(f"seed {one['seed']}, round {one['round']}: {kills}")
        about["rows"] = one["rows"]
    return found


if __name__ == "__main__":
    lines = [line for name in sys.argv[1:] for line in Path(name).read_text("utf-8").splitlines()]
    save("chaos-ingest", summary(map(json.loads, lines)))
