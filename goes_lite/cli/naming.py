"""Finding what an argument names: an event, an aggregate, a class of the program; and what it may have meant."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from goes_lite.cli.catalog import did_you_mean
from goes_lite.cli.exits import UsageError
from goes_lite.cli.opening import run_on
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EventQuery

if TYPE_CHECKING:
    from goes_lite.aggregate import Aggregate
    from goes_lite.blocking import BlockingDatabase
    from goes_lite.events.event import Event

_LOOKED_AT = 10_000
"""How many ids are compared with one that does not exist."""


def event_argument(parser: argparse.ArgumentParser) -> None:
    """Add the argument that names an event; `event_of` finds it."""
    parser.add_argument("event", metavar="EVENT", help="the position of an event, or its id")


def event_of(db: BlockingDatabase, text: str) -> Event[Any]:
    """Return the event that an argument names, by its position or id; UsageError if there is none."""
    if text.isascii() and text.isdigit():
        position = int(text)
        if 0 < position < 2**63:
            for event in db.events.query(after=position - 1, upto=position):
                return event
        raise UsageError(
            f"there is no event at position {text}: the head is {db.events.head()}", "goes-lite log --last 5"
        )
    try:
        found = db.events.find(UUID(text))
    except ValueError:
        raise UsageError(f"{text!r:.80} names no event: write a position, or an id (a UUID)", "goes-lite log") from None
    if found is None:
        raise UsageError(f"there is no event with the id {text}", "goes-lite log")
    return found


def check_aggregate(db: BlockingDatabase, ref: AggregateRef) -> None:
    """Raise UsageError, with what may be meant, unless the aggregate has events."""
    if not db.events.query(EventQuery(aggregates=[ref]), limit=1).list():
        if missing := missing_aggregate(db, ref.name):
            raise UsageError(missing, "goes-lite aggregates")
        ids = [info.aggregate.id for info in db.events.aggregates(ref.name, limit=_LOOKED_AT)]
        raise UsageError(
            f"{ref.name} has no {ref.id!r:.80}{did_you_mean(ref.id, ids)}", f"goes-lite aggregates --name {ref.name}"
        )


def missing_aggregate(db: BlockingDatabase, name: str) -> str:
    """Return what to tell about a name that no aggregate has: which one is close; nothing if one has it."""
    from goes_lite.operations.names import aggregate_names

    known = run_on(db, aggregate_names(db.backend))
    return "" if name in known else f"no aggregate is named {name!r:.80}{did_you_mean(name, known)}"


def missing_events(db: BlockingDatabase, names: Iterable[str]) -> str:
    """Return what to tell about names that no event has: which ones are close; nothing if all exist."""
    from goes_lite.operations.names import event_names

    missing = [name for name in names if not db.events.query(EventQuery([name]), limit=1).list()]
    known = run_on(db, event_names(db.backend)) if missing else []
    return "; ".join(f"no event is named {name!r:.80}{did_you_mean(name, known)}" for name in missing)


def aggregate_class(name: str) -> type[Aggregate]:
    """Return the class of the aggregates of a name, which the module of `--app` defines; UsageError if there is none."""
    from goes_lite.operations.today import aggregate_classes

    found = aggregate_classes()
    if name not in found:
        raise UsageError(f"the module of --app has no class of the aggregates {name!r:.80}{did_you_mean(name, found)}")
    return found[name][-1]
