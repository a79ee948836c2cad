"""Groups: their members share the events, and together miss none."""

from __future__ import annotations

import gc
from collections import Counter
from typing import Any

from goes_lite.contract.backend import Backend
from goes_lite.contract.event_bus import REPLAY, Subscription
from goes_lite.errors import BusError, ConfigError
from goes_lite_conformance.event_bus._given import take, take_texts
from goes_lite_conformance.harness.asserts import refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place, pause, until
from goes_lite_conformance.harness.samples import A, B, count, note, story
from goes_lite_conformance.rule import needs


class GroupRules(Contract):
    """Rules EB-GROUP."""

    async def test_one_member_gets_an_event(self, place: Place, db: Backend) -> None:
        """EB-GROUP-001: Each event goes to exactly one member of a group, however many of them iterate at the same time."""
        got: list[str] = []
        members = [db.bus.subscribe(group="g", max_pending=2) for _ in range(3)]

        async def work(member: Subscription) -> None:
            async for delivery in member:
                got.append(delivery.event.data.text)
                await delivery.ack()

        working = [place.alongside(work(member)) for member in members]
        await db.bus.publish([note(str(n)) for n in range(60)])
        await until(place, lambda: len(got) >= 60)
        for member in members:
            await member.close()
        for one in working:
            await one.result()
        assert Counter(got) == Counter(str(n) for n in range(60))

    async def test_every_group_gets_an_event(self, db: Backend) -> None:
        """EB-GROUP-002: Each group receives every event, and so does each subscription without a group."""
        subscriptions = [db.bus.subscribe(group="g"), db.bus.subscribe(group="h"), db.bus.subscribe()]
        await db.bus.publish([note("1"), note("2")])
        for subscription in subscriptions:
            assert await take_texts(subscription, 2) == ["1", "2"]

    @needs(REPLAY)
    async def test_a_group_outlives_its_members(self, db: Backend) -> None:
        """EB-GROUP-003: A group without members still collects events, and its next member receives them."""
        first = db.bus.subscribe(group="g")
        await db.bus.publish([note("1"), note("2")])
        assert await take_texts(first, 1) == ["1"]
        await first.close()
        await db.bus.publish([note("3")])
        second = db.bus.subscribe(group="g")
        await db.bus.publish([note("4")])
        assert await take_texts(second, 3) == ["2", "3", "4"]

    async def test_what_a_member_leaves_goes_to_another(self, db: Backend) -> None:
        """EB-GROUP-004: The unsettled events of a member that is closed go to another, as the next attempt."""
        leaving = db.bus.subscribe(group="g")
        await db.bus.publish([note("1"), note("2"), note("3")])
        first, second = await take(leaving, 2, ack=False)
        await second.ack()
        staying = db.bus.subscribe(group="g")
        await leaving.close()
        again, fresh = await take(staying, 2)
        assert (again.event.data.text, again.attempt, again.redelivered) == ("1", 2, True)
        assert (fresh.event.data.text, fresh.attempt, fresh.redelivered) == ("3", 1, False)
        assert first.event == again.event

    async def test_what_a_member_leaves_waits_for_the_next(self, db: Backend) -> None:
        """EB-GROUP-005: Without another member, unsettled events go to the next one that joins."""
        leaving = db.bus.subscribe(group="g")
        await db.bus.publish([note("1")])
        await take(leaving, 1, ack=False)
        await leaving.close()
        (again,) = await take(db.bus.subscribe(group="g"), 1)
        assert (again.event.data.text, again.attempt, again.redelivered) == ("1", 2, True)

    async def test_a_nak_goes_to_any_member(self, db: Backend) -> None:
        """EB-GROUP-006: An event that one member nakked may go to another; attempts are counted over all members."""
        busy, free = db.bus.subscribe(group="g", max_pending=1), db.bus.subscribe(group="g", max_pending=1)
        await db.bus.publish([note("1"), note("2")])
        (first,) = await take(busy, 1, ack=False)
        (second,) = await take(free, 1, ack=False)
        await first.nak()
        await second.ack()
        (again,) = await take(free, 1)
        assert (again.event.data.text, again.attempt) == (first.event.data.text, 2)

    async def test_members_share_their_names(self, db: Backend) -> None:
        """EB-GROUP-007: The first member decides the names: joining with other names raises BusError."""
        member = db.bus.subscribe(["sample.*"], group="g")
        wrong: list[Any] = [["sample.noted"], ["*"], ["sample.*", "other.closed"]]
        for names in wrong:
            with refused(BusError):
                db.bus.subscribe(names, group="g")
        other = db.bus.subscribe(["sample.*", "sample.noted"], group="g")  # covers the same
        await other.close()
        await db.bus.publish([note("1"), count(2)])
        assert [delivery.event.name for delivery in await take(member, 2)] == ["sample.noted", "sample.counted"]

    async def test_a_slow_member_keeps_only_what_it_has(self, db: Backend) -> None:
        """EB-GROUP-008: A member that settles nothing keeps what it has, and the other members receive the rest."""
        slow, quick = db.bus.subscribe(group="g", max_pending=1), db.bus.subscribe(group="g")
        await db.bus.publish([note("0")])
        (held,) = await take(slow, 1, ack=False)
        await db.bus.publish([note(str(n)) for n in range(1, 20)])
        assert await take_texts(quick, 19) == [str(n) for n in range(1, 20)]
        await held.ack()

    async def test_a_group_of_its_own_name(self, db: Backend) -> None:
        """EB-GROUP-009: A group name is any text: names that differ in case or in a dot are different groups."""
        names = ["g", "G", "g.", "g.*", "é", "e\u0301", "a group with spaces"]
        subscriptions = [db.bus.subscribe(group=name) for name in names]
        await db.bus.publish([note("1")])
        for subscription in subscriptions:
            assert await take_texts(subscription, 1) == ["1"]

    async def test_what_an_abandoned_member_has_goes_to_another(self, place: Place, db: Backend) -> None:
        """EB-GROUP-010: A member that is garbage collected, with its deliveries, counts as closed."""
        abandoned, staying = db.bus.subscribe(group="g"), db.bus.subscribe(group="g")
        await db.bus.publish([note("1")])
        deliveries = await take(abandoned, 1, ack=False)
        waiting = place.alongside(take(staying, 1))
        del abandoned
        deliveries.clear()
        gc.collect()
        (again,) = await waiting.result()
        assert (again.event.data.text, again.attempt, again.redelivered) == ("1", 2, True)

    async def test_a_member_that_waits_is_woken(self, place: Place, db: Backend) -> None:
        """EB-GROUP-011: A member that waits receives what another member leaves."""
        one, other = db.bus.subscribe(group="g", max_pending=1), db.bus.subscribe(group="g")
        await db.bus.publish([note("1")])
        (first,) = await take(one, 1, ack=False)
        waiting = place.alongside(take(other, 1, ack=False))
        await db.bus.dead_letters()  # lets it start
        closing = place.alongside(one.close())
        (again,) = await waiting.result()
        await closing.result()
        assert (again.event, again.attempt) == (first.event, 2)
        await again.ack()

    @needs(REPLAY)
    async def test_members_come_and_go(self, place: Place, db: Backend) -> None:
        """EB-GROUP-012: However members join, leave something unsettled and close, each event is acknowledged once (G9)."""
        await db.bus.subscribe(group="g").close()
        await db.bus.publish([note(str(n)) for n in range(100)])
        done: list[str] = []

        async def work() -> None:
            while True:
                async with db.bus.subscribe(group="g", max_pending=2) as member:
                    for turn in range(5):
                        delivery = await anext(member)
                        if delivery.event.data.text == "end":
                            return  # and leave it to the next member
                        if turn < 4:
                            await delivery.ack()
                            done.append(delivery.event.data.text)

        working = [place.alongside(work()) for _ in range(3)]
        await until(place, lambda: len(done) >= 100)
        await db.bus.publish([note("end")])
        for one in working:
            await one.result()
        assert Counter(done) == Counter(str(n) for n in range(100))

    @needs(REPLAY)
    async def test_an_ordered_group(self, place: Place, db: Backend) -> None:
        """EB-GROUP-013: With `ordered_by="aggregate"`, one event of an aggregate is in flight at a time, over all members."""
        members = [db.bus.subscribe(group="g", ordered_by="aggregate", max_pending=4) for _ in range(2)]
        await db.bus.publish([event for pair in zip(story(A, 12), story(B, 12), strict=True) for event in pair])
        done: list[str] = []
        out: list[Any] = []
        together: list[str] = []

        async def work(member: Subscription) -> None:
            async for delivery in member:
                text, aggregate = delivery.event.data.text, delivery.event.aggregate
                together.extend([text] if aggregate in out else [])
                out.append(aggregate)
                await pause(place)
                out.remove(aggregate)
                if text in ("a-2", "b-7") and delivery.attempt < 3:
                    await delivery.nak(0.02)
                else:
                    done.append(text)
                    await delivery.ack()

        working = [place.alongside(work(member)) for member in members]
        await until(place, lambda: len(done) >= 24)
        for member in members:
            await member.close()
        for one in working:
            await one.result()
        assert not together
        for name in "ab":
            assert [text for text in done if text[0] == name] == [f"{name}-{version}" for version in range(1, 13)]

    @needs(REPLAY)
    async def test_members_share_their_order(self, db: Backend) -> None:
        """EB-GROUP-014: The first member decides `ordered_by`, too; without a group, or with another value, it is an error."""
        first = db.bus.subscribe(group="g", ordered_by="aggregate")
        second = db.bus.subscribe(group="h")
        with refused(BusError):
            db.bus.subscribe(group="g")
        with refused(BusError):
            db.bus.subscribe(group="h", ordered_by="aggregate")
        wrong: list[dict[str, Any]] = [{"ordered_by": "aggregate"}, {"ordered_by": "name", "group": "i"}]
        for options in wrong:
            with refused(ConfigError):
                db.bus.subscribe(**options)
        await first.close()
        await second.close()

    async def test_a_group_can_be_reset(self, db: Backend) -> None:
        """EB-GROUP-015: After a reset, the next member starts the group again, with its own names."""
        await db.bus.reset("g")
        first = db.bus.subscribe(["sample.*"], group="g")
        await db.bus.publish([note("1"), note("2")])
        assert await take_texts(first, 1) == ["1"]
        with refused(BusError):
            await db.bus.reset("g")
        await first.close()
        await db.bus.reset("g")
        second = db.bus.subscribe(["sample.noted"], group="g")
        await db.bus.publish([note("3")])
        assert await take_texts(second, 1) == ["3"]
