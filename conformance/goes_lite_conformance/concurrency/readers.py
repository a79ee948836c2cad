"""Readers concurrent with writers: none skips, none repeats, and what was seen once does not change (G4, G8)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from goes_lite.contract.backend import PROCESSES, Backend
from goes_lite.contract.event_store import AppendCondition
from goes_lite.errors import AppendConditionFailed, ConcurrencyError, DuplicateEventError
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EventQuery
from goes_lite_conformance.concurrency._given import END, end, followed, log, polled, reading, saw_all, succeeded
from goes_lite_conformance.harness.asserts import same
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Moment, Place, pause
from goes_lite_conformance.harness.samples import A, count, note, story
from goes_lite_conformance.rule import needs

WRITERS = 12
TAGGED = EventQuery(tags=["n:1"])
COUNTED = EventQuery(["sample.counted"])


async def write(db: Backend, number: int, times: int = 5) -> None:
    """Append batches of one to three events, of an aggregate of its own and of none, and refused ones in between."""
    ref = AggregateRef("own", str(number))
    for step in range(times):
        batch: list[Event[Any]] = [note(f"{number}-{step}", ref, step + 1, tags=[f"n:{step}"])]
        batch += [count(step)] * ((number + step) % 2) + [note("loose", tags=[f"n:{step % 2}"])] * (step % 2)
        await db.events.append(batch)
        with suppress(ConcurrencyError):
            await db.events.append([note("refused"), *story(ref, 1, after=step)])
        with suppress(AppendConditionFailed):
            await db.events.append([note("refused")], condition=AppendCondition(EventQuery(aggregates=[ref])))
        with suppress(DuplicateEventError):
            await db.events.append([note("refused"), note("other data", id=batch[0].id)])


async def everybody_writes(place: Place, *handles: Backend) -> None:
    """Run all writers at once, over all handles, then append the event that comes after all others."""
    writers = range(WRITERS * place.rounds)
    succeeded(await place.together(*(write(handles[number % len(handles)], number) for number in writers)))
    await end(handles[0])


class ReaderRules(Contract):
    """Rules CC-READ."""

    async def test_followers_see_everything(self, place: Place, db: Backend) -> None:
        """CC-READ-001: However many write, a follower gets what ends up in the log: each event once, in position order.

        It gets nothing of what was refused meanwhile. The same holds for followers with a query.
        """
        queries = (EventQuery(), TAGGED, COUNTED)
        readers = [place.alongside(followed(db, query)) for query in queries]
        await everybody_writes(place, db)
        stored = await log(db)
        for query, reader in zip(queries, readers, strict=True):
            saw_all(await reader.result(), stored, query)

    async def test_a_polling_reader_sees_everything(self, place: Place, db: Backend) -> None:
        """CC-READ-002: A reader that repeatedly queries for events after the last one it saw misses none and repeats none."""
        asked: Sequence[tuple[EventQuery, int | None]] = ((EventQuery(), 1), (TAGGED, None))
        readers = [place.alongside(polled(place, db, query, limit=limit)) for query, limit in asked]
        await everybody_writes(place, db)
        stored = await log(db)
        for (query, _), reader in zip(asked, readers, strict=True):
            saw_all(await reader.result(), stored, query)

    async def test_followers_that_come_later_see_the_rest(self, place: Place, db: Backend) -> None:
        """CC-READ-003: A follower that begins while others write sees everything after its start, each event once.

        The transition from stored to newly committed events is where followers break.
        """
        over = Moment(place)

        async def begin_again() -> list[tuple[int, list[Event[Any]]]]:
            found: list[tuple[int, list[Event[Any]]]] = []
            while True:
                begun = await db.events.head()
                if over.has_come:
                    return found
                some: list[Event[Any]] = []  # at least the end is still to come
                async for event in db.events.follow(after=begun):
                    some.append(event)
                    if len(some) == 5 or END.matches(event):
                        break
                found.append((begun, some))

        readers = [place.alongside(begin_again()) for _ in range(4)]
        succeeded(await place.together(*(write(db, number) for number in range(WRITERS * place.rounds))))
        over.come()
        await end(db)
        positions = [event.position for event in await log(db)]
        for reader in readers:
            for begun, some in await reader.result():
                behind = [position for position in positions if position > begun]
                assert [event.position for event in some] == behind[: len(some)]

    async def test_what_the_head_covers_is_settled(self, place: Place, db: Backend) -> None:
        """CC-READ-004: Everything at or below a head that was seen is there, and no event is ever added below it.

        The head never goes back.
        """
        done = Moment(place)

        async def look() -> list[Event[Any]]:
            seen: list[Event[Any]] = []
            head = 0
            while not done.has_come:
                now = await db.events.head()
                assert now >= head, f"the head went back from {head} to {now}"
                if now > head:
                    seen += await db.events.query(after=head, upto=now).list()
                    assert seen, f"the head is {now}, and there is no event"
                    assert seen[-1].position == now, f"the head is {now}, the last event {seen[-1]}"
                else:
                    await pause(place)
                head = now
            return seen

        readers = [place.alongside(look()) for _ in range(2)]
        await everybody_writes(place, db)
        done.come()
        stored = await log(db)
        for reader in readers:
            found = await reader.result()
            same(found, stored[: len(found)])

    @needs(PROCESSES)
    async def test_batches_are_seen_whole(self, place: Place, db: Backend) -> None:
        """CC-READ-005: A reader on another handle sees all events of a batch or none: in a query, a count and an aggregate."""
        done = Moment(place)
        size = 8

        async def append(number: int) -> None:
            for step in range(6):
                ref = AggregateRef("own", str(number))
                await db.events.append([*story(ref, size, after=step * size), *(note("loose") for _ in range(size))])

        async def look(db: Backend) -> None:
            while not done.has_come:
                await pause(place)
                found = await db.events.query().list()
                assert len(found) % (2 * size) == 0, f"{len(found)} events are visible, of batches of {2 * size}"
                assert (await db.events.count()) % (2 * size) == 0
                assert len(await db.events.load(AggregateRef("own", "1"))) % size == 0

        async with place.open() as second, place.open() as third:
            readers = [place.alongside(look(handle)) for handle in (second, third)]
            succeeded(await place.together(*(append(number) for number in range(4 * place.rounds))))
            done.come()
            succeeded([await reader.outcome() for reader in readers])

    async def test_histories_only_grow(self, place: Place, db: Backend) -> None:
        """CC-READ-006: Loading an aggregate while others append to it returns versions 1, 2, 3, … and never fewer than before."""
        done = Moment(place)

        async def look() -> None:
            known: list[Event[Any]] = []
            while not done.has_come:
                await pause(place)
                loaded = await db.events.load(A)
                assert [event.version for event in loaded] == list(range(1, len(loaded) + 1))
                assert loaded[: len(known)] == known, "what was loaded before is different now"
                known = loaded

        async def append(number: int) -> None:
            for step in range(20):
                with suppress(ConcurrencyError):
                    version = len(await db.events.load(A))
                    await db.events.append([note(f"{number}-{step}", A, version + 1)])

        readers = [place.alongside(look()) for _ in range(2)]
        succeeded(await place.together(*(append(number) for number in range(4 * place.rounds))))
        done.come()
        succeeded([await reader.outcome() for reader in readers])

    @needs(PROCESSES)
    async def test_readers_and_writers_with_several_handles(self, place: Place, db: Backend) -> None:
        """CC-READ-007: Whichever handles write, a follower and a polling reader on each see all of it, once, in order."""
        async with place.open() as second, place.open() as third:
            handles = (db, second, third)
            readers = [reader for handle in handles for reader in reading(place, handle)]
            await everybody_writes(place, *handles)
            stored = await log(db)
            for reader in readers:
                saw_all(await reader.result(), stored)
