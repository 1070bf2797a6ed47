"""What benchmarks.bulk and benchmarks.large kept as docs/bulk.md: `python -m benchmarks.files_report`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from benchmarks.engine.figures import DOCS, table
from benchmarks.harness import RESULTS

_HEAD = """# Files of a million rows and of gigabytes

Written by `python -m benchmarks.files_report` from benchmarks/results/bulk-*.json and large-*.json; do not edit. The
backend computes nothing: what is measured is all that Fournil does around it, on two cores, client and database on
the same machine.
"""
_LIVES = """## The life of a file

`python -m benchmarks.bulk`: uploaded over HTTP, checked as a whole, read while it is baked, polled twice a second,
downloaded in its format with every input column beside the result; every id is looked at. Seconds from the acceptance
on.
"""
_FORETOLD = """## What polls foretold

Polls from a tenth of the work on. `eta` against when the end came: off by so much of the time that was left then (up
to nine tenths of the work; the last seconds say nothing), and by so much of the whole time. Nothing is foretold while
reading and baking share the machine. A shared machine goes faster and slower by itself: fixed work is the processor
time of the same additions at each poll, and on an even machine is the same on a clock that runs as fast as they did.
"""
_STEPS = """## Each step beside the bare database

The pipeline is paused while the file is read, so that each step has the machine for itself. The bare database does
the same inserts, updates and reads through its driver on one connection, in the same tables with their indexes and
checks, and as many rows a transaction; it parses no file, makes no HTTP, plans no microbatch and counts nothing.
Reading is two passes over the file: nothing runs before all of it is known to be good. PostgreSQL's export is of the
time before a page of rows was read without parallel workers (docs/scale.md).
"""
_LARGE = """## A JSONL of gigabytes

`python -m benchmarks.large`: made as it is sent, rows of 10 kB, by each way of uploading. The first is read to its
end while it is baked, then canceled, and the ids of all its rows are downloaded; the others are canceled once 5,000
rows are over. Growth is the most of any moment over what a process had before the upload; the oven's is the rows of
its claims, and what it had in hand when the batch was canceled.
"""


def main() -> None:
    lives, large = _kept("bulk"), _kept("large")
    lines = [_HEAD, *_lives(lives), *_foretold(lives), *_steps(lives), *_large(large)]
    (DOCS / "bulk.md").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    print("wrote docs/bulk.md")


def _kept(kind: str) -> list[dict[str, Any]]:
    found = (json.loads(path.read_text()) for path in RESULTS.glob(f"{kind}-*.json"))
    return sorted(found, key=lambda record: (record["rows"], record["database"], _file(record)))


def _lives(records: list[dict[str, Any]]) -> Iterator[str]:
    yield _LIVES
    head = ("database", "file", "rows", "MB", "accepted after the last byte, s", "read, s", "all rows over, s",
            "rows/s", "downloaded, s", "in order", "a poll, p95 ms", "grew most, MB", "commit")  # fmt: skip
    rows = [
        (
            r["database"], _file(r), f"{r['rows']:,}", round(r["upload_bytes"] / 1e6),
            r["accepted_seconds_after_last_byte"], r["read_seconds"], r["all_rows_terminal_seconds"],
            f"{r['rows_per_second']:,}", r["download_seconds"],
            "yes" if r["rows_in_order"] else "no", r["poll_ms"]["p95"], _most(r["grew_mb"]), r["commit"],
        )
        for r in records
    ]  # fmt: skip
    yield from table(head, rows)


def _most(grew: dict[str, float]) -> str:
    role = max(grew, key=lambda name: grew[name])
    return f"{grew[role]:.0f} ({role})"


def _foretold(records: list[dict[str, Any]]) -> Iterator[str]:
    yield _FORETOLD
    head = ("database", "file", "rows", "polls", "with an eta", "off, of time left: median", "greatest", "within 15%",
            "off, of the whole: median", "greatest", "fixed work, ms", "within 15% on an even machine",
            "commit")  # fmt: skip
    rows = [
        (
            r["database"], _file(r), f"{r['rows']:,}", r["eta"]["polls_after_a_tenth"],
            _percent(r["eta"]["with_eta"]),
            *_ends(r["eta"]["off_of_time_left"]), _percent(r["eta"]["within_15_percent"]),
            *_ends(r["eta"]["off_of_whole_time"]), *_evenness(r), r["commit"],
        )
        for r in records if "eta" in r
    ]  # fmt: skip
    yield from table(head, rows)


def _ends(off: dict[str, float] | None) -> tuple[str, str]:
    return ("", "") if off is None else (_percent(off["p50"]), _percent(off["max"]))


def _evenness(record: dict[str, Any]) -> tuple[str, str]:
    if "fixed_work_ms" not in record:
        return "", ""
    work, evened = record["fixed_work_ms"], record["eta_on_an_even_machine"]
    return f"{work['p50']:.1f} ({work['min']:.1f}–{work['max']:.1f})", _percent(evened["within_15_percent"])


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}%"


def _steps(records: list[dict[str, Any]]) -> Iterator[str]:
    yield _STEPS
    rows = []
    for record in records:
        found: dict[str, Any] = record.get("steps_one_by_one", {})
        for name in found.get("fournil", ()):
            step = name.removesuffix("_rows_per_second").replace("_", " ")
            ours, bare, share = (found[kind][name] for kind in ("fournil", "bare_database", "fournil_of_bare"))
            head = (record["database"], _file(record), f"{found['rows']:,}", step)
            # Steps may be of another run than the life of the million rows.
            commit = found.get("commit", record["commit"])
            rows.append((*head, f"{ours:,}", f"{bare:,}", _percent(share), commit))
    yield from table(("database", "file", "rows", "step", "Fournil, rows/s", "bare, rows/s", "share", "commit"), rows)


def _file(record: dict[str, Any]) -> str:
    return str(record.get("file", "csv"))


def _large(records: list[dict[str, Any]]) -> Iterator[str]:
    yield _LARGE
    head = ("database", "GB", "by", "uploaded, MB/s", "accepted after the last byte, s", "checked, s", "read, s",
            "rows in order", "commit")  # fmt: skip
    rows = [
        (
            r["database"], f"{r['bytes'] / 1e9:g}", way, found["upload_mb_per_second"],
            found["accepted_seconds_after_last_byte"], found.get("check_seconds", ""), found.get("read_seconds", ""),
            f"{found['rows_in_order']:,}" if "rows_in_order" in found else "", r["commit"],
        )
        for r in records for way, found in r["by"].items()
    ]  # fmt: skip
    yield from table(head, rows)
    for record in records:
        for way, found in record["by"].items():
            yield f"Growth in MB, {record['bytes'] / 1e9:g} GB by {way}, {record['database']}:\n"
            roles = list(found["start_mb"])
            grown = [(part, *(round(grew.get(role, 0)) for role in roles)) for part, grew in found["grew_mb"].items()]
            yield from table(("", *roles), grown)


if __name__ == "__main__":
    main()
