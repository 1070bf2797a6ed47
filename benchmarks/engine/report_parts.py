"""The report's sections on parts of the oven, each alone: what a job costs, budget, padding, writing, shelf …"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.engine.figures import Record, ratio, records, speed, table


def overhead() -> Iterator[str]:
    for record in records("overhead").values():
        yield "## What the system costs a job\n"
        yield (
            f"CPU microseconds a job with a backend that computes nothing; commit {record['commit']}, load at the "
            f"end {record['machine']['load']:.1f}. Waiting threads are told by their state, which is not exact: "
            "parts that wait may show.\n"
        )
        for section, words in (("bulk", f"a file of {record['rows']:,} rows"), ("callers", "64 callers at once")):
            one = record[section]
            rate = one.get("rows_per_second") or one.get("jobs_per_second")
            yield f"**{words}**: {one['cpu_us_a_job']} µs in all, {rate} jobs/s.\n"
            yield from table(
                ("process", "µs a job", "by thread", "largest parts (share of its samples)"),
                [_overhead_row(name, one, record[f"{section}_parts"]) for name in one["by_process"]],
            )


def _overhead_row(name: str, one: Record, parts: Record) -> list[Any]:
    threads = ", ".join(f"{thread} {used}" for thread, used in one["by_thread"].get(name, {}).items())
    largest = list(parts.get(name, {}).get("parts", {}).items())[:3]
    named = "<br>".join(f"{part}: {100 * share:.0f}%" for part, share in largest)
    return [name, one["by_process"][name], threads, named]


def budget() -> Iterator[str]:
    for record in records("budget").values():
        yield "## The budget that is found\n"
        yield f"The oven's own beside fixed ones: the same texts in turns, as ovens do; commit {record['commit']}.\n"
        head = (
            "backend", "found, tokens", "measured in, s", "texts/s", "best fixed, tokens", "texts/s",
            "found ÷ best fixed",
        )  # fmt: skip
        yield from table(head, [[name, *_budget_row(record[name])] for name in ("torch", "onnx")])


def _budget_row(one: Record) -> list[Any]:
    rates, best = one["texts_per_second"], one["best_fixed"]
    return [
        one["found_tokens"], one["rehearsal_seconds"], speed(rates["found"]), best, speed(rates[str(best)]),
        one["found_over_best_fixed"],
    ]  # fmt: skip


def int8() -> Iterator[str]:
    for record in records("int8").values():
        yield "## int8 beside float32\n"
        yield (
            f"{record['texts']} texts through MiniLM, and {record['tokens']} tokens of answers by SmolLM2: CPU time "
            f"of one thread, each way in turns with the others; commit {record['commit']}.\n"
        )
        head = ("MiniLM", "texts/s", "one text alone, ms", "MB", "mean, least cosine to float32")
        yield from table(head, [[name.replace("_", " "), *_encoded(one)] for name, one in record["minilm"].items()])
        head = ("SmolLM2", "a token of 1 text, ms", "a token of 8, ms", "MB", "texts as in float32")
        yield from table(head, [[name.replace("_", " "), *_written(one)] for name, one in record["smollm2"].items()])


def _encoded(one: Record) -> list[Any]:
    off = one["fidelity"]
    cosines = f"{off['cosine_mean']}, {off['cosine_min']} on {off['inputs']} texts" if off else ""
    return [speed(one["texts_per_second"]), speed(one["alone_milliseconds"]), one["megabytes"], cosines]


def _written(one: Record) -> list[Any]:
    off = one["fidelity"]
    same = f"{off['same_text']} of {off['texts']}" if off else ""
    return [*(speed(one[f"token_milliseconds_of_{rows}"]) for rows in (1, 8)), one["megabytes"], same]


def products() -> Iterator[str]:
    for record in records("products").values():
        yield "## Matrix products alone\n"
        yield (
            f"{record['texts']} texts through MiniLM, sorted, {record['padded_tokens']:,} padded tokens in all, and "
            f"nothing but the products of its linear layers: processor time of one thread, medians of "
            f"{record['rounds']}; commit {record['commit']}.\n"
        )
        taken, speeds = record["seconds"], record["gigaflops"]
        rows = [[name.replace("_", ", "), taken[name], speeds.get(name, "")] for name in taken]
        yield from table(("what", "seconds", "GFLOP/s"), rows)
        share, most = 100 * record["products_share_of_onnx"], record["most_onnx_to_torch"]
        yield (
            f"{share:.0f}% of ONNX Runtime's passes are products. It is {record['onnx_to_torch']:.2f} times as fast "
            f"as Fournil's torch here; if all but its products cost nothing, it would be {most:.2f} times as fast.\n"
        )


def packed() -> Iterator[str]:
    for record in records("packed").values():
        yield "## Padding left out\n"
        yield f"Passes of MiniLM on torch without and with the padding of a microbatch; commit {record['commit']}.\n"
        words = {"sorted": "a file, sorted", "waiting": "64 texts that wait"}
        rows = [
            [words[order], budget, f"{100 * one['padding']:.1f}%", ratio(one["packed_times_as_fast"])]
            for order, found in record["orders"].items()
            for budget, one in found.items()
        ]
        yield from table(("microbatches of", "budget, tokens", "padding", "times as fast"), rows)


def writing() -> Iterator[str]:
    for record in records("writing").values():
        yield "## Texts that are written\n"
        yield f"{record['answers']} chat answers of at most {record['tokens']} tokens by SmolLM2, tokens/s; "
        yield f"commit {record['commit']}.\n"
        ways = record["tokens_per_second"]
        yield from table([name.replace("_", " ") for name in ways], [[speed(way) for way in ways.values()]])


def shelf() -> Iterator[str]:
    for record in records("shelf").values():
        yield "## Twenty pipelines, room for four\n"
        room = record["room_for_any_four"]
        yield f"{room['requests']} Zipf requests, room {room['room_megabytes']} MB, medians of 20 shuffles; "
        yield f"commit {record['commit']}.\n"
        rules = {name: found for name, found in room.items() if isinstance(found, dict) and "reloads" in found}
        rows = [
            [name.replace("_", " "), round(found["reloads"]), round(found["reload_seconds"])]
            for name, found in rules.items()
        ]
        yield from table(("what goes first", "reloads", "seconds of reloads"), rows)


def shared() -> Iterator[str]:
    for record in records("shared_weights").values():
        yield "## Processes that share weights\n"
        yield f"MB of PSS that each process adds for MiniLM (87 MB of weights); commit {record['commit']}.\n"
        found = record["megabytes_added"]
        rows = [[name.replace("_", " "), *(one["pss"] for one in found[name].values())] for name in found]
        yield from table(
            (
                "backend",
                *(
                    count.replace("_", " ").replace("1 processes", "1 process")
                    for count in next(iter(found.values()))
                ),
            ),
            rows,
        )
