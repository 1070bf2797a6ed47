"""How numbers, times and sizes read on a page: registered as template filters."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import quote

from flask import Blueprint

_SIZES = ("B", "kB", "MB", "GB", "TB")


def duration(seconds: float | None) -> str:
    """`8 ms`, `3.2 s`, `2 min 5 s`, `3 h 10 min`."""
    if seconds is None:
        return "–"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def ago(moment: datetime | str | None) -> str:
    """How long ago, in one unit."""
    if moment is None:
        return "–"
    at = as_datetime(moment)
    passed = max(0.0, (datetime.now(UTC) - at).total_seconds())
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if passed >= size:
            return f"{int(passed // size)} {unit} ago"
    return f"{int(passed)} s ago" if passed >= 5 else "just now"


def as_datetime(moment: datetime | str) -> datetime:
    return datetime.fromisoformat(moment) if isinstance(moment, str) else moment


def moment(at: datetime | str | None) -> str:
    """A moment for a `title` attribute, to the second."""
    return "" if at is None else as_datetime(at).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def size(count: int | None) -> str:
    """Bytes in thousands, as file managers show them."""
    if count is None:
        return "–"
    value = float(count)
    for unit in _SIZES:
        if value < 999.5 or unit == _SIZES[-1]:
            return f"{value:.0f} {unit}" if value >= 99.5 or unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError("unreachable")


def count(number: int | float | None) -> str:
    return "–" if number is None else f"{number:,}"


def percent(share: float | None) -> str:
    """A score as people compare it: `98.3 %`; what is not quite nothing or all does not read as that."""
    if share is None:
        return "–"
    if 0 < share < 0.0005:
        return "< 0.1 %"
    if 0.9995 < share < 1:
        return "> 99.9 %"
    return f"{share * 100:.1f} %"


def commit(name: str) -> str:
    """A long hash by its beginning; a package with its version as it is."""
    return name[:12] if len(name) >= 40 and all(c in "0123456789abcdef" for c in name) else name


def short(text: str, length: int = 160) -> str:
    """The beginning of a text in one line."""
    # Not split(): that would also take the spaces that hold a number and its unit together.
    line = re.sub(r"[ \t\r\n\f\v]+", " ", text[: length * 2]).strip()
    return line if len(line) <= length and len(text) <= length * 2 else line[: length - 1].rstrip() + "…"


def media_source(kept: str) -> str:
    """Where a page finds the file that a form keeps: the bytes of an example, or a stored file."""
    return (
        kept
        if kept.startswith(("data:image/", "data:audio/", "data:video/"))
        else f"/api/v1/files/{quote(kept, safe='')}/content"
    )


def unbroken(function: Callable[..., str]) -> Callable[..., str]:
    """The same with spaces at which no line breaks: a number stays beside its unit."""
    return lambda *args: function(*args).replace(" ", "\N{NO-BREAK SPACE}")


def register(blueprint: Blueprint) -> None:
    for function in (duration, ago, size, percent):
        blueprint.add_app_template_filter(unbroken(function), f"f_{function.__name__}")
    for plain in (moment, count, commit, short, media_source):
        blueprint.add_app_template_filter(plain, f"f_{plain.__name__}")
