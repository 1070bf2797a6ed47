"""benchmarks/results/scale-postgres-*.json as docs/scale.md: `python -m benchmarks.scale.report`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from benchmarks.engine.figures import DOCS, table
from benchmarks.harness import RESULTS

_HEAD = """# PostgreSQL at scale

Written by `python -m benchmarks.scale.report` from benchmarks/results/scale-postgres-*.json; do not edit. Rows are
put in by `python -m benchmarks.scale --rows N`: nine in ten of them in ten batches that are over, the rest in one
that waits and in jobs of forms. Then each look is taken fifteen times by the functions of the product on one
connection, nothing committed: the median, and in parentheses the first time, which reads from the disk.
What stays the same from one size to the next is flat.
"""


_STREAMED = """What fell from half a million to ten million rows was no cold cache: with 4 GB of shared_buffers it was
the same. From some size on PostgreSQL started two parallel workers for a page of 1,000 rows (Gather Merge): 8 ms to
start them, for 3 ms of reading. Connections now set max_parallel_workers_per_gather to 0 (models/database.py): of
four million rows a batch came at 137,000 rows/s, before at 78,000. The figures here are of the time before.
"""

#: Statements of one look that are shown; a page of jobs asks the same for each of them.
_PLANS = 4


def main() -> None:
    records = sorted((json.loads(path.read_text()) for path in RESULTS.glob("scale-postgres-*.json")), key=_size)
    lines = [_HEAD, *_about(records), *_figures(records), *_stream(records), *_plans(records[-1])]
    (DOCS / "scale.md").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    print("wrote docs/scale.md")


def _size(record: dict[str, Any]) -> int:
    return int(record["rows"])


def _about(records: list[dict[str, Any]]) -> Iterator[str]:
    head = ("rows", "in line", "database, MB", "filled in, s", "PostgreSQL", "shared_buffers", "cores", "commit")
    names = ("database_mb", "filled_seconds", "postgresql", "shared_buffers")
    rows = [
        (f"{r['rows']:,}", f"{r['waiting_rows']:,}", *(r[n] for n in names), r["machine"]["cores"], r["commit"])
        for r in records
    ]
    yield from table(head, rows)


def _figures(records: list[dict[str, Any]]) -> Iterator[str]:
    yield "## What a look takes, in ms\n"
    head = ("look", *(f"{record['rows']:,} rows" for record in records))
    names = records[-1]["milliseconds"]
    yield from table(
        head, [(name, *(_cell(record["milliseconds"].get(name)) for record in records)) for name in names]
    )


def _cell(took: dict[str, float] | None) -> str:
    return "" if took is None else f"{took['p50']:.2f} ({took['first']:.1f})"


def _stream(records: list[dict[str, Any]]) -> Iterator[str]:
    yield "## Results of a batch, rows/s out of the table\n"
    yield _STREAMED
    parts = records[-1]["results_rows_per_second"]
    head = ("rows", "of a batch", *parts)
    rows = [
        (f"{r['rows']:,}", f"{r['rows_of_a_batch']:,}", *(f"{r['results_rows_per_second'][p]:,}" for p in parts))
        for r in records
    ]
    yield from table(head, rows)


def _plans(record: dict[str, Any]) -> Iterator[str]:
    yield f"## What PostgreSQL does, at {record['rows']:,} rows\n"
    for name, plans in record["plans"].items():
        yield f"<details><summary>{name}</summary>\n"
        for plan in plans[:_PLANS]:
            yield f"```\n{plan}\n```\n"
        if len(plans) > _PLANS:
            yield f"And {len(plans) - _PLANS} more like the last.\n"
        yield "</details>\n"


if __name__ == "__main__":
    main()
