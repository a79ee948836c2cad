"""Concurrent publishers: no subscriber misses anything, and the events of each publisher keep their order."""

from __future__ import annotations

from goes_lite.contract.backend import Backend
from goes_lite.contract.event_bus import REPLAY, Subscription
from goes_lite_conformance.concurrency._given import succeeded
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Moment, Place
from goes_lite_conformance.harness.samples import note
from goes_lite_conformance.rule import needs

PUBLISHERS = 8
EACH = 12
"""How many times each publishes, two events at a time."""


async def publish(db: Backend, number: int) -> None:
    for step in range(0, 2 * EACH, 2):
        await db.bus.publish([note(f"{number}:{step}"), note(f"{number}:{step + 1}")])


async def hear(subscription: Subscription, number: int) -> list[str]:
    """Return the texts of the next deliveries, acknowledging each."""
    heard: list[str] = []
    while len(heard) < number:
        delivery = await anext(subscription)
        heard.append(delivery.event.data.text)
        await delivery.ack()
    return heard


def in_order(heard: list[str], publishers: int) -> None:
    """Check that all events of each publisher were heard, in its order."""
    for number in range(publishers):
        steps = [int(text.partition(":")[2]) for text in heard if text.startswith(f"{number}:")]
        assert steps == list(range(2 * EACH)), f"of publisher {number}: {steps}"
    assert len(heard) == publishers * 2 * EACH


class PublisherRules(Contract):
    """Rules CC-BUS."""

    async def test_each_publisher_keeps_its_order(self, place: Place, db: Backend) -> None:
        """CC-BUS-001: However many publish at once, every subscriber gets every event once, those of each publisher in order."""
        publishers = PUBLISHERS * place.rounds
        async with db.bus.subscribe() as one, db.bus.subscribe(["sample.*"]) as two:
            listeners = [place.alongside(hear(each, publishers * 2 * EACH)) for each in (one, two)]
            succeeded(await place.together(*(publish(db, number) for number in range(publishers))))
            for listener in listeners:
                in_order(await listener.result(), publishers)

    @needs(REPLAY)
    async def test_full_subscribers_lose_nothing(self, place: Place, db: Backend) -> None:
        """CC-BUS-002: Subscribers with little capacity miss nothing: publishers wait for them, and none waits for ever."""
        publishers = PUBLISHERS * place.rounds
        async with db.bus.subscribe(capacity=2, max_pending=1) as one, db.bus.subscribe(capacity=3) as two:
            listeners = [place.alongside(hear(each, publishers * 2 * EACH)) for each in (one, two)]
            succeeded(await place.together(*(publish(db, number) for number in range(publishers))))
            for listener in listeners:
                in_order(await listener.result(), publishers)

    async def test_members_share_what_many_publish(self, place: Place, db: Backend) -> None:
        """CC-BUS-003: However many publish at once, each event goes to exactly one member of a group."""
        publishers = PUBLISHERS * place.rounds
        everything = publishers * 2 * EACH
        heard: list[str] = []
        all_heard = Moment(place)

        async def work(member: Subscription) -> None:
            async for delivery in member:
                heard.append(delivery.event.data.text)
                await delivery.ack()
                if len(heard) >= everything:
                    all_heard.come()

        members = [db.bus.subscribe(group="workers", max_pending=4) for _ in range(3)]
        workers = [place.alongside(work(member)) for member in members]
        succeeded(await place.together(*(publish(db, number) for number in range(publishers))))
        await all_heard.wait()
        for member in members:
            await member.close()
        for worker in workers:
            await worker.result()
        assert sorted(heard) == sorted(f"{n}:{step}" for n in range(publishers) for step in range(2 * EACH))

    async def test_what_many_append_is_heard_in_position_order(self, place: Place, db: Backend) -> None:
        """CC-BUS-004: However many append at once, a subscriber of the backend's bus gets their events in position order."""
        events = 4 * 16 * place.rounds

        async def listen(subscription: Subscription) -> list[int]:
            positions: list[int] = []
            while len(positions) < events:
                delivery = await anext(subscription)
                positions.append(delivery.event.position)
                await delivery.ack()
            return positions

        async def append(number: int) -> None:
            for _ in range(2):
                await db.events.append([note("x"), note(str(number))])

        async with db.bus.subscribe() as subscription:
            listener = place.alongside(listen(subscription))
            succeeded(await place.together(*(append(number) for number in range(16 * place.rounds))))
            assert await listener.result() == [event.position for event in await db.events.query().list()]
