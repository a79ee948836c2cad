"""Transactional handlers: their writes and the checkpoint commit together, so every event counts exactly once."""

from __future__ import annotations

import asyncio
from typing import Any

from goes_lite.contract.backend import SQL, TRANSACTIONS
from goes_lite.database import Database
from goes_lite.errors import ProcessorStopped
from goes_lite.events.event import Event
from goes_lite.events.query import EventQuery
from goes_lite.processor import Retry
from goes_lite_conformance.backend.sql import notes_of
from goes_lite_conformance.harness.asserts import refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Moment, Place, until
from goes_lite_conformance.harness.samples import count, note, texts
from goes_lite_conformance.processor._given import NAME, Tally, at_once, bad, never, reached, stands, tallied
from goes_lite_conformance.rule import needs, only


class OnceRules(Contract):
    """Rules PR-ONCE."""

    @needs(TRANSACTIONS)
    async def test_they_commit_together(self, place: Place, db: Database) -> None:
        """PR-ONCE-001: What the handler writes and the checkpoint are stored together, never one before the other.

        Up to `batch` events share a commit; the handler's `on_commit` actions run after it.
        """
        seen: list[tuple[int, list[str]]] = []
        tally = Tally()

        async def look() -> None:
            seen.append((await stands(db), await tallied(db)))

        async def handle(event: Event[Any], tx: Any) -> None:
            await tally(event, tx)
            if event.data.text in "15":
                tx.on_commit(look)

        written = [str(n) for n in range(8)]
        positions = (await db.events.append([note(text) for text in written])).positions
        async with db.processor(NAME, handle, transactional=True, batch=4):
            await reached(place, db, positions[-1])
            await until(place, lambda: len(seen) == 2)
        assert seen == [(positions[3], written[:4]), (positions[7], written)]

    @needs(TRANSACTIONS)
    async def test_a_failure_in_the_middle_of_a_batch(self, place: Place, db: Database) -> None:
        """PR-ONCE-002: Events before a failing one count once, and nothing of the failed attempts is kept.

        Nor do their `on_commit` actions run.
        """
        committed: list[str] = []
        tally = Tally(lambda event: bad(event) and tally.calls.count(event.data.text) < 3)

        async def handle(event: Event[Any], tx: Any) -> None:
            text = event.data.text

            async def tell() -> None:
                committed.append(text)

            tx.on_commit(tell)
            await tally(event, tx)

        written = ["1", "2", "bad 3", "4", "bad 5", "bad 6", "7"]
        last = (await db.events.append([note(text) for text in written])).position
        async with db.processor(NAME, handle, transactional=True, retry=Retry(backoff=at_once)):
            await reached(place, db, last)
            await until(place, lambda: len(committed) >= len(written))
        assert await tallied(db) == written
        assert committed == written
        assert [tally.calls.count(text) for text in written if text.startswith("bad")] == [3, 3, 3]

    @needs(TRANSACTIONS)
    async def test_an_event_that_stops_it(self, place: Place, db: Database) -> None:
        """PR-ONCE-003: An event that stops the processor leaves nothing; those before it count, and are not repeated later."""
        tally = Tally(bad)
        positions = (await db.events.append([note("1"), note("2"), note("bad"), note("4")])).positions
        for _ in range(2):
            with refused(ProcessorStopped, processor=NAME, position=positions[2], attempts=2) as caught:
                await db.processor(NAME, tally, transactional=True, retry=Retry(2, backoff=at_once)).run()
            assert str(caught.value.__cause__) == "no bad"
            assert (await stands(db), await tallied(db)) == (positions[1], ["1", "2"])
        tally.fails = never
        async with db.processor(NAME, tally, transactional=True):
            await reached(place, db, positions[3])
        assert await tallied(db) == ["1", "2", "bad", "4"]

    @needs(TRANSACTIONS)
    async def test_whatever_it_writes(self, place: Place, db: Database) -> None:
        """PR-ONCE-004: Appended events, checkpoints of its own and the user's own SQL are stored once, too."""
        notes = await notes_of(place, db) if SQL in db.abilities else None
        tries: list[int] = []

        async def handle(event: Event[Any], tx: Any) -> None:
            number = event.data.number
            tries.append(number)
            await tx.events.append([note(f"of {number}")])
            await tx.checkpoints.save("own", number)
            if notes is not None:
                await tx.execute(notes.insert, (number, f"of {number}"))
            if tries.count(number) < 2:
                raise ValueError("once more")

        last = (await db.events.append([count(1), count(2)])).position
        options: dict[str, Any] = {"transactional": True, "query": EventQuery(["sample.counted"])}
        async with db.processor(NAME, handle, retry=Retry(backoff=at_once), **options):
            await reached(place, db, last)
        assert await texts(db, EventQuery(["sample.noted"])) == ["of 1", "of 2"]
        assert await stands(db, "own") == 2
        assert notes is None or await notes.texts() == ["of 1", "of 2"]

    @needs(TRANSACTIONS)
    async def test_lists_in_a_transaction(self, place: Place, db: Database) -> None:
        """PR-ONCE-005: With `batched`, each list of events has one transaction; a list that fails leaves nothing."""
        tally = Tally(lambda event: event.data.text == "2" and tally.calls.count("2") < 3)

        async def handle(events: list[Event[Any]], tx: Any) -> None:
            for event in events:
                await tally(event, tx)

        texts = [str(n) for n in range(5)]
        last = (await db.events.append([note(text) for text in texts])).position
        options: dict[str, Any] = {"batched": True, "transactional": True, "batch": 4}
        async with db.processor(NAME, handle, retry=Retry(backoff=at_once), **options):
            await reached(place, db, last)
        assert await tallied(db) == texts

    @only("async")
    @needs(TRANSACTIONS)
    async def test_cancelled_in_the_middle(self, place: Place, db: Database) -> None:
        """PR-ONCE-006: Cancelling `run` while a batch is handled leaves nothing of it, releases the lease, and loses no event."""
        entered, tally = Moment(place), Tally()

        async def handle(event: Event[Any], tx: Any) -> None:
            await tally(event, tx)
            if event.data.text == "2":
                entered.come()
                await asyncio.Event().wait()

        last = (await db.events.append([note("1"), note("2"), note("3")])).position
        processor = db.processor(NAME, handle, transactional=True)
        running = place.alongside(processor.run())
        await entered.wait()
        running.cancel()
        assert type(await running.outcome()) is asyncio.CancelledError
        assert (await tallied(db), await stands(db), await db.leases.get(NAME)) == ([], 0, None)
        assert (await processor.stats()).state == "stopped"
        async with db.processor(NAME, tally, transactional=True):
            await reached(place, db, last)
        assert await tallied(db) == ["1", "2", "3"]
