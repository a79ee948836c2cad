"""Commands between services over NATS: requests, queued commands, and services that die."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest

import goes_lite as goes
from goes_lite.commands import COMMAND_OUTCOME
from goes_lite.errors import (
    AbilityMissing,
    BusError,
    CommandFailed,
    CommandMismatch,
    CommandNotHandled,
    CommandRejected,
    CommandTimeout,
)
from tests.bus import nats_kit
from tests.bus.nats_kit import PATIENCE, Add, Greet, Refused, World

pytestmark = nats_kit.needs_nats
MODES = pytest.mark.parametrize("mode", ["jetstream", "core"])


def hello(command: Greet) -> str:
    return f"hello {command.whom}"


def soon(_: int) -> float:
    return 0.01


@MODES
def test_a_command_is_handled_by_another_service(world: World, mode: str) -> None:
    """Its result and its context are carried; the handler's events record their cause."""
    seen: list[goes.Context] = []

    async def greet(command: Greet) -> dict[str, Any]:
        seen.append(goes.Context.current())
        return {"said": f"hello {command.whom}", "times": 2}

    async def main() -> None:
        async with world.open("one", mode=mode) as one, world.open("two", mode=mode) as two:
            two.commands.handle(Greet, greet)
            id = goes.new_id()
            async with two.commands.service() as service:
                with goes.Context.bind(actor="ann", request="r-1"):
                    assert await one.commands.dispatch(Greet("bob"), id=id) == {"said": "hello bob", "times": 2}
                assert service.handled == 1
            (context,) = seen
            assert (context.actor, context.causation, context.values) == ("ann", str(id), {"request": "r-1"})

    asyncio.run(main())


@MODES
def test_the_blocking_face_does_the_same(world: World, mode: str) -> None:
    with world.blocking("one", mode=mode) as one, world.blocking("two", mode=mode) as two:
        two.commands.handle(Greet, lambda command: f"hello {command.whom}")
        with two.commands.service():
            assert one.commands.dispatch(Greet("bob"), timeout=10) == "hello bob"
        with pytest.raises(CommandNotHandled):
            one.commands.dispatch(Greet("bob"), timeout=10)


@MODES
def test_a_command_without_a_handler_fails_at_once(world: World, mode: str) -> None:
    async def main() -> None:
        async with world.open(mode=mode) as db:
            begun = time.monotonic()
            with pytest.raises(CommandNotHandled) as caught:
                await db.commands.dispatch(Greet("bob"), timeout=90)
            assert time.monotonic() - begun < 60
            assert caught.value.command == "greet"

    asyncio.run(main())


def test_errors_keep_their_type(world: World) -> None:
    """A rejection with its code and details, even of a custom class; any other error as CommandFailed."""
    errors: list[Exception] = [
        CommandRejected("closed", "it is closed", details={"since": 7}), Refused("too_late", "no"), ValueError("not so")
    ]  # fmt: skip

    async def greet(command: Greet) -> None:
        raise errors[int(command.whom)]

    async def main() -> None:
        async with world.open("one") as one, world.open("two") as two:
            two.commands.handle(Greet, greet)
            async with two.commands.service():
                with pytest.raises(CommandRejected, match="it is closed") as rejected:
                    await one.commands.dispatch(Greet("0"))
                assert (rejected.value.code, rejected.value.details) == ("closed", {"since": 7})
                assert rejected.value.command == "greet"
                with pytest.raises(Refused) as own:
                    await one.commands.dispatch(Greet("1"))
                assert own.value.code == "too_late"
                with pytest.raises(CommandFailed, match="ValueError: not so"):
                    await one.commands.dispatch(Greet("2"))

    asyncio.run(main())


def test_duplicates_at_the_same_time_get_the_same_result(world: World) -> None:
    """From two clients, to two services on one store, whose handler would reject the second."""
    calls: list[str] = []

    async def greet(command: Greet) -> str:
        calls.append(command.whom)
        if calls.count(command.whom) > 1:
            raise CommandRejected("greeted", "already")
        await asyncio.sleep(0)
        return f"hello {command.whom}"

    async def main() -> None:
        async with (
            world.open("one") as one, world.open("two") as two, world.open("shared") as left, world.open("shared") as right
        ):  # fmt: skip
            for db in (left, right):
                db.commands.handle(Greet, greet)
            async with left.commands.service(), right.commands.service():
                for number in range(10):
                    id, command = goes.new_id(), Greet(str(number))
                    asked = (db.commands.dispatch(command, id=id) for db in (one, two, one, two))
                    assert await asyncio.gather(*asked) == [f"hello {number}"] * 4
        assert calls == [str(number) for number in range(10)]

    asyncio.run(main())


