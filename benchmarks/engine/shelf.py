"""Twenty pipelines, room for any four, Zipf requests: reloads by what a pipeline is worth, against LRU.

    python -m benchmarks.engine.shelf [--requests 2000] [--through-the-oven 200]

First every pipeline (random BERTs of 2 to 130 MB, half of them on ONNX Runtime) is loaded by a real shelf, to measure
its bytes and seconds. Then the rules decide over the same requests with those figures, for 20 shuffles of which
pipeline is asked for how often. Last, a part of the requests goes through a real oven, with a database and rows, in a
process of its own for each rule, whose memory is watched all the time.

LRU by count is what most people write: it keeps four whatever they weigh, and is safe only where the four largest
fit. That is the room here. The simulation also has a smaller one, four times the mean: there LRU by count holds more
than there is, and its worst moment is told.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT, save
from cli.stack.plan import WAITING
from worker.worth import Rule, Worth

PIPELINES, FITTING, SHUFFLES = 20, 4, 20
#: Exponent of Zipf's law.
SKEW = 1.0
_MB = 1 << 20


class LeastRecent:
    """LRU, as a rule of the shelf."""

    def __init__(self) -> None:
        self._order: dict[str, None] = {}

    def asked(self, name: str, *, size: int, seconds: float) -> None:  # noqa: ARG002 - when is all that counts
        self._order.pop(name, None)
        self._order[name] = None

    def surplus(self, held: Mapping[str, int], *, over: int) -> list[str]:
        chosen: list[str] = []
        for name in (name for name in self._order if name in held):
            if sum(held[one] for one in chosen) >= over:
                break
            chosen.append(name)
        return chosen


RULES: dict[str, type[Rule]] = {"worth": Worth, "lru_by_bytes": LeastRecent}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--through-the-oven", type=int, default=200)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        what, folder, request = options.child
        print(json.dumps({"measure": measure, "bake": bake}[what](Path(folder), json.loads(request))))
        return
    with tempfile.TemporaryDirectory(prefix="fournil-bench-") as folder:
        measured = in_a_process("measure", folder, None)
        sizes = sorted(one["size"] for one in measured.values())
        room, mean_room = sum(sizes[-FITTING:]), FITTING * sum(sizes) // PIPELINES
        names = requests(options.through_the_oven, seed=0)
        real = {rule: in_a_process("bake", folder, {"rule": rule, "names": names, "room": room}) for rule in RULES}
    by_count = Simulation(measured, room).lru_by_count(names)
    figures = {
        "pipelines": {
            "megabytes": sorted(round(one["size"] / _MB, 1) for one in measured.values()),
            "megabytes_while_loading": sorted(round(one["needs"] / _MB, 1) for one in measured.values()),
            "load_seconds": sorted(round(one["seconds"], 3) for one in measured.values()),
        },
        "room_for_any_four": simulated(measured, room, options.requests),
        "room_for_four_of_mean_size": simulated(measured, mean_room, options.requests),
        "through_the_oven": {"requests": len(names), **real, "lru_by_count_simulated": by_count},
    }  # fmt: skip
    save("engine-shelf", figures)


def requests(count: int, *, seed: int) -> list[str]:
    """Names of pipelines by Zipf's law; the seed decides which of them are asked for often."""
    chance = random.Random(seed)
    names = [f"p{number:02}" for number in range(PIPELINES)]
    chance.shuffle(names)
    return chance.choices(names, [1 / (rank + 1) ** SKEW for rank in range(PIPELINES)], k=count)


class Simulation:
    """A shelf's decisions with measured bytes and seconds, without the loads."""

    def __init__(self, measured: dict[str, dict[str, float]], room: int) -> None:
        self._measured = measured
        self._room = room

    def by_rule(self, rule: Rule, names: list[str]) -> dict[str, float]:
        return self._run(rule, names, self._over)

    def lru_by_count(self, names: list[str]) -> dict[str, float]:
        """One byte too many as soon as there are four."""
        return self._run(LeastRecent(), names, lambda held, _: int(len(held) >= FITTING))

    def _over(self, held: dict[str, int], name: str) -> int:
        return sum(held.values()) + int(self._measured[name]["needs"]) - self._room

    def _run(self, rule: Rule, names: list[str], over: Any) -> dict[str, float]:
        held: dict[str, int] = {}
        reloads, seconds, most = 0, 0.0, 0
        for name in names:
            one = self._measured[name]
            if name not in held:
                if (surplus := over(held, name)) > 0:
                    for gone in rule.surplus(held, over=surplus):
                        del held[gone]
                most = max(most, sum(held.values()) + int(one["needs"]))
                held[name] = int(one["size"])
                reloads, seconds = reloads + 1, seconds + one["seconds"]
            rule.asked(name, size=int(one["size"]), seconds=one["seconds"])
        return {"reloads": reloads, "reload_seconds": round(seconds, 1), "most_megabytes": round(most / _MB, 1)}


