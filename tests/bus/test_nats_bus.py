"""The bus over JetStream beyond the suite: other programs, other processes, unreadable messages, replay."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.errors import BusError, InvalidEventError
from tests import wrong_arguments_kit
from tests.bus import nats_kit
from tests.bus.nats_kit import Noted, World, note, registry

pytestmark = nats_kit.needs_nats


def soon(_: int) -> float:
    return 0.001


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(coroutine)


@asynccontextmanager
async def client(world: World) -> AsyncGenerator[Any]:
    """Another program, which knows NATS and nothing of goes_lite."""
    connect: Any = vars(import_module("nats"))["connect"]  # its types are incomplete
    connected = await connect(world.server)
    try:
        yield connected
    finally:
        await connected.close()


async def take(subscription: Any, number: int) -> list[Any]:
    found: list[Any] = []
    async with asyncio.timeout(nats_kit.PATIENCE):
        while len(found) < number:
            delivery = await anext(subscription)
            found.append(delivery.event)
            await delivery.ack()
    return found


# --- other programs ---------------------------------------------------------------------------------------------------


def test_another_program_reads_what_is_published(world: World) -> None:
    """A CloudEvent in JSON, under a subject derived from the name, with the id for de-duplication."""

    async def main() -> None:
        async with client(world) as other, world.open() as db:
            heard = await other.subscribe(f"{world.prefix}.events.>")
            for _ in range(2):  # the driver's first ping may overtake what it still has to write
                await other.flush()
            time = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=timezone.utc)
            event = goes.Event(
                Noted(7), aggregate=("thing", "a"), version=1, time=time, metadata={"actor": "ann"}, tags=["k:v"],
                registry=registry,
            )  # fmt: skip
            await db.bus.publish([event])
            message = await heard.next_msg(10)
            assert message.subject.endswith(".thing.noted")
            assert message.headers["Nats-Msg-Id"] == str(event.id)
            said = json.loads(message.data)
            assert said == {
                "specversion": "1.0", "id": str(event.id), "type": "thing.noted", "source": "/goes_lite",
                "time": "2026-03-01T12:00:00.123456Z", "subject": "thing/a", "goesaggregate": "thing",
                "goesaggregateid": "a", "goesversion": 1, "goesencoding": "json", "goesschema": 1,
                "goesmetadata": '{"actor": "ann"}', "goestags": '["k:v"]', "datacontenttype": "application/json",
                "data": {"number": 7},
            }  # fmt: skip
            assert all(isinstance(value, str | int) for key, value in said.items() if key != "data")

    run(main())


def test_events_of_another_program_are_read(world: World) -> None:
    """Only what CloudEvents requires; an id that is not a UUID is mapped to one, always the same."""

    async def main() -> None:
        async with client(world) as other, world.open() as db:
            subscription = db.bus.subscribe(["thing.*"])
            await db.bus.publish([note(0)])
            said = {"specversion": "1.0", "id": "x-1", "type": "thing.noted", "source": "/shop", "data": {"number": 8}}
            for body in (said, {**said, "goesencoding": "json", "data": {"number": 9}}):
                await other.jetstream().publish(f"{world.prefix}.events.0.thing.noted", json.dumps(body).encode())
            _, first, second = await take(subscription, 3)
            assert (first.data, second.data) == (Noted(8), Noted(9))
            assert first.id == second.id

    run(main())


# --- unreadable messages ----------------------------------------------------------------------------------------------


def test_an_unreadable_message_is_a_dead_letter_and_stops_nobody(world: World) -> None:
    """Not an event, an unregistered name, data that does not fit: a dead letter for each group."""

    async def main() -> None:
        async with client(world) as other, world.open() as db:
            members = [db.bus.subscribe(["thing.*"], group=group) for group in ("g", "h")]
            await db.bus.publish([note(1)])
            base = {"specversion": "1.0", "id": "x", "type": "thing.noted", "source": "/", "data": {"number": "seven"}}
            bodies = [b"\xff\x00 no JSON", b"[]", json.dumps(base).encode(),
                      json.dumps({**base, "type": "thing.unknown"}).encode()]  # fmt: skip
            for body in bodies:
                await other.jetstream().publish(f"{world.prefix}.events.0.thing.noted", body)
            await db.bus.publish([note(2)])
            for member in members:
                assert [event.data.number for event in await take(member, 2)] == [1, 2]
            letters = await db.bus.dead_letters()
            assert sorted(letter.subscriber for letter in letters) == ["g"] * 4 + ["h"] * 4
            assert {letter.attempts for letter in letters} == {0}
            assert {letter.event.name for letter in letters} == {"thing.noted", "thing.unknown"}
            assert letters[0].event.encoded.payload == bodies[0]
            for letter in letters:
                await db.bus.drop(letter)

    run(main())


def test_unknown_events_may_be_skipped_or_raw(world: World) -> None:
    mine = goes.Registry()
    mine.register("thing.noted", Noted)
    mine.register("thing.other", Noted)

    async def main() -> None:
        async with (
            goes.connect(world.store("a"), bus=world.bus(), registry=mine) as publisher,
            goes.connect(world.store("b"), bus=world.bus(), registry=registry, unknown="skip") as skipping,
            goes.connect(world.store("c"), bus=world.bus(), registry=registry, unknown="raw") as raw,
        ):
            await publisher.bus.publish([goes.Event(Noted(1), name="thing.other", registry=mine), note(2)])
            one = skipping.bus.subscribe(group="g", start="beginning")
            two = raw.bus.subscribe(group="h", start="beginning")
            assert [event.data.number for event in await take(one, 1)] == [2]
            other, noted = await take(two, 2)
            assert (other.name, other.data.plain()) == ("thing.other", {"number": 1})
            assert noted.data == Noted(2)
            assert await publisher.bus.dead_letters() == []

    run(main())


def test_an_event_that_is_too_large_is_refused(world: World) -> None:
    """As an error of the event, not of the bus, so a relay may skip it."""

    async def main() -> None:
        mine = goes.Registry()
        mine.register("text", str)
        async with goes.connect(world.store(), bus=world.bus(), registry=mine) as db:
            with pytest.raises(InvalidEventError, match="larger than"):
                await db.bus.publish([goes.Event("x" * 2_000_000, name="text", registry=mine)])
            subscription = db.bus.subscribe()
            await db.bus.publish([goes.Event("small", name="text", registry=mine)])
            assert [event.data for event in await take(subscription, 1)] == ["small"]

    run(main())


# --- several processes ------------------------------------------------------------------------------------------------


def test_dead_letters_are_those_of_all_processes(world: World) -> None:
    """Another handle lists them, and redrives them to the group wherever that is."""

    async def main() -> None:
        async with world.open("one") as one, world.open("two") as two:
            broken = True
            done: list[int] = []

            async def handle(event: goes.Event[Any]) -> None:
                if broken:
                    raise ValueError("not now")
                done.append(event.data.number)

            one.bus.handle(["thing.*"], handle, group="g", max_attempts=2, backoff=soon)
            await one.bus.publish([note(1)])
            letters: list[goes.DeadLetter] = []
            async with asyncio.timeout(20):
                while not letters:
                    letters = await two.bus.dead_letters()
            (letter,) = letters
            assert (letter.subscriber, letter.attempts, letter.event.data) == ("g", 2, Noted(1))
            broken = False
            await two.bus.redrive(letter)
            await nats_kit.until(lambda: done)
            assert done == [1]
            assert await two.bus.dead_letters() == []

    run(main())


def test_a_group_of_another_process_has_its_names_and_its_order(world: World) -> None:
    """The first delivery raises in a process that joins with other names, or another order."""

    async def main() -> None:
        async with world.open("one") as one, world.open("two") as two:
            one.bus.subscribe(["thing.*"], group="g")
            one.bus.subscribe(["thing.*"], group="h", ordered_by="aggregate")
            await one.bus.publish([note(1)])
            for names, group, order in (["*"], "g", None), (["thing.*"], "g", "aggregate"), (["thing.*"], "h", None):
                subscription = two.bus.subscribe(names, group=group, ordered_by=order)
                with pytest.raises(BusError, match="group"):
                    async with asyncio.timeout(20):
                        await anext(subscription)
            same = two.bus.subscribe(["thing.*", "thing.noted"], group="i")
            await two.bus.publish([note(2)])
            assert [event.data.number for event in await take(same, 1)] == [2]

    run(main())


def test_the_same_event_is_published_once(world: World) -> None:
    """A killed relay publishes its events again: the broker drops them by their ids."""

    async def main() -> None:
        async with world.open("one") as one, world.open("two") as two:
            subscription = two.bus.subscribe()
            await two.bus.publish([note(0)])
            event = note(1)
            for db in (one, two, one):
                await db.bus.publish([event, event])
            await one.bus.publish([note(2)])
            assert [event.data.number for event in await take(subscription, 3)] == [0, 1, 2]

    run(main())


def test_an_ordered_group_over_two_handles(world: World) -> None:
    """Each aggregate in order, and one event of it at a time; the work is shared."""
    names = [f"t{number}" for number in range(24)]

    async def main() -> None:
        busy: set[str] = set()
        done: dict[str, list[int]] = {name: [] for name in names}
        who: list[str] = []

        def handler(me: str) -> Any:
            async def handle(event: goes.Event[Any]) -> None:
                if event.aggregate is None:
                    return
                name = event.aggregate.id
                assert name not in busy
                busy.add(name)
                await asyncio.sleep(0.001)
                busy.remove(name)
                if event.version == 2 and len(done[name]) == 1 and (name, me) not in failed:
                    failed.add((name, me))
                    raise ValueError("once more")
                done[name].append(event.version)
                who.append(me)

            return handle

        failed: set[tuple[str, str]] = set()
        async with world.open("one") as one, world.open("two") as two:
            for name, db in ("one", one), ("two", two):
                for _ in range(2):
                    db.bus.handle(["thing.*"], handler(name), group="g", ordered_by="aggregate", backoff=soon)
            for db in (one, two):
                await db.bus.publish([note(0)])  # both listen after that
            await one.bus.publish([note(0, name, version) for version in range(1, 6) for name in names])
            await nats_kit.until(lambda: len(who) == 5 * len(names))
            assert all(versions == [1, 2, 3, 4, 5] for versions in done.values()), done
            assert set(who) == {"one", "two"}
            assert failed

    run(main())


# --- replay -----------------------------------------------------------------------------------------------------------


def test_a_group_is_reset_and_starts_from_the_beginning(world: World) -> None:
    async def main() -> None:
        async with world.open() as db:
            first = db.bus.subscribe(["thing.*"], group="g")
            await db.bus.publish([note(number) for number in range(5)])
            assert len(await take(first, 5)) == 5
            await first.close()
            await db.bus.reset("g")
            again = db.bus.subscribe(["thing.*"], group="g", start="beginning")
            assert [event.data.number for event in await take(again, 5)] == [0, 1, 2, 3, 4]
            later = db.bus.subscribe(["thing.*"], start=3)  # a sequence of the stream
            assert [event.data.number for event in await take(later, 2)] == [3, 4]

    run(main())


def test_a_projection_is_triggered_by_another_service(world: World) -> None:
    async def main() -> None:
        async with world.open("one") as one, world.open("two") as two:
            seen: list[int] = []

            async def digest(event: goes.Event[Any]) -> None:
                seen.append(event.data.number)

            processor = two.processor("digest", digest, schedule=goes.OnDemand())

            async def trigger(event: goes.Event[Any]) -> None:
                await processor.trigger()

            two.bus.handle(["thing.*"], trigger, group="digest", start="beginning")
            async with processor:
                await two.events.append([note(7)])
                await one.bus.publish([note(1)])
                await nats_kit.until(lambda: seen == [7])

    run(main())


def test_the_events_of_a_process_go_to_another_when_it_ends(world: World) -> None:
    """At once, and in order: closing gives it back."""

    async def main() -> None:
        async with world.open("two") as two:
            async with world.open("one") as one:
                member = one.bus.subscribe(group="g", max_pending=64)
                await one.bus.publish([note(number) for number in range(50)])
                assert len(await take(member, 3)) == 3
            other = two.bus.subscribe(group="g")
            assert [event.data.number for event in await take(other, 47)] == list(range(3, 50))

    run(main())


def test_wrong_arguments(tmp_path: Path) -> None:
    """Whatever a public call is given, neither an error of the client nor of Python's insides gets out."""
    with goes.blocking.connect(tmp_path / "app.db", bus=nats_kit.url(), registry=wrong_arguments_kit.registry) as db:
        for call in wrong_arguments_kit.methods("db.bus", db.bus):
            for value in (
                wrong_arguments_kit.ODD[::6] if call.wrong not in ("group", "letter") else wrong_arguments_kit.ODD
            ):
                wrong_arguments_kit.check(call, value, partial(_taken_back, call, value))


def _taken_back(call: wrong_arguments_kit.Call, value: Any) -> None:
    taken = call(value)
    for end in ("close", "stop"):
        if hasattr(taken, end):
            getattr(taken, end)()