def test_the_deadline_is_kept(world: World) -> None:
    """By the client, and by the handler, which is cancelled."""
    cancelled = asyncio.Event()

    async def greet(command: Greet) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async def main() -> None:
        async with world.open("one") as one, world.open("two") as two:
            two.commands.handle(Greet, greet)
            async with two.commands.service():
                begun = time.monotonic()
                with pytest.raises(CommandTimeout):
                    await one.commands.dispatch(Greet("bob"), timeout=0.3)
                assert time.monotonic() - begun < 30
                await asyncio.wait_for(cancelled.wait(), 60)

    asyncio.run(main())


def test_a_command_counts_once_by_its_id(world: World) -> None:
    calls: list[str] = []

    async def greet(command: Greet) -> str:
        calls.append(command.whom)
        return f"{len(calls)}"

    async def main() -> None:
        async with world.open("one") as one, world.open("two") as two:
            two.commands.handle(Greet, greet)
            async with two.commands.service():
                id = goes.new_id()
                assert [await one.commands.dispatch(Greet("bob"), id=id) for _ in range(3)] == ["1"] * 3
                with pytest.raises(CommandMismatch):
                    await one.commands.dispatch(Greet("eve"), id=id)
                assert await one.commands.dispatch(Greet("eve")) == "2"
        assert calls == ["bob", "eve"]

    asyncio.run(main())


def test_an_accepted_command_is_queued_for_another_service(world: World) -> None:
    """The service need not run at that moment; the process that accepted the command learns its outcome."""

    async def greet(command: Greet) -> str:
        if command.whom == "eve":
            raise CommandRejected("not_her", "no")
        return f"hello {command.whom}"

    async def main() -> None:
        async with world.open("one") as one, world.open("two") as two:
            ids = [await one.commands.dispatch_async(Greet(whom)) for whom in ("bob", "eve")]
            assert [one.state for one in await one.commands.accepted()] == ["sent"] * 2
            with pytest.raises(CommandTimeout):
                await one.commands.outcome(ids[0], timeout=0.1)
            two.commands.handle(Greet, greet)
            async with two.commands.service():
                for _ in range(2):
                    assert await one.commands.outcome(ids[0], timeout=20) == "hello bob"
                    with pytest.raises(CommandRejected) as caught:
                        await one.commands.outcome(ids[1], timeout=20)
                    assert caught.value.code == "not_her"

    asyncio.run(main())


def test_a_worker_forwards_commands_accepted_in_a_transaction_or_scheduled(world: World) -> None:
    async def main() -> None:
        async with world.open("one") as one, world.open("two") as two:
            two.commands.handle(Greet, hello)
            async with two.commands.service():
                async with one.transaction() as tx:
                    id = await one.commands.dispatch_async(Greet("bob"), tx=tx)
                later = await one.commands.schedule(Greet("ann"), at=one.runtime.clock.now())
                async with one.commands.worker():
                    assert await one.commands.outcome(id, timeout=20) == "hello bob"
                    assert await one.commands.outcome(later, timeout=20) == "hello ann"

    asyncio.run(main())


def test_a_queued_command_is_retried_then_given_up(world: World) -> None:
    calls: list[str] = []

    async def greet(command: Greet) -> str:
        calls.append(command.whom)
        if command.whom == "eve" or calls.count(command.whom) < 3:
            raise ValueError("not now")
        return "at last"

    async def main() -> None:
        async with world.open("one") as one, world.open("two") as two:
            two.commands.handle(Greet, greet)
            async with two.commands.service(attempts=4, backoff=soon):
                good, bad = [await one.commands.dispatch_async(Greet(whom)) for whom in ("bob", "eve")]
                assert await one.commands.outcome(good, timeout=20) == "at last"
                with pytest.raises(CommandFailed, match="not now") as caught:
                    await one.commands.outcome(bad, timeout=20)
                assert caught.value.attempts == 4
        assert (calls.count("bob"), calls.count("eve")) == (3, 4)

    asyncio.run(main())


def test_an_in_process_bus_carries_no_commands(tmp_path: Any) -> None:
    async def main() -> None:
        async with goes.connect(str(tmp_path / "app.db"), registry=nats_kit.registry) as db:
            with pytest.raises(AbilityMissing):
                db.commands.service()

    asyncio.run(main())


