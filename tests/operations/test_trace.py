"""A trace that reads a part of the log: what it finds, and whether it says that there may be more."""

from __future__ import annotations

import asyncio
from typing import Any

import goes_lite as goes
from goes_lite.operations.trace import Trace, trace

registry = goes.Registry()
registry.register("step.taken", int)


def _step(number: int, **metadata: str) -> goes.Event[int]:
    return goes.Event(number, name="step.taken", metadata=metadata, registry=registry)


def _chain(number: int, apart: int) -> list[goes.Event[int]]:
    """Return events that each follow from the one before, with others between them."""
    events: list[goes.Event[int]] = []
    first: goes.Event[int] | None = None
    for of in range(number):
        if first is None:
            first = cause = _step(of)
        else:
            cause = _step(of, correlation=str(first.id), causation=str(events[-1 - apart].id))
        events += [cause, *[_step(-1) for _ in range(apart)]]
    return events


def _found(trace: Trace) -> list[int]:
    numbers: list[int] = []
    waiting = [*trace.beginnings]
    while waiting:
        step = waiting.pop(0)
        if step.event is not None:
            numbers.append(step.event.data)
        waiting += step.consequences
    return numbers


async def _traced(events: list[goes.Event[int]], number: int, **options: Any) -> Trace:
    async with goes.connect("sqlite:///:memory:", registry=registry) as db:
        await db.events.append(events)
        stored = [one async for one in db.events.query()]
        return await trace(db.backend, next(one for one in stored if one.data == number), **options)


def test_without_a_bound_all_of_it_is_found() -> None:
    found = asyncio.run(_traced(_chain(8, apart=20), 4))

    assert (_found(found), found.events, found.complete) == ([*range(8)], 8, True)


def test_with_a_bound_the_causes_are_found_by_their_ids_and_consequences_near_it() -> None:
    """What follows after those lies too far away: the trace says that there may be more."""
    found = asyncio.run(_traced(_chain(12, apart=20), 6, most=60))

    assert _found(found) == [*range(8)]
    assert not found.complete


def test_a_bound_that_is_large_enough_changes_nothing() -> None:
    found = asyncio.run(_traced(_chain(8, apart=20), 4, most=1000))

    assert (_found(found), found.complete) == ([*range(8)], True)


def test_what_begins_before_the_store_may_have_more() -> None:
    """Its beginning is a command, which has no position: events before those that were read may belong to it."""
    command = "01900000-0000-7000-8000-000000000001"
    events = [_step(0, correlation=command, causation=command), *_chain(1, apart=50), _step(1, correlation=command)]
    near = asyncio.run(_traced(events, 1, most=8))
    every = asyncio.run(_traced(events, 1))

    assert (near.events, near.complete) == (1, False)
    assert (every.events, every.complete) == (2, True)
