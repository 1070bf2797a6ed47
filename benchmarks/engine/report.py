"""benchmarks/results/engine-*.json as docs/benchmarks.md with drawings: `python -m benchmarks.engine.report`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.engine.bars import Bar, Group, draw
from benchmarks.engine.figures import DOCS, Record, ratio, records, speed, table
from benchmarks.engine.report_parts import budget, int8, overhead, packed, products, shared, shelf, writing
from benchmarks.harness import RESULTS

_HEAD = """# Benchmarks of the oven

Written by `python -m benchmarks.engine.report` from the JSON files in `benchmarks/results`; do not edit. Each has the
commit and the machine. Everything that is compared ran in turns in one run; a ratio is the median of the rounds'
ratios, with the least and the greatest. Numbers of different rows come from different runs: compare ratios.

    python -m benchmarks.engine            # all of it; name a section for one: bulk, callers, tasks …
"""

#: When sentences came among the texts (c5ff4fc).
_SENTENCES_SINCE = "2026-11-25T17:17"


def main() -> None:
    systems = (_machine, bulk, backends, callers, one_caller, tasks)
    parts = (overhead, budget, int8, products, packed, writing, shelf, shared)
    sections = [_HEAD, *(line for part in (*systems, *parts) for line in part())]
    (DOCS / "benchmarks.md").write_text("\n".join(sections).rstrip() + "\n", encoding="utf-8")
    print("wrote docs/benchmarks.md")


def _machine() -> Iterator[str]:
    for record in list(records("").values())[:1]:
        machine = record["machine"]
        yield f"Machine: {machine['cores']} cores ({machine['cpu']}), Python {machine['python']}.\n"


def bulk() -> Iterator[str]:
    found = {name: record for name, record in records("bulk").items() if record["rounds"]}
    if not found:
        return
    yield "## A file of texts\n"
    yield (
        "Upload, queue, oven, database and results over HTTP, against the best loop that a person would write by "
        "hand for the same backend (sorted by length, one call of the tokenizer; budget, threads and passes side by "
        "side swept first), and against `pipeline(batch_size=32)` on torch as users write it. Texts: docstrings and "
        "vaderSentiment's sentences, median 24 tokens, cut at 256. "
        f"{_older([name for name, record in found.items() if record['measured_at'] < _SENTENCES_SINCE])}\n"
    )
    head = (
        "case", "rows", "loop, rows/s", "Fournil, rows/s", "ratio", "ratio without download", "× pipeline(32)",
        "padding", "rounds", "loop's setting", "commit",
    )  # fmt: skip
    yield from table(head, [_bulk_row(name, record) for name, record in found.items()])
    groups = [
        Group(
            name,
            [
                Bar("Fournil, whole system", record["fournil_rows_per_second"]["p50"]),
                Bar("best loop by hand", record["loop_rows_per_second"]["p50"]),
                Bar("pipeline(batch_size=32)", record["pipeline_b32"]),
            ],
        )
        for name, record in found.items()
    ]
    yield picture("bulk", "A file of texts: rows a second", "", groups)


def _older(names: list[str]) -> str:
    return f"Of {', '.join(names)}: docstrings alone, median 19." if names else ""


def _bulk_row(name: str, record: Record) -> list[Any]:
    how = record["loop_setting"]
    setting = f"{how['budget']} tokens, {how['threads']} threads × {how['side_by_side']}"
    return [
        name, record["rows"], round(record["loop_rows_per_second"]["p50"], 1),
        round(record["fournil_rows_per_second"]["p50"], 1), ratio(record["ratio_to_loop"]),
        ratio(record["ratio_to_loop_before_download"]), record["ratio_to_pipeline_b32"],
        f"{100 * record['padding_waste']:.1f}%", len(record["rounds"]), setting, record["commit"],
    ]  # fmt: skip


def backends() -> Iterator[str]:
    found = records("backends")
    if not found:
        return
    yield "## One file on torch, ONNX Runtime and int8\n"
    yield (
        "Whole systems in turns in one run of one stack, and the best loop by hand on torch as its package comes "
        "(plain torch). How far vectors are off is told against Fournil's on torch.\n"
    )
    head = (
        "model",
        "rows",
        "backend",
        "rows/s",
        "÷ Fournil on torch",
        "÷ plain torch",
        "mean, least cosine",
        "commit",
    )
    yield from table(head, [row for record in found.values() for row in _backend_rows(record)])


def _backend_rows(record: Record) -> Iterator[list[Any]]:
    for kind, rates in record["rows_per_second"].items():
        beside, plain = record["ratio_to_torch"].get(kind), record["ratio_to_plain_torch"].get(kind)
        off = record["off"].get(kind)
        yield [
            record["model"], record["rows"], "plain torch" if kind == "loop" else kind, speed(rates),
            ratio(beside) if beside else "", ratio(plain) if plain else "",
            f"{off['mean_cosine']:.4f}, {off['least_cosine']:.4f}" if off else "", record["commit"],
        ]  # fmt: skip


def callers() -> Iterator[str]:
    found = records("callers")
    worked = {name: record for name, record in found.items() if "servers" in record}
    if not found:
        return
    yield "## Callers at once\n"
    yield (
        "64 callers over HTTP, each waiting for the vector of one text (MiniLM). Every job of Fournil is committed "
        "before it is accepted, and its result is kept; the peers keep nothing. Each peer at the best of the "
        "settings tried, with the same torch; one client for all. Ratios are of one run.\n"
    )
    head = ("server", "setting", "calls/s", "p50 ms", "p95 ms", "one caller p50 ms", "CPU ms a call", "Fournil ÷ it")
    yield from table(head, [row for name, record in worked.items() for row in _callers_rows(name, record)])
    for name, record in found.items():
        if "failed" in record:
            yield f"- {name} did not run: {record['failed'].strip().splitlines()[0]}"
    yield ""
    yield "CPU of a call of Fournil (backend auto) by process, ms; a process that shows less than 0.01 is left out.\n"
    yield from table(
        ("beside", *_PROCESSES), [_cpu_row(name, record["servers"]["fournil"]) for name, record in worked.items()]
    )
    groups = [
        Group(name, [Bar(_label(server, name), one["calls_per_second"]["p50"]) for server, one in servers(record)])
        for name, record in worked.items()
    ]
    if groups:
        yield picture("callers", "64 callers: answers a second, in the same run as each peer", "", groups)


def one_caller() -> Iterator[str]:
    path = RESULTS / "latency.json"
    if not path.exists():
        return
    record = json.loads(path.read_text())
    yield "## One caller, and the bare call\n"
    yield (
        "One short text through `sentiment` over HTTP, committed before it is accepted, and the bare `pipeline()` "
        f"call of the library in turns, {record['http_ms']['n']} each; commit {record['commit']}.\n"
    )
    ways = {"http_ms": "Fournil", "pipeline_ms": "`pipeline()`", "fake_pipeline_http_ms": "Fournil, nothing computed"}
    rows = [[words, *(round(record[way][of], 1) for of in ("p50", "p95", "min"))] for way, words in ways.items()]
    yield from table(("way", "p50 ms", "p95 ms", "least ms"), rows)
    yield f"Fournil adds {record['added_p50_ms']} ms to the median; of its own, {_of_which(record['of_which'])}.\n"


def _of_which(found: Record) -> str:
    parts = {"queue_p50_ms": "in line", "inference_p50_ms": "in the forward pass"}
    return " and ".join(f"{found[name]} ms {words}" for name, words in parts.items())


def servers(record: Record) -> list[tuple[str, Record]]:
    return sorted(record["servers"].items(), key=lambda item: _ORDER.get(item[0], 2))


_ORDER = {"fournil": 0, "fournil-torch": 1}


def _label(server: str, peer: str) -> str:
    return "the peer" if server == peer else {"fournil": "Fournil", "fournil-torch": "Fournil on torch"}[server]


_PROCESSES = ("web", "oven", "broker", "upkeep", "scheduler")


def _cpu_row(peer: str, one: Record) -> list[Any]:
    used = one["cpu_ms_a_call"]
    return [peer, *(f"{used[name]:.2f}" if used.get(name, 0.0) >= 0.01 else "" for name in _PROCESSES)]


def _callers_rows(peer: str, record: Record) -> Iterator[list[Any]]:
    for server, one in servers(record):
        mine = record["ratio_to_peer"].get(server)
        setting = ", ".join(f"{name} {value}" for name, value in record["setting"].items())
        run = f"(of {len(record['sweep'])} tried; {record['rounds']} rounds, {record['commit']})"
        setting = f"{setting} {run}" if server == peer else ""
        yield [
            f"**{server}**" if server == peer else server, setting, speed(one["calls_per_second"]),
            round(one["p50_ms"]), round(one["p95_ms"]), one["one_caller_p50_ms"], one["cpu_ms_a_call"]["all"],
            ratio(mine) if mine else "",
        ]  # fmt: skip


def tasks() -> Iterator[str]:
    found = records("tasks")
    if not found:
        return
    yield "## Six tasks\n"
    yield (
        "Fournil's default (nothing set) against the best of nine fixed batch sizes of the library's "
        "`pipeline()`, and against one by one, on the same rows as they come (skewed) and sorted by length.\n"
    )
    head = (
        "task", "order", "rows", "best size", "best fixed, rows/s", "Fournil, rows/s", "ratio", "÷ one by one",
        "ratio on torch", "commit",
    )  # fmt: skip
    yield from table(head, [row for name, record in found.items() for row in _task_rows(name, record)])
    groups = [
        Group(
            f"{name}"[:26],
            [
                Bar("Fournil", record["orders"]["skewed"]["ratio_to_best_fixed"]["p50"]),
                Bar("Fournil on torch", record["orders"]["skewed"]["torch_ratio_to_best_fixed"]["p50"]),
            ],
        )
        for name, record in found.items()
    ]
    title = "Skewed lengths: times as fast as the best fixed batch size of pipeline()"
    yield picture("tasks", title, "×", groups, line=1.0)


def _task_rows(name: str, record: Record) -> Iterator[list[Any]]:
    for order, one in record["orders"].items():
        speeds = one["rows_per_second"]
        yield [
            name, order, record["rows"], one["best_fixed_size"], round(speeds["best_fixed"]["p50"], 1),
            round(speeds["fournil"]["p50"], 1), ratio(one["ratio_to_best_fixed"]),
            ratio(one["ratio_to_one_by_one"]), ratio(one["torch_ratio_to_best_fixed"]), record["commit"],
        ]  # fmt: skip


def picture(name: str, title: str, unit: str, groups: Sequence[Group], *, line: float | None = None) -> str:
    path = DOCS / "images" / f"benchmark-{name}.svg"
    path.write_text(draw(title, unit, groups, line=line), encoding="utf-8")
    return f"![{title}](images/{path.name})\n"


if __name__ == "__main__":
    main()
