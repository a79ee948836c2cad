"""The figures and how they are shown: rows of a value against its limit, and series of a cost over sizes."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, NamedTuple

Unit = Literal["/s", "ms", "µs", "MiB", "bytes"]

HEADER = "| what | goes_lite | limit | ratio: median (min–max) | budget | |\n|---|---|---|---|---|---|"


class Row(NamedTuple):
    """One value of goes_lite and one of its limit for each repeat, and the required share of the limit.

    Rates (`/s`) should be high, everything else low; a ratio above the budget is good either way. Without a limit there is
    nothing to compare with.
    """

    name: str
    unit: Unit
    ours: list[float]
    limit: list[float]
    budget: float | None = None
    note: str = ""
    """Why there is nothing to compare with."""

    @property
    def ratios(self) -> list[float]:
        pairs = zip(self.ours, self.limit, strict=True) if self.limit else ()
        return [a / b if self.unit == "/s" else b / a for a, b in pairs]

    @property
    def met(self) -> bool:
        return self.budget is None or not self.limit or statistics.median(self.ratios) >= self.budget

    def __str__(self) -> str:
        ours = shown(statistics.median(self.ours), self.unit)
        if not self.limit:
            return f"| {self.name} | {ours} | {self.note} | | | |"
        ratios = self.ratios
        verdict = "" if self.budget is None else "met" if self.met else "**missed**"
        return (
            f"| {self.name} | {ours} | {shown(statistics.median(self.limit), self.unit)} | "
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f}) | "
            f"{'' if self.budget is None else f'{self.budget:g}'} | {verdict} |"
        )


class Series(NamedTuple):
    """A cost at several lengths of the log, for each length the values of all repeats."""

    name: str
    unit: Unit
    values: dict[int, list[float]]
    budget: float | None = None
    """The allowed factor from the cost at 10,000 events to that at the longest log."""

    @property
    def growth(self) -> float | None:
        """The factor from the cost at 10,000 events to that at the longest log."""
        longest = max(self.values)
        if 10_000 not in self.values or longest == 10_000:
            return None
        here, there = statistics.median(self.values[10_000]), statistics.median(self.values[longest])
        return here / there if self.unit == "/s" else there / here

    @property
    def met(self) -> bool:
        return self.budget is None or self.growth is None or self.growth <= self.budget

    def __str__(self) -> str:
        cells = " | ".join(shown(statistics.median(found), self.unit) for found in self.values.values())
        growth = "" if self.growth is None else f"{self.growth:.2f} ×"
        verdict = "" if self.budget is None else "met" if self.met else "**missed**"
        return (
            f"| {self.name} | {cells} | {growth} | {'' if self.budget is None else f'{self.budget:g} ×'} | {verdict} |"
        )


def shown(value: float, unit: Unit) -> str:
    """Format a value, with three digits: such figures are not more precise than that."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f}{unit if unit == '/s' else f' {unit}'}"


def series_header(sizes: Iterable[int]) -> str:
    """Return the head of a table of series."""
    heads = " | ".join(f"{size:,} events" for size in sizes)
    return f"| what | {heads} | growth from 10,000 | budget | |\n|{'---|' * (heads.count('|') + 5)}"


def machine() -> str:
    """Describe the machine and the versions in one line."""
    found: list[str] = []
    for name in ("apsw", "msgspec"):
        if name not in sys.modules or bool(sys.modules[name]):  # None there: this run works without it
            try:
                found.append(f"{name} {metadata.version(name)}")
            except metadata.PackageNotFoundError:
                continue
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return (
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}, {python}, "
        f"{', '.join(found) or 'the standard library alone'}"
    )


def save(path: Path, title: str, rows: Iterable[Row | Series]) -> None:
    """Write the figures of every repeat."""
    made: list[dict[str, Any]] = [{"kind": type(row).__name__, **row._asdict()} for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps({"title": title, "machine": machine(), "rows": made}, indent=1, ensure_ascii=False) + "\n"
    )


def load(path: Path) -> tuple[str, str, list[Row | Series]]:
    """Read the title, the machine and the figures."""
    found: dict[str, Any] = json.loads(path.read_text())
    rows: list[Row | Series] = []
    for made in found["rows"]:
        if made.pop("kind") == "Series":
            made["values"] = {int(size): values for size, values in made["values"].items()}
            rows.append(Series(**made))
        else:
            rows.append(Row(**made))
    return found["title"], found["machine"], rows


def compare(rows: Iterable[Row | Series], path: Path) -> list[str]:
    """Compare the figures with those in the file, and return the changes as lines."""
    before = {row.name: row for row in load(path)[2]}
    lines: list[str] = []
    for row in rows:
        old = before.get(row.name)
        if isinstance(row, Row) and isinstance(old, Row):
            new_value, old_value = statistics.median(row.ours), statistics.median(old.ours)
            change = new_value / old_value if row.unit == "/s" else old_value / new_value
            ratio = ""
            if row.limit and old.limit:
                ratio = f", ratio {statistics.median(old.ratios):.2f} → {statistics.median(row.ratios):.2f}"
            lines.append(
                f"{row.name}: {shown(old_value, row.unit)} → {shown(new_value, row.unit)} ({change:.2f} ×){ratio}"
            )
    return lines
