"""The events that the rules are about: three types, and short ways to make batches of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any
from uuid import UUID

from goes_lite.codec import FunctionCodec
from goes_lite.contract.backend import Backend, Transaction
from goes_lite.contract.snapshot_store import Snapshot
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EVERYTHING, EventQuery
from goes_lite.events.registry import Registry

registry = Registry()
"""The registry that every storage of the suites is opened with."""

NOON = datetime(2026, 3, 1, 12, 0, 0, 123_456, tzinfo=timezone.utc)
A, B, C = (AggregateRef("order", id) for id in "abc")

CONFUSABLE = (
    "a", "A", "á", "a\u0301", "ä", "ａ", "а", "aa", " a", "a ", "a\t", "a\u200b",
    "ß", "ss", "SS", "ﬁ", "fi", "i", "I", "ı", "İ",
    "1", "01", "1.0", "-1", "null", "true", "%", "_", "a%", "a_", "*", "a*", "a.*",
    "?", "[a]", "^a$", ".", "a.b", "a/b", "a,b",
    "'", "a'", "''", '"', "`", "\\", "a\\", "\\a", "$1", ":1", "@a", "{0}", "%s",
    "$where", ">", "a;--", "'; DROP TABLE events; --",
)  # fmt: skip
"""Different texts that a collation, a pattern or careless quoting would confuse."""


@registry.event("sample.noted")
@dataclass(frozen=True)
class Noted:
    """An event with a text."""

    text: str = ""


@registry.event("sample.counted")
@dataclass(frozen=True)
class Counted:
    """An event with a number."""

    number: int = 0


@registry.event("other.closed")
@dataclass(frozen=True)
class Closed:
    """An event without data."""


careless = Registry(
    codec=FunctionCodec("own", lambda value: value.text, lambda payload, _: Noted(str(payload)), text=True)
)
"""Accepts any text as a payload, even one that cannot be encoded."""
careless.register("sample.noted", Noted)


def note(
    text: str = "",
    aggregate: AggregateRef | tuple[str, str | UUID] | None = None,
    version: int = 0,
    **fields: Any,
) -> Event[Noted]:
    """Return an event of the type Noted."""
    return Event(Noted(text), aggregate=aggregate, version=version, registry=registry, **fields)


def count(
    number: int, aggregate: AggregateRef | tuple[str, str | UUID] | None = None, version: int = 0, **fields: Any
) -> Event[Counted]:
    """Return an event of the type Counted."""
    return Event(Counted(number), aggregate=aggregate, version=version, registry=registry, **fields)


def story(aggregate: AggregateRef, versions: int, *, after: int = 0, **fields: Any) -> list[Event[Noted]]:
    """Return contiguous events of one aggregate, after version `after`; their texts are `id-version`."""
    return [note(f"{aggregate.id}-{v}", aggregate, v, **fields) for v in range(after + 1, after + versions + 1)]


def snapshot(ref: AggregateRef, version: int, state: str | bytes = "{}", **fields: Any) -> Snapshot:
    """Return a snapshot; its other fields can be given by name."""
    defaults: dict[str, Any] = {"time": NOON, "schema": 1, "encoding": "json", "state": state}
    return Snapshot(ref, version, **{**defaults, **fields})


async def texts(db: Backend, query: EventQuery = EVERYTHING, **options: Any) -> list[str]:
    """Return the texts of all events (of the type Noted) that the query yields, in its order."""
    return [event.data.text for event in await db.events.query(query, **options).list()]


async def everything(db: Backend | Transaction) -> tuple[Any, ...]:
    """Return all that a reader can see of the events of a store, for rules about what leaves it unchanged."""
    events = await db.events.query().list()
    return (
        events,
        [(event.id, event.position) for event in events],
        await db.events.head(),
        await db.events.count(),
        await db.events.aggregates().list(),
    )


async def take(pages: Any, number: int) -> list[str]:
    """Return the texts of the next `number` events (of the type Noted)."""
    return [(await anext(pages)).data.text for _ in range(number)]


async def fill(stores: Backend | Transaction) -> None:
    """Write something into every store that a transaction has, too: three events, a snapshot, a model, a checkpoint."""
    await stores.events.append([*story(A, 2), note("loose", tags=["t:1"])])
    await stores.snapshots.save(snapshot(A, 2))
    await stores.models.put("c", "1", '{"n": 1}')
    await stores.checkpoints.save("reader", 3)


async def contents(stores: Backend | Transaction) -> dict[str, Any]:
    """Return all that a reader can see of these stores, except the times of checkpoints."""
    return {
        "events": await everything(stores),
        "snapshots": await stores.snapshots.query().list(),
        "models": await stores.models.query("c").list(),
        "checkpoints": [checkpoint[:3] for checkpoint in await stores.checkpoints.all()],
    }
