"""`goes-lite stats`: how many events there are, of what, and when."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from goes_lite.cli.command import Command, store_argument
from goes_lite.cli.opening import opened, run_on
from goes_lite.cli.output import Output
from goes_lite.cli.selecting import query_arguments, query_of
from goes_lite.cli.terminal import BOLD, CYAN, DIM, PLAIN, Terminal, counted
from goes_lite.operations.forms import iso, size

if TYPE_CHECKING:
    from goes_lite.operations.statistics import Count, Statistics

_BARS = 30
"""Columns of the longest bar."""
_SHOWN = 14
"""How many of the latest days people see."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    store_argument(parser)
    query_arguments(parser)


def run(arguments: argparse.Namespace, out: Output) -> None:
    """Count the events and print the numbers."""
    from goes_lite.operations.statistics import statistics

    with opened(arguments, out) as db:
        counting = statistics(
            db.backend, query_of(arguments), after=arguments.after, upto=arguments.upto, progress=out.reading
        )
        found = run_on(db, counting)
    out.progress("")
    out.result(_data(found), lambda terminal: _show(terminal, found))


def _data(found: Statistics) -> dict[str, Any]:
    return {
        "head": found.head, **vars(found.total), "first_time": found.first, "last_time": found.last,
        "names": {name: vars(count) for name, count in _ordered(found.names)},
        "aggregates": {name: vars(count) for name, count in _ordered(found.aggregates)},
        "days": {day.isoformat(): count for day, count in found.days.items()},
    }  # fmt: skip


def _ordered(counts: Mapping[str, Count]) -> list[tuple[str, Count]]:
    return sorted(counts.items(), key=lambda item: (-item[1].events, item[0]))


def _show(terminal: Terminal, found: Statistics) -> None:
    total = found.total
    terminal.line(
        f"{counted(total.events, 'events')}, {size(total.bytes)} of payloads, head at position {found.head}", BOLD
    )
    if found.first is None or found.last is None:
        return
    terminal.line(f"{iso(found.first)} to {iso(found.last)}", DIM)
    for title, counts in (("event", found.names), ("aggregate", found.aggregates)):
        terminal.line()
        rows = [
            (name or "(none)", count.events, size(count.bytes), f"{count.bytes / count.events:.0f}")
            for name, count in _ordered(counts)
        ]
        terminal.table((title, "events", "size", "bytes each"), rows, right=(1, 2, 3))
    terminal.line()
    _chart(terminal, found.days)


def _chart(terminal: Terminal, days: Mapping[date, int]) -> None:
    latest = [*days.items()][-_SHOWN:]
    most = max(count for _, count in latest)
    width = len(str(most))
    for day, count in latest:
        bar = "█" * max(1, round(count / most * _BARS))
        terminal.parts((f"  {day:%Y-%m-%d}  ", DIM), (f"{count:>{width}}  ", PLAIN), (bar, CYAN))
    if len(days) > len(latest):
        terminal.line(f"  (the latest {len(latest)} of {len(days)} days with events; --json has all)", DIM)


COMMAND = Command(
    "Count the events of a store, by name, by aggregate and by day (UTC), with the sizes of their payloads. It reads the log, "
    "or the part of it that the options select.",
    run,
    configure,
    ("goes-lite stats shop.db", "goes-lite stats shop.db --since 7d --json"),
)
