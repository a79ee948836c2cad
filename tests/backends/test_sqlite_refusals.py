"""Bad input, and whatever comes after closing, is refused by typed errors and changes nothing."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import pytest

from goes_lite.backend import Backend
from goes_lite.codec import FunctionCodec
from goes_lite.errors import EncodeError, InvalidEventError, InvalidQueryError, StoreClosed
from goes_lite.event import AggregateRef, Event
from goes_lite.query import EventQuery
from goes_lite.registry import Registry
from goes_lite.store import AppendCondition

if TYPE_CHECKING:
    from tests.backends.events_kit import NOON, A, everything
    from tests.backends.faces import Noted, Place, note, registry, story
else:
    from events_kit import NOON, A, everything
    from faces import Noted, Place, note, registry, story

ABSURD_IDS: list[Any] = ["", "x" * 1_000_000, "a\0b", "\ud800", "x\udfff", None, 5, b"a", ["a"], ("a",)]


def test_absurd_ids_are_refused_where_they_enter() -> None:
    """Aggregate ids and names, tags and event ids that not every backend could keep are InvalidEventError."""
    for id in ABSURD_IDS:
        with pytest.raises(InvalidEventError):
            AggregateRef("order", id)
        with pytest.raises(InvalidEventError):
            AggregateRef(id, "1")
        with pytest.raises(InvalidEventError):
            note("x", ("order", id), 1)
        with pytest.raises(InvalidEventError):
            note("x", tags=[id])
        with pytest.raises(InvalidQueryError):
            EventQuery(aggregate_ids=[id])
    for tags in ("color:red", b"color:red", 5, ["color"], ["color:"], [":red"], [None]):
        with pytest.raises(InvalidEventError):
            note("x", tags=tags)


BAD_FIELDS: list[dict[str, Any]] = [
    {"aggregate": 5, "version": 1}, {"aggregate": "ab", "version": 1}, {"aggregate": ("a",), "version": 1},
    {"aggregate": ("a", "b", "c"), "version": 1}, {"aggregate": A}, {"version": 1}, {"aggregate": A, "version": 0},
    {"aggregate": A, "version": -1}, {"aggregate": A, "version": "1"}, {"aggregate": A, "version": True},
    {"aggregate": A, "version": 1.0}, {"id": "x"}, {"id": b"0" * 16}, {"id": 5}, {"time": NOON.replace(tzinfo=None)},
    {"time": "2026"}, {"time": 5}, {"time": NOON.date()}, {"metadata": [("a", "b")]}, {"metadata": "ab"},
    {"metadata": {"a": 5}}, {"metadata": {5: "a"}}, {"metadata": {"": "a"}}, {"metadata": {"a": "\ud800"}},
    {"metadata": {"a": None}}, {"name": 5}, {"name": ["noted"]},
]  # fmt: skip


@pytest.mark.parametrize("fields", BAD_FIELDS, ids=repr)
def test_bad_fields_of_an_event_are_refused(fields: dict[str, Any]) -> None:
    """InvalidEventError, which is a ValueError, with the value in its message."""
    with pytest.raises(InvalidEventError) as caught:
        Event(Noted("x"), registry=registry, **fields)
    assert isinstance(caught.value, ValueError)


BAD_CALLS: dict[str, Callable[[Backend], Any]] = {
    "append a value": lambda db: db.events.append([cast(Any, Noted("x"))]),
    "append None": lambda db: db.events.append([note("x"), cast(Any, None)]),
    "append an event": lambda db: db.events.append(cast(Any, note("x"))),
    "append a number": lambda db: db.events.append(cast(Any, 5)),
    "condition is a query": lambda db: db.events.append([note("x")], condition=cast(Any, EventQuery())),
    "condition of a string": lambda db: db.events.append([note("x")], condition=AppendCondition(cast(Any, "noted"))),
    "condition after None": lambda db: db.events.append(
        [note("x")], condition=AppendCondition(EventQuery(), cast(Any, None))
    ),
    "condition after -1": lambda db: db.events.append([note("x")], condition=AppendCondition(EventQuery(), -1)),
    "condition after 1.5": lambda db: db.events.append(
        [note("x")], condition=AppendCondition(EventQuery(), cast(Any, 1.5))
    ),
    "load a string": lambda db: db.events.load(cast(Any, "ab")),
    "load a number": lambda db: db.events.load(cast(Any, 5)),
    "load an empty id": lambda db: db.events.load(cast(Any, ("order", ""))),
    "load after -1": lambda db: db.events.load(A, after=-1),
    "load after a string": lambda db: db.events.load(A, after=cast(Any, "1")),
    "load upto a bool": lambda db: db.events.load(A, upto=True),
    "query a string": lambda db: db.events.query(cast(Any, "noted")).list(),
    "query None": lambda db: db.events.query(cast(Any, None)).list(),
    "query after -1": lambda db: db.events.query(after=-1).list(),
    "query upto a time": lambda db: db.events.query(upto=cast(Any, NOON)).list(),
    "query limit -1": lambda db: db.events.query(limit=-1).list(),
    "query limit a float": lambda db: db.events.query(limit=cast(Any, 1.0)).list(),
    "find a string": lambda db: db.events.find(cast(Any, str(uuid4()))),
    "find bytes": lambda db: db.events.find(cast(Any, b"0" * 16)),
    "aggregates of a number": lambda db: db.events.aggregates(cast(Any, 5)).list(),
    "aggregates of nothing": lambda db: db.events.aggregates("").list(),
    "aggregates of surrogates": lambda db: db.events.aggregates("\ud800").list(),
    "aggregates after a string": lambda db: db.events.aggregates(after=cast(Any, "ab")).list(),
    "aggregates limit -1": lambda db: db.events.aggregates(limit=-1).list(),
    "count a string": lambda db: db.events.count(cast(Any, "noted")),
    "follow a string": lambda db: anext(db.events.follow(cast(Any, "noted"), after=0)),
    "follow after -1": lambda db: anext(db.events.follow(after=-1)),
    "follow after None": lambda db: anext(db.events.follow(after=cast(Any, None))),
    "delete a string": lambda db: db.events.delete(cast(Any, "ab")),
    "delete None": lambda db: db.events.delete(cast(Any, None)),
}


async def test_bad_arguments_get_typed_errors_and_change_nothing(db: Backend) -> None:
    """Every argument of every method: InvalidQueryError or InvalidEventError that says more than its type."""
    await db.events.append(story("a", 1))
    before = await everything(db)
    for what, call in BAD_CALLS.items():
        try:
            await call(db)
        except (InvalidQueryError, InvalidEventError) as error:
            assert len(str(error)) > 20, what
        except Exception as error:
            raise AssertionError(f"{what}: {error!r}") from error
        else:
            raise AssertionError(f"{what}: accepted")
    assert await everything(db) == before


async def test_a_payload_that_sqlite_cannot_store_is_refused(db: Backend) -> None:
    """A codec of the user's own that gives out lone surrogates: a typed error, and neighbours are not disturbed."""
    own = Registry(
        codec=FunctionCodec("own", lambda value: value.text, lambda payload, _: Noted(str(payload)), text=True)
    )
    own.register("noted", Noted)
    with pytest.raises((InvalidEventError, EncodeError)):
        await db.events.append([Event(Noted("fine"), registry=own), Event(Noted("\ud800"), registry=own)])
    assert await db.events.head() == 0
    await db.events.append([note("x")])


async def test_everything_is_refused_once_the_store_is_closed(place: Place) -> None:
    """StoreClosed, whatever is called; closing again is fine."""
    async with place.open() as db:
        await db.events.append([note("x")])
        pages = db.events.query()
        await db.close()
        await db.close()
        calls: dict[str, Callable[[], Awaitable[Any]]] = {
            "append": lambda: db.events.append([note("y")]),
            "load": lambda: db.events.load(A),
            "query": lambda: db.events.query().list(),
            "pages": pages.list,
            "find": lambda: db.events.find(uuid4()),
            "head": db.events.head,
            "aggregates": lambda: db.events.aggregates().list(),
            "count": db.events.count,
            "follow": lambda: anext(db.events.follow(after=0)),
            "delete": lambda: db.events.delete(A),
            "transaction": lambda: db.transaction().__aenter__(),
            "snapshots": lambda: db.snapshots.latest(A),
            "models": lambda: db.models.put("c", "1", "{}"),
            "checkpoints": db.checkpoints.all,
            "leases": lambda: db.leases.acquire("job", "me", 1.0),
        }
        for name, call in calls.items():
            with pytest.raises(StoreClosed):
                await call()
                raise AssertionError(name)
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("goes_lite-")], (
            "no thread is left"
        )
