"""Charts of the figures, as SVG: bars of ratios against their budgets, and lines of cost against length."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from xml.sax.saxutils import escape

from bench.table import Row, Series, shown

WIDTH, LEFT, LINE = 900, 430, 26
GOOD, MISSED, MARK, TEXT, FAINT = "#2f7d4f", "#b3541e", "#1b1b1b", "#333333", "#c9c9c9"
COLOURS = ("#2f7d4f", "#1f5f99", "#b3541e", "#7a3e9d", "#8a7a00", "#c2185b", "#00838f")


def bars(rows: Sequence[Row], title: str) -> str:
    """Draw a bar for each ratio, with a mark at its budget. Longer is better."""
    asked = [row for row in rows if row.limit and row.budget is not None]
    parts = [_text(10, 24, title, size=16, weight="bold")]
    for number, row in enumerate(asked):
        y = 44 + number * LINE
        ratio, budget = statistics.median(row.ratios), row.budget or 1.0
        # draw each row in units of its budget, because the ratios differ a lot in size
        length = min(ratio / budget, 2.0)
        full = (WIDTH - LEFT - 120) / 2
        parts += [
            _text(LEFT - 10, y + 14, row.name, anchor="end"),
            f'<rect x="{LEFT}" y="{y}" width="{length * full:.1f}" height="18" fill="{GOOD if row.met else MISSED}"/>',
            f'<line x1="{LEFT + full:.1f}" y1="{y - 3}" x2="{LEFT + full:.1f}" y2="{y + 21}" stroke="{MARK}" stroke-width="2"/>',
            _text(LEFT + length * full + 6, y + 14, f"{ratio:.2f} × (asked: {budget:g} ×)"),
        ]
    return _svg(44 + len(asked) * LINE + 10, parts)


def lines(series: Sequence[Series], title: str) -> str:
    """Draw costs over the length of the log, each relative to its cost at 10,000 events. Flat is good."""
    drawn = [one for one in series if 10_000 in one.values and len(one.values) > 1 and one.unit != "bytes"]
    height, top, bottom, right = 420, 50, 380, WIDTH - 330
    sizes = sorted({size for one in drawn for size in one.values})
    low, high = math.log10(sizes[0]), math.log10(sizes[-1])

    def x(size: int) -> float:
        return 60 + (math.log10(size) - low) / (high - low) * (right - 60)

    def y(times: float) -> float:
        return bottom - (math.log2(min(max(times, 0.25), 4.0)) + 2) / 4 * (bottom - top)

    parts = [_text(10, 24, title, size=16, weight="bold")]
    for times in (0.25, 0.5, 1.0, 2.0, 4.0):
        parts += [
            _line(60, y(times), right, FAINT),
            _text(52, y(times) + 4, f"{times:g} ×", anchor="end"),
        ]
    parts += [_text(x(size), bottom + 20, f"{size:,}", anchor="middle") for size in sizes]
    parts.append(_text((60 + right) / 2, bottom + 38, "events in the log", anchor="middle"))
    for number, one in enumerate(drawn):
        here = statistics.median(one.values[10_000])
        found = {size: statistics.median(values) for size, values in one.values.items()}
        grown = {size: here / value if one.unit == "/s" else value / here for size, value in found.items()}
        points = " ".join(f"{x(size):.1f},{y(value):.1f}" for size, value in sorted(grown.items()))
        colour = COLOURS[number % len(COLOURS)]
        dash = ' stroke-dasharray="6 4"' if number >= len(COLOURS) else ""
        parts += [
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>',
            _line(right + 14, top + number * 24, right + 34, colour, f' stroke-width="3"{dash}'),
            _text(right + 40, top + 4 + number * 24, f"{one.name}: {shown(here, one.unit)}"),
        ]
    return _svg(height + 10, parts)


def _line(x: float, y: float, to: float, colour: str, more: str = "") -> str:
    return f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to:.1f}" y2="{y:.1f}" stroke="{colour}"{more}/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12, weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" fill="{TEXT}">'
        f"{escape(text)}</text>"
    )


def _svg(height: float, parts: Sequence[str]) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" height="{height:.0f}" '
        f'font-family="sans-serif">\n<rect width="100%" height="100%" fill="#ffffff"/>\n{body}\n</svg>\n'
    )
