"""`goes-lite log`: the events of a store."""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from datetime import datetime, timezone
from functools import partial
from typing import Any

from goes_lite import Event, EventQuery
from goes_lite.cli.command import Commands, iso, number, open_store
from goes_lite.cli.terminal import CYAN, DIM, PLAIN, Terminal, cut, printable
from goes_lite.errors import DecodeError
from goes_lite.events.fields import AggregateRef


def add(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    log = commands.add_parser(
        "log", parents=[common], allow_abbrev=False, help="the events of a store",
        description="Print the events of a store in order. On a terminal, lines are cut to its width; in a pipe they are not.",
    )  # fmt: skip
    log.add_argument("file", metavar="FILE")
    log.add_argument(
        "--follow", action="store_true", help="print further events as they are committed, until interrupted"
    )
    log.add_argument(
        "--name", action="append", default=[], metavar="EVENT", help="only events of this name (repeatable)"
    )
    log.add_argument(
        "--aggregate",
        action="append",
        default=[],
        metavar="NAME[/ID]",
        help="only events of this aggregate (repeatable)",
    )
    log.add_argument(
        "--tag",
        action="append",
        default=[],
        metavar="KEY:VALUE",
        help="only events with this tag (repeatable; with all)",
    )
    log.add_argument("--after", type=number, default=0, metavar="POSITION", help="only events after this position")
    log.add_argument("--last", type=number, metavar="N", help="only the last N events")
    log.add_argument("--json", action="store_true", help="one JSON object per line")
    log.add_argument("--end-with-stdin", action="store_true", help=argparse.SUPPRESS)
    log.set_defaults(run=run)


def run(arguments: argparse.Namespace, terminal: Terminal) -> None:
    """Print the selected events."""
    query = _query(arguments)
    show = partial(_as_json, terminal, seen=arguments.follow) if arguments.json else _Lines(terminal)
    if arguments.end_with_stdin:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    with open_store(arguments.file) as db:
        head = db.events.head()
        if arguments.last is None:
            found = db.events.query(query, after=arguments.after, upto=head)
            for event in found:
                show(event)
        else:
            newest = db.events.query(query, after=arguments.after, upto=head, reverse=True, limit=arguments.last).list()
            for event in reversed(newest):
                show(event)
        sys.stdout.flush()
        if arguments.follow:
            for event in db.events.follow(query, after=max(head, arguments.after)):
                show(event)
                sys.stdout.flush()


def _query(arguments: argparse.Namespace) -> EventQuery:
    pairs = [text.partition("/") for text in arguments.aggregate]
    whole = [name for name, slash, _ in pairs if not slash]
    single = [AggregateRef(name, id) for name, slash, id in pairs if slash]
    wanted: list[EventQuery] = []
    if single or not whole:
        wanted.append(EventQuery(arguments.name, aggregates=single, tags=arguments.tag))
    if whole:
        wanted.append(EventQuery(arguments.name, aggregate_names=whole, tags=arguments.tag))
    return EventQuery.any_of(*wanted)


class _Lines:
    """Prints events as lines: complete in a pipe; on a terminal cut to the width, under a heading for each day."""

    def __init__(self, terminal: Terminal) -> None:
        self._out = terminal
        self._day = ""

    def __call__(self, event: Event[Any]) -> None:
        out = self._out
        place = f"{event.aggregate.name}/{event.aggregate.id} v{event.version}" if event.aggregate else "-"
        if not out.interactive:
            out.line(f"{event.position:>6}  {iso(event.time)}  {event.name:<24}  {place:<24}  {_data(event)}")
            return
        day = f"{event.time:%Y-%m-%d}"
        if day != self._day:
            self._day = day
            out.line(f"─── {day}, UTC", DIM)
        start = f"{event.position:>6}  {event.time:%H:%M:%S.%f}"[:-3]
        title = printable(event.name)
        line = cut(printable(f"{start}  {title:<18}  {place:<18}  {_data(event)}"), out.width - 1)
        end = len(start) + 2 + len(title)
        out.parts((line[: len(start)], DIM), (line[len(start) : end], CYAN), (line[end:], PLAIN))


def _as_json(terminal: Terminal, event: Event[Any], *, seen: bool) -> None:
    encoding, schema, payload = event.encoded
    shown: dict[str, Any] = {
        "position": event.position,
        "time": iso(event.time),
        "event": event.name,
        "aggregate": event.aggregate and event.aggregate.name,
        "aggregate_id": event.aggregate and event.aggregate.id,
        "version": event.version,
        "id": str(event.id),
        "encoding": encoding,
        "schema": schema,
        "data": _parsed(event) if encoding == "json" else payload if isinstance(payload, str) else payload.hex(),
        "metadata": dict(event.metadata),
        "tags": sorted(event.tags),
    }
    if seen:
        shown["seen"] = iso(datetime.now(timezone.utc))
    terminal.line(json.dumps(shown))


def _parsed(event: Event[Any]) -> Any:
    """Return the payload as what `json.dumps` prints."""

    def refuse(constant: str) -> Any:
        raise ValueError(constant)

    payload = event.encoded.payload
    try:
        data = json.loads(payload, parse_constant=refuse)
        json.dumps(data)  # of which Python can nest fewer levels
    except (ValueError, RecursionError) as error:
        problem = f"{payload!r:.80} is stored as JSON, but cannot be read as such: without --json, the log shows it"
        raise DecodeError("$", problem, name=event.name, position=event.position) from error
    return data


def _data(event: Event[Any]) -> str:
    payload = event.encoded.payload
    return payload if isinstance(payload, str) else f"({len(payload)} bytes of {event.encoded.encoding})"


def _end_with_stdin() -> None:
    """Exit at once when the parent process closes our standard input, or ends."""
    while os.read(0, 4096):
        pass
    os._exit(0)