def simulated(measured: dict[str, dict[str, float]], room: int, count: int) -> dict[str, Any]:
    """Medians over the shuffles, and how many of them have fewer reloads than LRU by count."""
    runs: dict[str, list[dict[str, float]]] = {}
    for seed in range(SHUFFLES):
        names, simulation = requests(count, seed=seed), Simulation(measured, room)
        runs.setdefault("lru_by_count", []).append(simulation.lru_by_count(names))
        for rule, kind in RULES.items():
            runs.setdefault(rule, []).append(simulation.by_rule(kind(), names))
    told = {"room_megabytes": round(room / _MB, 1), "requests": count, "shuffles": SHUFFLES}
    medians: dict[str, Any] = told | {
        name: {key: statistics.median(run[key] for run in found) for key in found[0]} for name, found in runs.items()
    }
    for name in RULES:
        pairs = list(zip(runs[name], runs["lru_by_count"], strict=True))
        medians[name]["fewer_reloads_than_lru_by_count_in"] = sum(a["reloads"] < b["reloads"] for a, b in pairs)
        medians[name]["reloads_ratio"] = round(statistics.median(a["reloads"] / b["reloads"] for a, b in pairs), 3)
        ratios = [a["reload_seconds"] / b["reload_seconds"] for a, b in pairs]
        medians[name]["reload_seconds_ratio"] = round(statistics.median(ratios), 3)
    return medians


def in_a_process(what: str, folder: str, request: Any) -> Any:
    """A process of its own, so that its memory says something."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.engine.shelf", "--child", what, folder, json.dumps(request)],
        stdout=subprocess.PIPE, text=True, cwd=ROOT, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **WAITING},
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def measure(folder: Path, _: Any) -> dict[str, dict[str, float]]:
    """Bytes, bytes while loading, and seconds of each pipeline: of loads that export nothing."""
    from benchmarks.engine.bakery import measures_in, specs_in
    from worker.shelf import Place, Shelf

    found: dict[str, dict[str, float]] = {}
    measures = measures_in(folder)
    shelf = Shelf(Place("cpu", 2, folder / "cache", 1 << 40), lambda _: None, measures=measures)
    for spec in specs_in(folder):
        for _round in range(4):
            pipeline, _seconds = shelf.get(spec)
            commit = pipeline.identity.commit
            shelf.put_away(spec.name)
        known = measures.of(measures.key(spec, commit))
        assert known is not None
        found[spec.name] = {"size": known.sizes[-1], "needs": known.needs, "seconds": known.reload}
    return found


def bake(folder: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Requests through an oven, one by one; reloads, and the most memory this process rose by."""
    from benchmarks.engine.bakery import Bakery

    with Bakery(folder, RULES[request["rule"]](), request["room"]) as bakery:
        with Watch() as watch:
            for name in request["names"]:
                bakery.bake(name)
        return {
            **bakery.counts(),
            "most_megabytes_of_its_own": round(watch.own / _MB, 1),
            "most_megabytes_with_mapped_files": round(watch.most / _MB, 1),
            "room_megabytes": round(request["room"] / _MB, 1),
        }


class Watch:
    """The most this process rises in memory, looked at every two milliseconds."""

    def __init__(self) -> None:
        from worker.backends.footprint import anonymous, resident

        self._resident, self._anonymous = resident, anonymous
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.most = self.own = 0

    def __enter__(self) -> Watch:
        self._start, self._start_own = self._resident(), self._anonymous()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.is_set():
            self.most = max(self.most, self._resident() - self._start)
            self.own = max(self.own, self._anonymous() - self._start_own)
            time.sleep(0.002)


if __name__ == "__main__":
    main()
