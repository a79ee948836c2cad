"""A program whose every name, id, tag, key, value and error tries to break out of a page: `python hostile_shop.py FILE`.

Whatever takes effect would call `alert`, ask `evil.invalid` for something, or add an element of its own to the page.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable
from dataclasses import dataclass, make_dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import goes_lite as goes
from goes_lite.testing import FakeClock

OUT = "http://evil.invalid"

NAMES = (  # of events, aggregates, commands, workflows: no white space, no control characters, at most 255 characters
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    '"><img/src=x/onerror=alert(1)>',
    "\"autofocus/onfocus='alert(1)'",
    "'onmouseover='alert(1)",
    "javascript:alert(1)",
    f"{OUT}/name",
    "//evil.invalid/name",
    "<!--",
    "</title></style></textarea><b>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "..",
    "a/../../b",
    "?q=1&name=x#top",
    "%2e%2e%2f%00%",
    "\\evil.invalid\\name",
    "shown.json",
    "\u202egnp.exe\u2066",
    "\u200b\ufeff",
    "{{7-7}}${7-7}",
    "🧨é\u0301",
    "x" * 255,
)

TEXTS = (  # what can stand anywhere else
    *NAMES[:-1],
    "<svg onload=alert(1)><animate onbegin=alert(1) attributeName=x>",
    f"<img src={OUT}/image onerror=alert(1)> <link rel=stylesheet href={OUT}/css> <iframe src={OUT}></iframe>",
    f"<style>@import '{OUT}/style'; body {{background: url({OUT}/background)}}</style>",
    f"<meta http-equiv=refresh content='0;url={OUT}'><base href={OUT}>",
    f"<form action={OUT}><button autofocus>send</button></form>",
    "<details open ontoggle=alert(1)>",
    "data:text/html,<script>alert(1)</script>",
    "one\r\nSet-Cookie: stolen=1\r\n\r\n<script>alert(1)</script>",
    "data: 1\n\nevent: shutdown\ndata: {}\n\n",
    "\x1b[31mred\x1b[0m \x07\x08\x7f\x85 \u2028alert(1)\u2029",
    "tab\tand\nlines\n\nmore",
    "]]>--!>",
    " ",
    "z" + "\u0336\u0348\u0353\u0352" * 60,
    "unbreakable" * 90,
)


def _nested(depth: int) -> list[Any]:
    return [_nested(depth - 1) if depth else "<script>alert(1)</script>"]


PAYLOADS: tuple[dict[str, Any], ...] = (
    {text: text for text in TEXTS},
    {"</script><script>alert(1)</script>": [{"<b>": "<i>"}, ["<!--<script>"]]},
    {"__proto__": {"toString": "<script>alert(1)</script>"}, "constructor": {"prototype": 1}, "": ""},
    {"huge": "<b>" * 100_000},
    {"deep": _nested(60)},
    {"numbers": [2**80, -0.0, 1e308, 9007199254740993], "nothing": None, "long": ["<b>"] * 2000},
)


@dataclass(frozen=True)
class State:
    text: str = ""


class Hostility(Exception):
    pass


Hostility.__name__ = "<script>alert('class')</script>"


def registry_of(names: Iterable[str] = NAMES) -> tuple[goes.Registry, list[type[Any]], list[type[Any]]]:
    """A registry with an event and a command of each name, and their types."""
    registry = goes.Registry()
    events: list[type[Any]] = []
    commands: list[type[Any]] = []
    for number, name in enumerate(names):
        events.append(make_dataclass(f"Event{number}", [("payload", dict[str, Any])], frozen=True))
        registry.register(name, events[-1])
        commands.append(make_dataclass(f"Command{number}", [("payload", dict[str, Any])], frozen=True))
        registry.commands.register(name, commands[-1])
    return registry, events, commands


registry, EVENTS, COMMANDS = registry_of()


def fill(path: str) -> None:
    """Make the store: each hostile text in each place that takes it."""
    clock = FakeClock(datetime(2026, 11, 30, 8, tzinfo=timezone.utc))
    with goes.blocking.connect(path, registry=registry, clock=clock, durability="normal") as db:
        _append(db, clock)
        _consume(db)
        _command(db)
        _flow(db, clock)


def _initial(self: Any, key: str) -> State:
    return State(key)


def _append(db: Any, clock: FakeClock) -> None:
    """Events: each name is that of an event and an aggregate, each text an id, a tag, metadata; each is caused by the last."""
    cause = None
    for number, text in enumerate(TEXTS):
        name, event = NAMES[number % len(NAMES)], EVENTS[number % len(EVENTS)]
        metadata = {text: text, "actor": text, "correlation": TEXTS[number // 3], "causation": cause or text}
        for version in (1, 2):
            new = goes.Event(
                event(PAYLOADS[(number + version) % len(PAYLOADS)] | {"text": text}), registry=registry,
                aggregate=(name, text), version=version, tags=[f"tag:{text}", f"{text.partition(':')[0] or '-'}:x"],
                metadata=metadata, time=clock.now(),
            )  # fmt: skip
            db.events.append([new])
            cause = str(new.id)
        ref = goes.AggregateRef(name, text)
        db.snapshots.save(goes.Snapshot(ref, 2, clock.now(), 1, "json", json.dumps({"state": text})))
        clock.advance(60)


def _consume(db: Any) -> None:
    """Read models and consumers of hostile names, with hostile errors."""
    for name in NAMES[:-1]:
        models = db.models_of(f"c:{name}", State)
        models.put(name, State(TEXTS[-2]))
    for number, text in enumerate(TEXTS[:12]):
        db.models_of(text, State).put(text, State(text))

        def fail(event: goes.Event[Any], text: str = text) -> None:
            raise Hostility(text)

        query = goes.EventQuery([NAMES[number]])
        db.processor(NAMES[number], fail, query=query, retry=goes.Retry(attempts=1, then="park")).catch_up()


def _command(db: Any) -> None:
    """Commands that wait, fail and are refused, each with hostile names, payloads and errors."""
    later = datetime(2099, 1, 1, tzinfo=timezone.utc)
    for number, command in enumerate(COMMANDS[:12]):
        text = TEXTS[number]

        def refuse(command: Any, text: str = text, code: str = NAMES[number]) -> None:
            raise goes.errors.CommandRejected(code, text)

        db.commands.handle(command, refuse)
        with goes.Context.bind(actor=text, correlation=text):
            db.commands.dispatch_async(command(PAYLOADS[number % len(PAYLOADS)] | {"text": text}))
            db.commands.schedule(command({text: text}), at=later)
    db.commands.worker(attempts=1).catch_up()


def _flow(db: Any, clock: FakeClock) -> None:
    """Workflows with hostile names, keys, timers and reasons."""
    for number, name in enumerate(NAMES[:6]):
        event, text = EVENTS[number], TEXTS[-number - 2]

        def react(self: Any, state: State, event: Any, text: str = text, number: int = number) -> Iterable[goes.Effect]:
            if number == 4:
                raise Hostility(text)
            yield goes.SetTimer(NAMES[number], after=timedelta(days=3))
            yield goes.Associate(text)
            if number == 5:
                yield goes.Fail(text)

        body: dict[str, Any] = {"initial": _initial, "started": goes.starts(event)(react)}
        kind: Any = type(goes.Workflow)
        flow = kind(f"Flow{number}", (goes.Workflow,), body, name=name)
        flow.state = State
        work = db.workflow(flow(), patience=1)
        work.catch_up()
        clock.advance(60)
        work.catch_up()


if __name__ == "__main__":
    logging.disable()
    fill(sys.argv[1])
