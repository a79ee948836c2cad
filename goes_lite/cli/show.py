"""`goes-lite show`: one event, as it is stored and as the program reads it."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from goes_lite.cli.command import Command, app_argument, store_argument
from goes_lite.cli.naming import event_argument, event_of
from goes_lite.cli.opening import opened
from goes_lite.cli.output import Output
from goes_lite.cli.terminal import BOLD, DIM, PLAIN, Terminal
from goes_lite.operations.forms import UNREADABLE, event_data, is_unreadable, iso, payload_text, ref_text
from goes_lite.operations.today import today_of

if TYPE_CHECKING:
    from goes_lite.events.event import Event


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    store_argument(parser)
    event_argument(parser)
    app_argument(parser)


def run(arguments: argparse.Namespace, out: Output) -> None:
    """Print every field of the event."""
    with opened(arguments, out) as db:
        event = event_of(db, arguments.event)
        today = today_of(event, db.registry) if arguments.app else None
    if is_unreadable(event):
        out.finding(
            UNREADABLE, f"the payload of event {event.position} is stored as JSON, but is none", "goes-lite verify"
        )
    data = event_data(event)
    if arguments.app:
        data["today"] = today
    out.result(data, lambda terminal: _show(terminal, event, today))


def _show(terminal: Terminal, event: Event[Any], today: dict[str, Any] | None) -> None:
    facts = [
        ("position", str(event.position)),
        ("event", event.name),
        ("aggregate", f"{ref_text(event.aggregate)} version {event.version}" if event.aggregate else "-"),
        ("time", iso(event.time)),
        ("id", str(event.id)),
        ("tags", ", ".join(sorted(event.tags)) or "-"),
        ("payload", f"{event.encoded.encoding}, schema {event.encoded.schema}"),
        *((f"metadata {key}", value) for key, value in sorted(event.metadata.items())),
    ]
    width = max(len(label) for label, _ in facts)
    for label, value in facts:
        terminal.parts((f"{label:<{width}}  ", DIM), (value, PLAIN))
    terminal.line()
    terminal.line("stored", BOLD)
    _document(terminal, payload_text(event), event.encoded.encoding)
    if today is not None:
        terminal.line()
        terminal.line(f"today, as {today['type']} ({today['event']})", BOLD)
        _document(terminal, json.dumps(today["data"]), "json")


def _document(terminal: Terminal, text: str, encoding: str) -> None:
    if encoding == "json":
        try:
            text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
        except (ValueError, RecursionError):
            pass
    for line in text.split("\n"):
        terminal.line(f"  {line}")


COMMAND = Command(
    "Show one event with all its fields, as it is stored. With --app also as the program reads it today: renamed, upcast, as "
    "its registered type is written now.",
    run,
    configure,
    ("goes-lite show shop.db 17", "goes-lite show shop.db 17 --app shop.events --json"),
)
