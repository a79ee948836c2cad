"""A processor at work: which events its handler gets, how it is run, and how it is stopped."""

from __future__ import annotations

from typing import Any

from goes_lite.database import Database
from goes_lite.errors import ConfigError
from goes_lite.events.event import Event
from goes_lite.processor import Retry
from goes_lite_conformance.harness.asserts import refused, same
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Moment, Place, until
from goes_lite_conformance.harness.samples import A, B, count, note, story
from goes_lite_conformance.processor._given import NAME, Ear, Held, bad, becomes, others_turn, reached, stands
from goes_lite_conformance.rule import only


class RunRules(Contract):
    """Rules PR-RUN."""

    async def test_events_are_handled_in_order(self, place: Place, db: Database) -> None:
        """PR-RUN-001: The handler gets every event once, as stored, in position order, and new ones as they are committed."""
        got: list[Event[Any]] = []
        await db.events.append([*story(A, 3), note("loose", tags=["k:v"], metadata={"actor": "ann"}), *story(B, 2)])
        async with db.processor(NAME, got.append):
            await until(place, lambda: len(got) == 6)
            for number in range(7, 10):
                await others_turn(place, db)
                await db.events.append([count(number)])
                await until(place, lambda: len(got) == number)  # noqa: B023  called at once
        stored = await db.events.query().list()
        same(got, stored)
        assert [event.position for event in got] == [event.position for event in stored]

    async def test_one_event_after_the_other(self, place: Place, db: Database) -> None:
        """PR-RUN-002: A handler may be a coroutine function; the next event follows when it has returned."""
        held = Held(place)
        await db.events.append([note("1"), note("2")])
        async with db.processor(NAME, held):
            await held.entered.wait()
            await others_turn(place, db)
            assert (held.calls, held.left) == (["1"], [])
            held.let.come()
            await until(place, lambda: held.left == ["1", "2"])

    async def test_batches(self, place: Place, db: Database) -> None:
        """PR-RUN-003: With `batched`, the handler is called with lists of at most `batch` events: all events, in order."""
        batches: list[list[str]] = []

        def handle(events: list[Event[Any]]) -> None:
            batches.append([event.data.text for event in events])

        last = (await db.events.append([note(str(n)) for n in range(10)])).position
        async with db.processor(NAME, handle, batched=True, batch=4):
            await reached(place, db, last)
        assert max(map(len, batches)) <= 4
        assert all(batches)
        assert [text for batch in batches for text in batch] == [str(n) for n in range(10)]

    async def test_a_handler_appends(self, place: Place, db: Database) -> None:
        """PR-RUN-004: A handler may read and append: the events that it appends are handled in turn."""
        got: list[str] = []

        async def handle(event: Event[Any]) -> None:
            got.append(event.data.text)
            if len(event.data.text) < 3:
                number = await db.events.count()
                await db.events.append([note(f"{event.data.text}{number}")])

        await db.events.append([note("a"), note("b")])
        async with db.processor(NAME, handle):
            await until(place, lambda: len(got) == 6)
        assert got == ["a", "b", "a2", "b3", "a24", "b35"]

    async def test_names_are_independent(self, place: Place, db: Database) -> None:
        """PR-RUN-005: Processors with different names each handle the whole log; one that blocks or fails stops no other."""
        held, failing, good, longer = Held(place), Ear(bad), Ear(), Ear()
        last = (await db.events.append([note("1"), note("bad"), note("2")])).position
        async with db.processor("held", held), db.processor("failing", failing, retry=Retry(1)):
            async with db.processor(NAME, good), db.processor(f"{NAME}2", longer):
                await reached(place, db, last)
                await reached(place, db, last, f"{NAME}2")
            await until(place, lambda: failing.calls == ["1", "bad"])
            held.let.come()
            await reached(place, db, last, "held")
        assert good.done == longer.done == held.left == ["1", "bad", "2"]

    async def test_an_aggregate_is_deleted_meanwhile(self, place: Place, db: Database) -> None:
        """PR-RUN-006: Deleting aggregates meanwhile, even the last events, stops nothing and hides no other event."""
        held = Held(place)
        await db.events.append([note("first"), *story(A, 3), *story(B, 2), *story(A, 2, after=3)])
        processor = db.processor(NAME, held)
        async with processor:
            await held.entered.wait()
            await db.events.delete(A)
            held.let.come()
            await reached(place, db, await db.events.head())
        await db.events.delete(B)
        async with processor:
            await reached(place, db, (await db.events.append([note("last")])).position)
        # an event that was read before its deletion may still be handled
        assert [text for text in held.left if text[:2] != "a-"] == ["first", "b-1", "b-2", "last"]

    # --- the end ----------------------------------------------------------------------------------------------------------

    async def test_run_ends_when_it_is_stopped(self, place: Place, db: Database) -> None:
        """PR-RUN-007: `run` works until `stop` is called from elsewhere, and then returns."""
        ear = Ear()
        processor = db.processor(NAME, ear)
        running = place.alongside(processor.run())
        last = (await db.events.append([note("1")])).position
        await reached(place, db, last)
        assert not running.ended
        await processor.stop()
        assert await running.result() is None
        await db.events.append([note("2")])
        assert (ear.done, (await processor.stats()).state) == (["1"], "stopped")

    async def test_stop_lets_the_current_event_finish(self, place: Place, db: Database) -> None:
        """PR-RUN-008: Stopping waits for the event being handled and saves its checkpoint, and handles no further one."""
        held = Held(place)
        first = (await db.events.append([note("1")])).position
        await db.events.append([note("2"), note("3")])
        async with db.processor(NAME, held) as processor:
            await held.entered.wait()
            stopping = place.alongside(processor.stop())
            assert not stopping.ended
            held.let.come()
            await stopping.result()
            assert (held.left, await stands(db)) == (["1"], first)

    async def test_stopping_and_starting_again(self, place: Place, db: Database) -> None:
        """PR-RUN-009: Stopping a stopped processor does nothing, and a stopped one can be run or started again."""
        ear = Ear()
        processor = db.processor(NAME, ear)
        await processor.stop()
        for number, text in enumerate(("1", "2", "3")):
            last = (await db.events.append([note(text)])).position
            if number == 1:
                running = place.alongside(processor.run())
                await reached(place, db, last)
                await processor.stop()
                await running.result()
            else:
                processor.start()
                await reached(place, db, last)
                await processor.stop()
            await processor.stop()
        assert ear.done == ["1", "2", "3"]

    async def test_a_running_one_is_not_run_again(self, place: Place, db: Database) -> None:
        """PR-RUN-010: Running or starting a processor that is already running raises ConfigError, and it continues."""
        ear = Ear()
        processor = db.processor(NAME, ear)
        processor.start()
        with refused(ConfigError):
            processor.start()
        with refused(ConfigError):
            await processor.run()
        await processor.stop()
        running = place.alongside(processor.run())
        await becomes(place, processor, "active")
        with refused(ConfigError):
            processor.start()
        with refused(ConfigError):
            await processor.run()
        last = (await db.events.append([note("1")])).position
        await reached(place, db, last)
        await processor.stop()
        await running.result()
        assert ear.calls == ["1"]

    @only("async")
    async def test_stop_cancels_what_takes_too_long(self, place: Place, db: Database) -> None:
        """PR-RUN-011: A handler that awaits longer than `stop(timeout)` is cancelled; its event is handled later."""
        held, ear = Held(place), Ear()
        await db.events.append([note("1")])
        processor = db.processor(NAME, held)
        processor.start()
        await held.entered.wait()
        await processor.stop(0.01)
        assert ((await processor.stats()).state, held.left, await db.leases.get(NAME)) == ("stopped", [], None)
        async with db.processor(NAME, ear):
            await until(place, lambda: ear.done == ["1"])

    @only("blocking", "loop")
    async def test_stop_leaves_what_blocks(self, place: Place, db: Database) -> None:
        """PR-RUN-012: A handler that blocks for longer than `stop(timeout)` is abandoned, and gets no further event."""
        held = Held(place)
        await db.events.append([note("1"), note("2")])
        processor = db.processor(NAME, held)
        processor.start()
        await held.entered.wait()
        await processor.stop(0.01)
        assert held.left == []
        held.let.come()
        await until(place, lambda: held.left == ["1"])
        await processor.stop()
        assert held.calls == ["1"]

    async def test_a_handler_stops_its_processor(self, place: Place, db: Database) -> None:
        """PR-RUN-013: A handler may stop its own processor: its event is settled when it returns, and it gets no other."""
        done, stopped = list[str](), Moment(place)

        async def handle(event: Event[Any]) -> None:
            await processor.stop()
            done.append(event.data.text)
            stopped.come()

        first = (await db.events.append([note("1")])).position
        await db.events.append([note("2")])
        processor = db.processor(NAME, handle)
        processor.start()
        await stopped.wait()
        await processor.stop()
        assert (done, await stands(db)) == (["1"], first)
