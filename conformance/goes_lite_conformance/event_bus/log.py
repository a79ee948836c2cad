"""The bus and the log: committed events are published, never before the commit; and earlier events can be replayed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from goes_lite.contract.backend import TRANSACTIONS, Backend
from goes_lite.contract.event_bus import REPLAY
from goes_lite.database import Database
from goes_lite.errors import AbilityMissing, ConcurrencyError, ConfigError, InvalidQueryError
from goes_lite.events.event import Event
from goes_lite_conformance.event_bus._given import RecordingHandler, take, take_texts
from goes_lite_conformance.harness.asserts import each_refused, refused, same
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.samples import NOON, A, B, Closed, Counted, count, note, registry, story
from goes_lite_conformance.rule import needs, only


class LogRules(Contract):
    """Rules EB-LOG and EB-START."""

    # --- committed events are published -------------------------------------------------------------------------------

    async def test_what_is_appended_is_published(self, db: Backend) -> None:
        """EB-LOG-001: An event that is appended to the store is published, with every field and its position."""
        subscription = db.bus.subscribe()
        events = [note("x", tags=["k:v"], metadata={"actor": "ann"}, time=NOON), *story(A, 2)]
        appended = await db.events.append(events)
        published = [delivery.event for delivery in await take(subscription, 3)]
        same(published, events)
        assert tuple(event.position for event in published) == appended.positions

    async def test_appending_does_not_wait_for_subscribers(self, db: Backend) -> None:
        """EB-LOG-002: An append never waits for a subscriber, however full it is, nor fails because of one."""
        full = db.bus.subscribe(capacity=1, max_pending=1)
        for number in range(30):
            await db.events.append([note(str(number))])
        (first,) = await take(full, 1, ack=False)
        assert first.event.data.text == "0"
        await full.close()

    async def test_the_order_is_that_of_the_log(self, place: Place, db: Backend) -> None:
        """EB-LOG-003: Events are published in the order of their positions, even with concurrent appends."""
        subscription = db.bus.subscribe()
        await place.together(*(db.events.append([note(f"{n}-1"), note(f"{n}-2")]) for n in range(20)))
        positions = [delivery.event.position for delivery in await take(subscription, 40)]
        assert positions == [event.position for event in await db.events.query().list()]

    async def test_what_is_refused_is_not_published(self, db: Backend) -> None:
        """EB-LOG-004: A refused append is not published, and a repeated one is not published again."""
        subscription = db.bus.subscribe()
        events = [note("1", A, 1)]
        await db.events.append(events)
        with refused(ConcurrencyError):
            await db.events.append([note("refused"), note("late", A, 1)])
        await db.events.append(events)
        await db.events.append([note("2", A, 2)])
        assert await take_texts(subscription, 2) == ["1", "2"]

    @needs(TRANSACTIONS)
    async def test_a_transaction_is_published_after_its_commit(self, db: Backend) -> None:
        """EB-LOG-005: The appends of a transaction are published after its commit, all of them, in order."""
        subscription = db.bus.subscribe()
        async with db.transaction() as tx:
            await tx.events.append([note("1"), note("2")])
            await tx.events.append([note("3")])
            await db.bus.publish([note("not yet")])
        await db.events.append([note("4")])
        assert await take_texts(subscription, 5) == ["not yet", "1", "2", "3", "4"]

    @needs(TRANSACTIONS)
    async def test_what_is_rolled_back_is_not_published(self, db: Backend) -> None:
        """EB-LOG-006: What is rolled back is not published, with its transaction or alone."""
        subscription = db.bus.subscribe()
        with pytest.raises(ZeroDivisionError):
            async with db.transaction() as tx:
                await tx.events.append([note("rolled back", A, 1)])
                raise ZeroDivisionError
        async with db.transaction() as tx:
            with refused(ConcurrencyError):
                await tx.events.append([note("refused", A, 5)])
            await tx.events.append([note("1", A, 1)])
        assert await take_texts(subscription, 1) == ["1"]

    async def test_what_is_published_can_be_read(self, place: Place, db: Backend) -> None:
        """EB-LOG-007: A subscriber finds a published event in the store, even while the append is still in progress."""
        subscription = db.bus.subscribe()

        async def listen() -> list[tuple[bool, bool]]:
            found: list[tuple[bool, bool]] = []
            for _ in range(20):
                (delivery,) = await take(subscription, 1)
                event = delivery.event
                found.append((await db.events.find(event.id) == event, await db.events.head() >= event.position))
            return found

        listening = place.alongside(listen())
        for version in range(20):
            await db.events.append(story(A, 1, after=version))
        assert await listening.result() == [(True, True)] * 20

    async def test_names_hold_for_what_is_appended(self, db: Backend) -> None:
        """EB-LOG-008: A subscription receives the appended events that its names cover."""
        subscription = db.bus.subscribe(["sample.counted"])
        await db.events.append([note("1"), count(2), note("3"), count(4)])
        assert [delivery.event.data.number for delivery in await take(subscription, 2)] == [2, 4]

    async def test_a_full_subscriber_catches_up(self, place: Place, db: Backend) -> None:
        """EB-LOG-009: A subscriber that is too full for appended events receives all of them later, once and in order.

        Only a bus without the ability "replay" may turn events without room into dead letters.
        """
        full, free = db.bus.subscribe(capacity=2, max_pending=1), db.bus.subscribe()
        expected = [str(n) for n in range(100)]
        for number in range(0, 100, 5):
            await db.events.append([note(text) for text in expected[number : number + 5]])
        assert await take_texts(free, 100) == expected
        letters = await db.bus.dead_letters()
        assert not letters or (REPLAY not in place.abilities and {letter.attempts for letter in letters} == {0})
        got = await take_texts(full, 100 - len(letters))
        assert got + [letter.event.data.text for letter in letters] == expected
        await db.events.append([note("live")])
        assert await take_texts(full, 1) == ["live"]

    @only("async")
    async def test_a_bus_says_which_log_it_publishes(self, place: Place, db: Database) -> None:
        """EB-LOG-010: `log` is the store whose commits the bus publishes by itself, else None; a relay of it is refused."""
        if place.hook.bus(place.storage) is not None:
            assert db.bus.log is None
            return
        assert db.bus.log is not None
        appended = await db.events.append([note("1")])
        assert await db.bus.log.head() == appended.position
        with refused(ConfigError):
            db.relay(db.bus)

    # --- where a subscription starts ----------------------------------------------------------------------------------

    @needs(REPLAY)
    async def test_from_the_beginning(self, db: Backend) -> None:
        """EB-START-001: A subscription from the beginning receives stored events, then appended ones, each once."""
        await db.events.append([note("1"), count(0), note("2")])
        subscription = db.bus.subscribe(["sample.noted"], start="beginning")
        await db.events.append([note("3")])
        assert await take_texts(subscription, 3) == ["1", "2", "3"]
        await db.events.append([note("4")])
        assert await take_texts(subscription, 1) == ["4"]

    @needs(REPLAY)
    async def test_from_a_position(self, db: Backend) -> None:
        """EB-START-002: A subscription from a position receives what follows it: from 0 everything, from the head nothing."""
        positions = [(await db.events.append([note(str(n))])).position for n in range(5)]
        expected = {0: "012345", positions[0]: "12345", positions[2]: "345", positions[4]: "5"}
        subscriptions = {start: db.bus.subscribe(start=start) for start in expected}
        await db.events.append([note("5")])
        for start, subscription in subscriptions.items():
            assert await take_texts(subscription, len(expected[start])) == [*expected[start]]

    @needs(REPLAY)
    async def test_from_a_time(self, db: Backend) -> None:
        """EB-START-003: A subscription from a time receives the events whose own time is not before it, in log order.

        Stored or appended later: clocks differ, so an event that is appended later may still have an earlier time.
        """
        minutes = [3, 0, 2, 1]
        await db.events.append([note(str(m), time=NOON + timedelta(minutes=m)) for m in minutes])
        subscription = db.bus.subscribe(start=NOON + timedelta(minutes=1))
        await db.events.append([note("0", time=NOON), note("4", time=NOON + timedelta(minutes=4))])
        assert await take_texts(subscription, 4) == ["3", "2", "1", "4"]

    @needs(REPLAY)
    async def test_replay_meets_the_present(self, place: Place, db: Backend) -> None:
        """EB-START-004: Between stored events and concurrent appends nothing is missed, and nothing arrives twice."""
        await db.events.append([note(str(n)) for n in range(100)])

        async def append() -> None:
            for number in range(100, 150):
                await db.events.append([note(str(number))])

        appending = place.alongside(append())
        subscription = db.bus.subscribe(start="beginning", capacity=8)
        assert await take_texts(subscription, 150) == [str(n) for n in range(150)]
        await appending.result()

    @needs(REPLAY)
    async def test_the_first_member_decides_where_a_group_begins(self, db: Backend) -> None:
        """EB-START-005: A group starts where its first member says; the start of later members is ignored."""
        await db.events.append([note("1"), note("2")])
        first = db.bus.subscribe(group="g", start="beginning")
        assert await take_texts(first, 1) == ["1"]
        await first.close()
        second = db.bus.subscribe(group="g", start="beginning")
        assert await take_texts(second, 1) == ["2"]
        await db.events.append([note("3", B, 1)])
        assert await take_texts(second, 1) == ["3"]

    async def test_another_start_needs_a_log(self, place: Place, db: Backend) -> None:
        """EB-START-006: Without the ability "replay", any start but "now" raises AbilityMissing; with it, every start works."""
        starts: list[Any] = ["beginning", "last", 0, NOON]
        for start in starts:
            if REPLAY in place.abilities:
                await db.bus.subscribe(start=start).close()
            else:
                with refused(AbilityMissing, ability=REPLAY):
                    db.bus.subscribe(start=start)

    async def test_a_wrong_start_is_refused(self, db: Backend) -> None:
        """EB-START-007: An invalid start raises InvalidQueryError."""
        wrong: list[Any] = ["then", -1, 1.5, None, NOON.replace(tzinfo=None), True]

        def subscribing(start: Any) -> Any:
            async def call() -> None:
                db.bus.subscribe(start=start)

            return call

        await each_refused(InvalidQueryError, {repr(start): subscribing(start) for start in wrong})

    @needs(REPLAY)
    async def test_from_the_last(self, db: Backend) -> None:
        """EB-START-009: A subscription with `start="last"` begins with the last event that it covers, if there is one.

        That is the last one when it begins; what follows arrives once. The same holds for a group, ordered or not.
        """
        witness = db.bus.subscribe()
        await db.events.append([note("1", A, 1), note("2", B, 1), note("3", A, 2), count(0), count(1)])
        await take(witness, 5)
        notes = db.bus.subscribe(["sample.noted"], start="last")
        pattern = db.bus.subscribe(["other.*", "sample.noted"], start="last", group="p")
        ordered = db.bus.subscribe(["sample.noted"], start="last", group="o", ordered_by="aggregate")
        nothing = db.bus.subscribe(["other.closed"], start="last")
        await db.events.append([note("4", A, 3), count(2)])
        for subscription in (notes, pattern, ordered):
            assert await take_texts(subscription, 2) == ["3", "4"]
        await take(witness, 2)
        everything = db.bus.subscribe(start="last", group="e")
        delivery = await anext(everything)
        assert delivery.event.data == Counted(2)
        await delivery.ack()
        closed = Event(Closed(), registry=registry)
        await db.events.append([note("5"), closed])
        for subscription in (notes, pattern, ordered, everything):
            assert await take_texts(subscription, 1) == ["5"]
        assert (await anext(nothing)).event.id == closed.id

    @needs(REPLAY)
    async def test_a_handler_from_the_beginning(self, place: Place, db: Backend) -> None:
        """EB-START-008: A handler starts where it says, too."""
        await db.events.append([note("1"), note("2")])
        recorder = RecordingHandler(place)
        handling = db.bus.handle(["*"], recorder, start="beginning")
        await db.events.append([note("3")])
        assert await recorder.after_done(3) == ["1", "2", "3"]
        await handling.stop()
