"""Exceptions of the handler: retries, and how they stop the processor. For parking see `dead_letters`."""

from __future__ import annotations

import asyncio
from typing import Any

from goes_lite.database import Database
from goes_lite.errors import ProcessorStopped, StoreFull
from goes_lite.events.event import Event
from goes_lite.processor import Retry
from goes_lite_conformance.harness.asserts import refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place, until
from goes_lite_conformance.harness.samples import note
from goes_lite_conformance.processor._given import LONG, NAME, Ear, at_once, bad, becomes, never, reached, stands
from goes_lite_conformance.rule import only


class RetryRules(Contract):
    """Rules PR-RETRY."""

    async def test_it_is_retried(self, place: Place, db: Database) -> None:
        """PR-RETRY-001: An event on which the handler raises is retried until it succeeds; later events wait."""
        ear = Ear(lambda event: event.data.text == "2" and ear.calls.count("2") < 4)
        last = (await db.events.append([note("1"), note("2"), note("3")])).position
        async with db.processor(NAME, ear, retry=Retry(backoff=at_once)) as processor:
            await reached(place, db, last)
            assert (await processor.stats()).state == "active"
        assert ear.calls == ["1", "2", "2", "2", "2", "3"]

    async def test_the_backoff_is_asked_for_each_attempt(self, place: Place, db: Database) -> None:
        """PR-RETRY-002: The wait is what `backoff` returns for the failed attempt: 1, 2, 3, … of each event."""
        asked: list[int] = []

        def backoff(attempt: int) -> float:
            asked.append(attempt)
            return 0.001

        ear = Ear(lambda event: ear.calls.count(event.data.text) < 4)
        last = (await db.events.append([note("1"), note("2")])).position
        async with db.processor(NAME, ear, retry=Retry(backoff=backoff)):
            await reached(place, db, last)
        assert asked == [1, 2, 3, 1, 2, 3]

    async def test_the_last_attempt_stops_it(self, place: Place, db: Database) -> None:
        """PR-RETRY-003: After `attempts` failures, `run` raises ProcessorStopped, which names the event.

        The last exception of the handler is its cause. The lease is released.
        """
        ear = Ear(bad)
        positions = (await db.events.append([note("1"), note("bad"), note("2")])).positions
        processor = db.processor(NAME, ear, retry=Retry(3, backoff=at_once))
        with refused(
            ProcessorStopped, processor=NAME, position=positions[1], name="sample.noted", attempts=3
        ) as caught:
            await processor.run()
        assert (type(caught.value.__cause__), str(caught.value.__cause__)) == (ValueError, "no bad")
        assert ear.calls == ["1", "bad", "bad", "bad"]
        assert await stands(db) == positions[0]
        stats = await processor.stats()
        assert (stats.state, stats.error, stats.owner) == ("failed", caught.value, None)

    async def test_it_begins_with_that_event_again(self, place: Place, db: Database) -> None:
        """PR-RETRY-004: The next run begins with the event that stopped the processor; earlier events are not repeated."""
        for batch, name in ((1, "single"), (10, "many")):
            ear = Ear(bad)
            positions = (await db.events.append([note(f"{name} 1"), note("bad"), note(f"{name} 2")])).positions
            options: dict[str, Any] = {"batch": batch, "retry": Retry(1), "start": positions[0] - 1}
            for _ in range(2):
                with refused(ProcessorStopped):
                    await db.processor(name, ear, **options).run()
            ear.fails = never
            async with db.processor(name, ear, **options):
                await reached(place, db, positions[2], name)
            assert ear.calls == [f"{name} 1", "bad", "bad", "bad", f"{name} 2"]

    async def test_what_ends_it_in_the_background(self, place: Place, db: Database) -> None:
        """PR-RETRY-005: The error that ends a started processor is in `error` and in its stats; stopping it raises nothing."""
        await db.events.append([note("bad")])
        async with db.processor(NAME, Ear(bad), retry=Retry(1)) as processor:
            await becomes(place, processor, "failed")
        error = processor.error
        assert type(error) is ProcessorStopped
        stats = await processor.stats()
        assert (stats.state, stats.error) == ("failed", error)

    async def test_stop_while_it_waits(self, place: Place, db: Database) -> None:
        """PR-RETRY-006: Stopping a processor that waits for a retry ends the wait; its event is handled later."""
        ear = Ear(bad)
        positions = (await db.events.append([note("1"), note("bad")])).positions
        async with db.processor(NAME, ear, retry=Retry(backoff=lambda _: LONG)) as processor:
            await until(place, lambda: "bad" in ear.calls)
            await processor.stop()
            assert (await processor.stats()).state == "stopped"
        assert (ear.calls, await stands(db)) == (["1", "bad"], positions[0])

    async def test_an_error_of_the_store_is_no_failure(self, place: Place, db: Database) -> None:
        """PR-RETRY-007: An error of the store does not count as the event's failure: it is retried beyond `attempts`."""
        tries: list[str] = []

        def handle(event: Event[Any]) -> None:
            tries.append(event.data.text)
            if len(tries) < 3:
                raise StoreFull(db.location)

        last = (await db.events.append([note("1")])).position
        async with db.processor(NAME, handle, retry=Retry(1, then="park")) as processor:
            await reached(place, db, last)
            assert await processor.parked() == []
        assert tries == ["1"] * 3

    async def test_a_batch_fails(self, place: Place, db: Database) -> None:
        """PR-RETRY-008: If a batched handler raises, its events are handled one by one, so only those that fail are retried."""
        batches: list[list[str]] = []

        def handle(events: list[Event[Any]]) -> None:
            batches.append([event.data.text for event in events])
            if any(map(bad, events)):
                raise ValueError("no")

        await db.events.append([note("1"), note("bad"), note("2")])
        last = (await db.events.append([note("3")])).position
        async with db.processor(NAME, handle, batched=True, retry=Retry(2, backoff=at_once, then="park")) as processor:
            await reached(place, db, last)
            assert len(await processor.parked()) == 1
        assert batches == [["1", "bad", "2", "3"], ["1"], ["bad"], ["bad"], ["2"], ["3"]]

    @only("async")
    async def test_a_stray_cancellation(self, place: Place, db: Database) -> None:
        """PR-RETRY-009: A CancelledError from something that a handler awaited counts as a failure of the handler."""
        calls: list[str] = []

        async def handle(event: Event[Any]) -> None:
            calls.append(event.data.text)
            if len(calls) == 1:
                task = asyncio.create_task(asyncio.sleep(LONG))
                task.cancel()
                await task

        last = (await db.events.append([note("1")])).position
        async with db.processor(NAME, handle, retry=Retry(backoff=at_once)):
            await reached(place, db, last)
        assert calls == ["1", "1"]
