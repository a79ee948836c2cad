"""`goes-lite log`: the events of a store."""

from __future__ import annotations

import argparse
import os
import threading
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from goes_lite.cli.command import Command, number, store_argument
from goes_lite.cli.event_view import EventLines
from goes_lite.cli.opening import opened
from goes_lite.cli.output import Output
from goes_lite.cli.selecting import query_arguments, query_of
from goes_lite.operations.forms import UNREADABLE, event_data, is_unreadable

if TYPE_CHECKING:
    from goes_lite.blocking import BlockingDatabase
    from goes_lite.events.event import Event


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    store_argument(parser)
    parser.add_argument(
        "--follow", "-f", action="store_true", help="print further events as they are committed, until Ctrl-C"
    )
    parser.add_argument("--last", type=number, metavar="N", help="only the last N of them")
    parser.add_argument("--first", type=number, metavar="N", help="only the first N of them")
    parser.add_argument("--end-with-stdin", action="store_true", help=argparse.SUPPRESS)
    query_arguments(parser)


def run(arguments: argparse.Namespace, out: Output) -> None:
    """Print the selected events."""
    query = query_of(arguments)
    lines = EventLines(out.terminal)
    if arguments.end_with_stdin:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    with opened(arguments, out) as db:
        head = db.events.head()
        upto = head if arguments.upto is None else min(head, arguments.upto)
        stored: Iterable[Event[Any]] = db.events.query(query, after=arguments.after, upto=upto, limit=arguments.first)
        if arguments.last is not None:
            newest = db.events.query(query, after=arguments.after, upto=upto, reverse=True, limit=arguments.last).list()
            stored = reversed(newest)
        if not arguments.follow:
            if not out.stream(_checked(stored, out), event_data, lines):
                _explain_nothing(db, arguments, out)
            return
        for event in stored:
            _follow(event, lines, out)
        for event in db.events.follow(query, after=max(head, arguments.after)):
            _follow(event, lines, out)


def _checked(events: Iterable[Event[Any]], out: Output) -> Iterable[Event[Any]]:
    """Yield the events, and note those whose payload cannot be read: with --json, where it is missed."""
    for event in events:
        if out.json and is_unreadable(event):
            out.finding(
                UNREADABLE, f"the payload of event {event.position} is stored as JSON, but is none", "goes-lite verify"
            )
        yield event


def _explain_nothing(db: BlockingDatabase, arguments: argparse.Namespace, out: Output) -> None:
    """Tell whether a name is misspelt."""
    from goes_lite.cli.naming import missing_aggregate, missing_events

    names = {text.partition("/")[0] for text in arguments.aggregate}
    for told in (missing_events(db, arguments.name), *(missing_aggregate(db, name) for name in sorted(names))):
        if told:
            out.note(told)


def _follow(event: Event[Any], lines: EventLines, out: Output) -> None:
    out.single({**event_data(event), "seen": datetime.now(timezone.utc)} if out.json else None, lambda _: lines(event))


def _end_with_stdin() -> None:
    """Exit at once when the parent process closes our standard input, or ends."""
    while os.read(0, 4096):
        pass
    os._exit(0)


COMMAND = Command(
    "Print the events of a store, in the order of the log. On a terminal, lines are cut to its width; in a pipe they are not. "
    "With --json the events are a list; with --follow, each is a document on a line of its own.",
    run,
    configure,
    (
        "goes-lite log shop.db --last 20",
        "goes-lite log shop.db --aggregate order/2026-001 --since 2h",
        "goes-lite log shop.db --name order.placed --tag customer:ada --json",
        "goes-lite log shop.db --follow",
    ),
)
