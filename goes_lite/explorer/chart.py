"""A chart of numbers by day, as SVG: bars that a screen reader finds as a table next to it."""

from __future__ import annotations

from collections.abc import Sequence

from goes_lite.explorer.html import Html, tag

HEIGHT = 96
LABELS = 16


def bars(label: str, numbers: Sequence[tuple[str, int]]) -> Html:
    """Return a bar for each pair of a name and a number; a bar tells both when it is pointed at."""
    most = max((number for _, number in numbers), default=0)
    step = 960 / max(len(numbers), 1)
    drawn = [
        tag(
            "g",
            tag("title", f"{name}: {number:,}"),
            tag("rect", x=f"{n * step:.1f}", y="0", width=f"{step:.1f}", height=f"{HEIGHT}", class_="hit"),
            tag(
                "rect", x=f"{n * step + step * 0.1:.1f}", y=f"{HEIGHT - _height(number, most):.1f}",
                width=f"{step * 0.8:.1f}", height=f"{_height(number, most):.1f}", rx="1.5",
            ),
        )
        for n, (name, number) in enumerate(numbers)
    ]  # fmt: skip
    ends = [] if not numbers else [(0, "start", numbers[0][0]), (960, "end", numbers[-1][0])]
    texts = [tag("text", text, x=x, y=HEIGHT + LABELS - 2, text_anchor=anchor) for x, anchor, text in ends]
    line = tag("line", x1="0", x2="960", y1=HEIGHT, y2=HEIGHT)
    shown = tag(
        "svg", drawn, line, texts, viewBox=f"0 0 960 {HEIGHT + LABELS}", role="img", aria_label=label,
    )  # fmt: skip
    return tag("figure", shown, tag("figcaption", label), class_="chart")


def share(number: int, of: int) -> Html:
    """Return a bar for one line of a table: a number as a part of another."""
    wide = 100 * number / of if of else 0
    bar = tag("rect", x="0", y="0", width=f"{max(wide, 0.5):.1f}", height="8", rx="2")
    return tag("svg", bar, viewBox="0 0 100 8", preserveAspectRatio="none", class_="share", aria_hidden="true")


def _height(number: int, most: int) -> float:
    return 0.0 if not number else max(2.0, (HEIGHT - 4) * number / most)
