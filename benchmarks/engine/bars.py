"""Horizontal bars as SVG: groups of named values, in light and dark."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from html import escape

_WIDTH, _LABELS, _VALUES, _BAR, _GAP = 760, 190, 120, 16, 14
_COLORS = ("#c2410c", "#f59e0b", "#64748b", "#94a3b8", "#0f766e")
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1f2937}.title{font-weight:600;font-size:15px}.quiet{fill:#6b7280}"
    "@media(prefers-color-scheme:dark){text{fill:#e5e7eb}.quiet{fill:#9ca3af}}"
)


@dataclasses.dataclass(frozen=True)
class Bar:
    #: Which of the legend's names it belongs to.
    series: str
    value: float


@dataclasses.dataclass(frozen=True)
class Group:
    label: str
    bars: Sequence[Bar]


def draw(title: str, unit: str, groups: Sequence[Group], *, line: float | None = None) -> str:
    """An SVG. `line` marks a value that bars are to reach."""
    series = list(dict.fromkeys(bar.series for group in groups for bar in group.bars))
    colors = {name: _COLORS[place % len(_COLORS)] for place, name in enumerate(series)}
    most = max([bar.value for group in groups for bar in group.bars] + [line or 0.0])
    scale = (_WIDTH - _LABELS - _VALUES) / most
    parts, y = [_text(10, 22, title, "title"), *_legend(series, colors)], 62
    top = y
    for group in groups:
        middle = y + len(group.bars) * _BAR / 2 + 4
        parts.append(_text(_LABELS - 10, middle, group.label, "", "end"))
        for bar in group.bars:
            parts += _bar(bar, y, scale, colors[bar.series], unit)
            y += _BAR
        y += _GAP
    if line is not None:
        x = _LABELS + line * scale
        parts.append(f'<path d="M{x:.1f} {top - 6}V{y - 6}" stroke="#6b7280" stroke-dasharray="4 3"/>')
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y}" width="{_WIDTH}" height="{y}" '
        f'role="img" aria-label="{escape(title)}">\n<style>{_STYLE}</style>\n{body}\n</svg>\n'
    )


def _bar(bar: Bar, y: float, scale: float, color: str, unit: str) -> list[str]:
    width = max(1.0, bar.value * scale)
    return [
        f'<rect x="{_LABELS}" y="{y}" width="{width:.1f}" height="{_BAR - 2}" rx="2" fill="{color}"/>',
        _text(_LABELS + width + 6, y + 12, f"{_short(bar.value)} {unit}".strip(), "quiet"),
    ]


def _legend(series: Sequence[str], colors: dict[str, str]) -> list[str]:
    parts, x = [], 10.0
    for name in series:
        parts.append(f'<rect x="{x:.0f}" y="33" width="12" height="12" rx="2" fill="{colors[name]}"/>')
        parts.append(_text(x + 18, 44, name, "quiet"))
        x += 40 + 7.2 * len(name)
    return parts


def _text(x: float, y: float, words: str, kind: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