@pytest.mark.slow
def test_one_of_two_services_dies(world: World) -> None:
    """Each of 64 clients gets one reply, and each command has one effect; nobody waits beyond the deadline."""
    each = 6
    workers = [world.spawn("service", "shared", hold=0.02) for _ in range(2)]
    for worker in workers:
        worker.expect("ready")

    async def main() -> None:
        answers: list[tuple[str, object]] = []
        latest = 0.0
        async with world.open("mine") as db:

            async def dispatch(number: int) -> None:
                nonlocal latest
                for turn in range(each):
                    begun = time.monotonic()
                    counter = f"c{number}-{turn}"
                    answers.append((counter, await db.commands.dispatch(Add(counter, 1), timeout=30)))
                    latest = max(latest, time.monotonic() - begun)

            async def kill() -> None:
                await nats_kit.until(lambda: len(answers) > 64)
                workers[0].kill()

            await asyncio.gather(kill(), *(dispatch(number) for number in range(64)))
        assert len(answers) == 64 * each
        assert {answer for _, answer in answers} == {1}
        assert latest < 30
        async with goes.connect(world.store("shared"), registry=nats_kit.registry) as shared:
            for counter, _ in answers:
                record = await shared.models.get("counters", counter)
                assert record is not None
                assert json.loads(record.data) == {"count": 1}

    asyncio.run(main())


@pytest.mark.slow
def test_a_service_dies_while_it_handles_a_queued_command(world: World) -> None:
    """Another service handles it as soon as the lease is over."""
    first = world.spawn("service", "shared", hold=60.0, lease=1)
    first.expect("ready")

    async def main() -> None:
        async with world.open("mine", lease=1) as db:
            id = await db.commands.dispatch_async(Greet("bob"))
            await asyncio.to_thread(first.expect, "greeting bob")
            first.kill()
            second = world.spawn("service", "shared", lease=1)
            await asyncio.to_thread(second.expect, "ready")
            assert await db.commands.outcome(id, timeout=20) == "hello bob"

    asyncio.run(main())


def test_the_only_service_dies_while_it_handles_a_command(world: World) -> None:
    """The client gets an error at the deadline at the latest, or the reply of the next service if it starts in time."""
    first = world.spawn("service", "shared", hold=60.0)
    first.expect("ready")

    async def main() -> None:
        async with world.open("mine") as db:
            id = uuid4()
            waiting = asyncio.create_task(db.commands.dispatch(Greet("bob"), timeout=100, id=id))
            await asyncio.to_thread(first.expect, "greeting bob")
            first.kill()
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(waiting), 0.5)
            second = world.spawn("service", "shared")
            await asyncio.to_thread(second.expect, "ready")
            try:
                assert await waiting == "hello bob"
            except BusError:  # starting a process took longer than a client waits; it says what to do then
                assert await db.commands.dispatch(Greet("bob"), timeout=100, id=id) == "hello bob"

    asyncio.run(main())


@pytest.mark.parametrize("store", ["one", "two"])
def test_the_outcome_of_a_queued_command_is_told_once_where_it_was_accepted(world: World, store: str) -> None:
    """Not in the store of the service, unless both share one; and whether a worker or a caller hears of it first."""

    async def greet(command: Greet) -> str:
        if command.whom == "eve":
            raise Refused("no", "not her")
        if command.whom == "zoe":
            raise OSError("no post")
        return f"hello {command.whom}"

    async def told(db: Any) -> list[Any]:
        found = await db.events.query(goes.EventQuery([COMMAND_OUTCOME])).list()
        assert all("t:1" in event.tags for event in found)
        return sorted((event.data.outcome, event.data.result, event.data.code) for event in found)

    async def main() -> None:
        async with world.open("one") as one, world.open(store) as two:
            two.commands.handle(Greet, greet)
            async with one.commands.worker(), two.commands.service(attempts=2, backoff=soon):
                ids = [await one.commands.dispatch_async(Greet(whom), report=["t:1"]) for whom in ("bob", "eve", "zoe")]
                waiting = (one.commands.outcome(id, PATIENCE) for id in ids * 2)
                found = await asyncio.gather(*waiting, return_exceptions=True)
                kinds: list[Any] = [type(outcome) for outcome in found]
                assert kinds[:1] == [str]
                assert all(issubclass(kind, CommandRejected) for kind in (kinds[1], kinds[4]))
                assert kinds[2] == CommandFailed
            assert await told(one) == [
                ("done", '"hello bob"', ""), ("failed", None, "command_failed"), ("rejected", None, "no"),
            ]  # fmt: skip
            if store != "one":
                assert await told(two) == []

    asyncio.run(main())


def test_a_rejection_counts_once_over_the_bus(world: World) -> None:
    """Asked again, the service answers the same without asking its handler."""
    calls: list[str] = []

    async def greet(command: Greet) -> str:
        calls.append(command.whom)
        raise Refused("no", "not her")

    async def main() -> None:
        async with world.open("one") as one, world.open("two") as two:
            two.commands.handle(Greet, greet)
            async with two.commands.service():
                for _ in range(2):
                    with pytest.raises(Refused, match="not her"):
                        await one.commands.dispatch(Greet("eve"), id="key")
        assert calls == ["eve"]

    asyncio.run(main())
