"""`goes-lite trace`: what caused an event, and what followed from it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from goes_lite.cli.command import Command, store_argument
from goes_lite.cli.naming import event_argument, event_of
from goes_lite.cli.opening import opened, run_on
from goes_lite.cli.output import Output
from goes_lite.cli.terminal import BOLD, DIM, PLAIN, Terminal, counted
from goes_lite.operations.forms import event_data, iso, ref_text

if TYPE_CHECKING:
    from goes_lite.operations.trace import Step, Trace


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    store_argument(parser)
    event_argument(parser)


def run(arguments: argparse.Namespace, out: Output) -> None:
    """Print the tree."""
    from goes_lite.operations.trace import trace

    with opened(arguments, out) as db:
        event = event_of(db, arguments.event)
        found = run_on(db, trace(db.backend, event, progress=out.reading))
    out.progress("")
    data = {
        "correlation": found.correlation,
        "events": found.events,
        "event": event.id,
        "steps": [_data(step, depth, cause) for step, depth, cause, _ in _walk(found)],
    }
    out.result(data, lambda terminal: _show(terminal, found, str(event.id)))


def _walk(found: Trace) -> Iterator[tuple[Step, int, str | None, str]]:
    """Yield each step with its depth, the id of its cause, and the lines that lead to it. Without recursion: trees are deep."""
    waiting: list[tuple[Step, int, str | None, str, str]] = [
        (step, 0, None, "", "") for step in reversed(found.beginnings)
    ]
    while waiting:
        step, depth, cause, lead, below = waiting.pop()
        yield step, depth, cause, lead
        last = len(step.consequences) - 1
        for number in range(last, -1, -1):
            branch, more = ("└─ ", "   ") if number == last else ("├─ ", "│  ")
            waiting.append((step.consequences[number], depth + 1, step.id, below + branch, below + more))


def _data(step: Step, depth: int, cause: str | None) -> dict[str, Any]:
    return {"id": step.id, "cause": cause, "depth": depth, "event": event_data(step.event) if step.event else None}


def _show(terminal: Terminal, found: Trace, marked: str) -> None:
    terminal.line(f"{counted(found.events, 'events')} of the correlation {found.correlation}", DIM)
    for step, _, _, lead in _walk(found):
        style = BOLD if step.id == marked else PLAIN
        if step.event is None:
            terminal.parts((lead, DIM), (f"command {step.id}", style))
            continue
        event = step.event
        place = f"  {ref_text(event.aggregate)} v{event.version}" if event.aggregate else ""
        mark = "  ← this one" if step.id == marked else ""
        terminal.parts(
            (lead, DIM), (f"{event.position}  {event.name}{place}", style), (f"  {iso(event.time)[11:23]}{mark}", DIM)
        )


COMMAND = Command(
    "Show what caused an event and what followed from it, as a tree: by the correlation and causation that goes_lite keeps in "
    "the metadata of events. It reads the log from where the tree begins.",
    run,
    configure,
    ("goes-lite trace shop.db 17", "goes-lite trace shop.db 01a230f9-f7d2-7629-98ec-9429aacfd4aa --json"),
)
