"""Six tasks: Fournil's own batches beside every fixed batch size of `pipeline()`, on skewed and on sorted lengths.

    python -m benchmarks.engine tasks [--task fill-mask] [--rounds 5] [--rows N]

For each task and order, one sweep of batch sizes; then rounds in which the best of them, one by one, and Fournil (as
it comes, and on torch) take the same rows in turn; one by one only in the sweep where that takes over a minute.
Fournil means a loaded pipeline, its measured budget, the planner and the decks: no queue and no database, which the
section `bulk` measures. Library and Fournil have a process each.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.engine.workloads import WORKLOADS
from benchmarks.harness import ROOT, save, spread
from cli.stack.plan import WAITING

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
ORDERS = ("skewed", "sorted")
#: Where one by one takes longer, once is enough.
_LONG_SECONDS = 60.0


class Side:
    """One process that takes the rows of a task, and says how long it took."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def seconds(self, **how: Any) -> float:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(how), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("a side died; see its messages above")
        return float(json.loads(line))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=WORKLOADS, action="append", help="all, if none is named")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, help="fewer or more than the task's own number")
    given = parser.parse_args()
    for task in given.task or WORKLOADS:
        run(task, given)


def run(task: str, given: argparse.Namespace) -> None:
    rows = given.rows or WORKLOADS[task].rows
    with tempfile.TemporaryDirectory(prefix="fournil-tasks-") as folder:
        checkpoint = WORKLOADS[task].checkpoint(Path(folder))
        with side("library", task, checkpoint, rows) as library, side("fournil", task, checkpoint, rows) as fournil:
            found = {order: measure(library, fournil, order, rows, given.rounds) for order in ORDERS}
    save(f"engine-tasks-{task}", {"task": task, "rows": rows, "orders": found})


def measure(library: Side, fournil: Side, order: str, rows: int, rounds: int) -> dict[str, Any]:
    sizes = [size for size in SIZES if size < 2 * rows]
    swept = {size: rows / library.seconds(order=order, batch_size=size) for size in sizes}
    best = max(swept, key=lambda size: swept[size])
    long = rows / swept[1] > _LONG_SECONDS
    found: dict[str, list[float]] = {"best_fixed": [], "one_by_one": [], "fournil": [], "fournil_torch": []}
    for _ in range(rounds):
        found["best_fixed"].append(rows / library.seconds(order=order, batch_size=best))
        found["fournil"].append(rows / fournil.seconds(order=order, backend="auto"))
        found["one_by_one"].append(swept[1] if long else rows / library.seconds(order=order, batch_size=1))
        found["fournil_torch"].append(rows / fournil.seconds(order=order, backend="torch"))
    return {
        "sweep_rows_per_second": {str(size): round(speed, 2) for size, speed in swept.items()},
        "best_fixed_size": best,
        "rows_per_second": {name: spread(speeds) for name, speeds in found.items()},
        "ratio_to_best_fixed": _ratio(found, "fournil", "best_fixed"),
        "ratio_to_one_by_one": _ratio(found, "fournil", "one_by_one"),
        "torch_ratio_to_best_fixed": _ratio(found, "fournil_torch", "best_fixed"),
    }


def _ratio(found: dict[str, list[float]], mine: str, other: str) -> dict[str, float]:
    return spread([one / two for one, two in zip(found[mine], found[other], strict=True)])


@contextlib.contextmanager
def side(name: str, task: str, checkpoint: str, rows: int) -> Iterator[Side]:
    # As `fournil up` has it for its ovens; the library gets what its users have.
    env = {**os.environ, **WAITING} if name == "fournil" else dict(os.environ)
    words = [sys.executable, "-m", "benchmarks.engine.sides", name, task, checkpoint, str(rows)]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=env
    ) as process:
        yield Side(process)
        assert process.stdin is not None
        process.stdin.close()


if __name__ == "__main__":
    main()
