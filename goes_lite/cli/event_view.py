"""How an event looks: as data for programs, and as a line for people."""

from __future__ import annotations

from typing import Any

from goes_lite.cli.terminal import CYAN, DIM, PLAIN, Terminal, cut
from goes_lite.events.event import Event
from goes_lite.operations.forms import iso, payload_text, printable, ref_text


class EventLines:
    """Prints events as lines: complete in a pipe; on a terminal cut to the width, under a heading for each day."""

    def __init__(self, terminal: Terminal) -> None:
        self._out = terminal
        self._day = ""

    def __call__(self, event: Event[Any]) -> None:
        out = self._out
        place = f"{ref_text(event.aggregate)} v{event.version}" if event.aggregate else "-"
        if not out.interactive:
            out.line(f"{event.position:>6}  {iso(event.time)}  {event.name:<24}  {place:<24}  {payload_text(event)}")
            return
        day = f"{event.time:%Y-%m-%d}"
        if day != self._day:
            self._day = day
            out.line(f"─── {day}, UTC", DIM)
        start = f"{event.position:>6}  {event.time:%H:%M:%S.%f}"[:-3]
        title = printable(event.name)
        line = cut(printable(f"{start}  {title:<18}  {place:<18}  {payload_text(event)}"), out.width - 1)
        end = len(start) + 2 + len(title)
        out.parts((line[: len(start)], DIM), (line[len(start) : end], CYAN), (line[end:], PLAIN))
