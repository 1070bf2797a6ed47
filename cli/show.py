"""Answers of the API for people: tables on stdout. `--json` bypasses all of this."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from contract.jsons import dumps

_COLORS = {
    "succeeded": "green",
    "completed": "green",
    "active": "green",
    "running": "cyan",
    "validating": "cyan",
    "queued": "yellow",
    "paused": "yellow",
    "canceling": "yellow",
    "failed": "red",
    "broken": "red",
}
_LONGEST = 400


def console() -> Console:
    return Console(soft_wrap=False, highlight=False)


def job(value: dict[str, Any]) -> None:
    rows = _facts(value, ("id", "pipeline", "status", "position", "attempts", "batch_id", "row"))
    rows += [(f"{name} time", _seconds(value["timings"].get(name))) for name in ("queue", "load", "inference")]
    if value["error"]:
        rows.append(("error", Text(value["error"]["message"], style="red")))
    if value["result"] is not None:
        rows.append(("result", result(value["result"])))
    _print_facts(rows)


def batch(value: dict[str, Any]) -> None:
    rows = _facts(value, ("id", "pipeline", "status", "filename", "format"))
    rows.append(("rows", counts(value["counts"]) if value["status"] != "failed" else _refused(value)))
    rows.append(("progress", f"{value['progress']:.0%}"))
    if value["eta"] is not None:
        rows.append(("time left", _seconds(value["eta"])))
    rows += [("error", Text(_at_line(error), style="red")) for error in value["errors"][:10]]
    _print_facts(rows)


def report(value: dict[str, Any]) -> None:
    """What a dry run says of a file."""
    rows = _facts(value, ("pipeline", "format", "compression", "encoding"))
    if value["delimiter"] is not None:
        rows.append(("delimiter", {"\t": "tab", " ": "blank"}.get(value["delimiter"], value["delimiter"])))
    if value["sheets"]:
        rows.append(("sheet", f"{value['sheet'] or '-'} (of {', '.join(value['sheets'])})"))
    if value["skip_lines"]:
        rows.append(("lines above", f"{value['skip_lines']:,}"))
    rows.append(("columns", ", ".join(value["columns"]) or "-"))
    rows += [(f"input {name}", f"from {column}") for name, column in value["inputs"].items()]
    if value["error"] is None:
        rows.append(("rows", counts(value["counts"])))
    rows += [("would send", shortened(dumps(row["inputs"]), _LONGEST)) for row in value["rows"][:3]]
    wrong = [*filter(None, [value["error"]]), *value["errors"][:10]]
    rows += [("error", Text(_at_line(error), style="red")) for error in wrong]
    _print_facts(rows)


def counts(value: dict[str, Any]) -> str:
    """`200 in all: 180 succeeded, 20 failed`; states that nothing is in are left out."""
    total = "not counted yet" if value["total"] is None else f"{value['total']:,} in all"
    states = [f"{number:,} {state}" for state, number in value.items() if state != "total" and number]
    return f"{total}: {', '.join(states)}" if states else total


def _refused(value: dict[str, Any]) -> str:
    """Nothing of a refused file is in any state; what was read of it is told."""
    return f"{value['rows_read']:,} read: {value['counts']['invalid']:,} invalid, none ran"


def pipelines(values: list[dict[str, Any]]) -> None:
    table = Table("name", "task", "model", "state", "device", "queued", "running")
    for value in values:
        numbers = (f"{value['queued']:,}", f"{value['running']:,}")
        named = (value["name"], value["task"], value["model"] or "")
        table.add_row(*named, _status(value["state"]), str(value["device"] or ""), *numbers)
    console().print(table)


def pipeline(value: dict[str, Any]) -> None:
    rows = _facts(value, ("name", "description", "task", "model", "commit", "state", "device", "backend", "dtype"))
    rows += [(f"input {name}", _rule(rule)) for name, rule in value["input_schema"]["properties"].items()]
    rows += [(f"parameter {name}", _rule(rule)) for name, rule in value["parameters_schema"]["properties"].items()]
    _print_facts(rows)


def result(value: Any) -> str:
    """Labels one a line; texts as they are; anything else as JSON, cut."""
    if isinstance(value, list) and value and all(isinstance(one, dict) and "score" in one for one in value):
        return "\n".join(f"{one['score']:.4f}  {_name_of(one)}" for one in value[:10])
    if isinstance(value, dict) and "generated_text" in value:
        return str(value["generated_text"])
    if isinstance(value, dict) and isinstance(value.get("message"), dict):
        return str(value["message"].get("content"))
    return shortened(dumps(value), _LONGEST)


def shortened(text: str, longest: int) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= longest else flat[: longest - 1] + "…"


def _name_of(one: dict[str, Any]) -> str:
    names = ("label", "entity_group", "entity", "token_str", "word")
    return ", ".join(str(one[name]) for name in names if name in one) or dumps(one)


def _facts(value: dict[str, Any], names: tuple[str, ...]) -> list[tuple[str, Any]]:
    return [
        (name.replace("_", " "), _status(value[name]) if name in ("status", "state") else str(value[name]))
        for name in names
        if value.get(name) not in (None, "")
    ]


def _print_facts(rows: list[tuple[str, Any]]) -> None:
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, fact in rows:
        # Text: what a caller sent must not be read as markup.
        table.add_row(name, fact if isinstance(fact, Text) else Text(str(fact)))
    console().print(table)


def _status(word: str) -> Text:
    return Text(word, style=_COLORS.get(word, ""))


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


def _at_line(error: dict[str, Any]) -> str:
    return f"line {error['line']}: {error['message']}" if error.get("line") else str(error["message"])


def _rule(rule: dict[str, Any]) -> str:
    kinds = rule.get("type", "any")
    words = [" or ".join(kinds) if isinstance(kinds, list) else str(kinds)]
    if "enum" in rule:
        words = [" | ".join(map(str, rule["enum"]))]
    if "default" in rule:
        words.append(f"[{dumps(rule['default'])}]")
    return " ".join([*words, rule.get("description", "")]).strip()
