"""Lining up: one after the other in the order of arrival, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from goes_lite.events.fields import AggregateRef
from goes_lite.repository import _queues as queues
from goes_lite.repository._queues import AggregateQueues, queues_of
from goes_lite.runtime import InlineRuntime, LoopRuntime, drive

REF = AggregateRef("order", "1")


def test_tasks_go_in_the_order_of_arrival() -> None:
    """One at a time for one aggregate; another aggregate is not concerned; afterwards nothing is left."""

    async def main() -> None:
        line, runtime = AggregateQueues(), LoopRuntime()
        order: list[int] = []
        inside = 0

        async def work(number: int) -> None:
            nonlocal inside
            ticket = await line.join(REF, runtime)
            inside += 1
            assert inside == 1
            order.append(number)
            await asyncio.sleep(0)
            inside -= 1
            line.leave(ticket)

        tasks = [asyncio.create_task(work(number)) for number in range(20)]
        await asyncio.sleep(0)
        assert line.occupied(REF)
        assert not line.occupied(AggregateRef("order", "2"))
        await asyncio.gather(*tasks)
        assert order == list(range(20))
        assert not line.occupied(REF)
        assert repr(line) == "<AggregateQueues for 0 keys>"

    asyncio.run(main())


def test_threads_take_turns() -> None:
    """Also where waiting means to block; nobody is inside together with another."""
    line, runtime = AggregateQueues(), InlineRuntime()
    inside: list[int] = []
    most: list[int] = []

    def work(number: int) -> None:
        for _ in range(20):
            ticket = drive(line.join(REF, runtime))
            inside.append(number)
            time.sleep(0)
            most.append(len(inside))
            inside.remove(number)
            line.leave(ticket)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (max(most), len(most)) == (1, 160)
    assert not line.occupied(REF)


def test_who_gives_up_waiting_leaves_the_line() -> None:
    """Cancelled in the middle: those behind it are called all the same."""

    async def main() -> None:
        line, runtime = AggregateQueues(), LoopRuntime()
        first = await line.join(REF, runtime)
        waiting = [asyncio.create_task(line.join(REF, runtime)) for _ in range(3)]
        await asyncio.sleep(0.01)
        waiting[0].cancel()
        waiting[1].cancel()
        await asyncio.sleep(0)
        line.leave(first)
        line.leave(await asyncio.wait_for(waiting[2], 60))
        assert repr(line) == "<AggregateQueues for 0 keys>"

    asyncio.run(main())


def test_a_turn_that_takes_too_long_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while without progress the next goes ahead; a long line that moves is waited for."""

    async def main() -> None:
        line, runtime = AggregateQueues(), LoopRuntime()
        monkeypatch.setattr(queues, "MAX_TURN", 0.05)
        stuck = await line.join(REF, runtime)
        began = time.monotonic()
        ahead = await line.join(REF, runtime)
        assert 0.04 <= time.monotonic() - began < 30
        line.leave(ahead)
        line.leave(stuck)

        monkeypatch.setattr(queues, "MAX_TURN", 2.0)

        steps: list[str] = []

        async def work(number: int) -> None:
            ticket = await line.join(REF, runtime)
            steps.append(f"{number} in")
            await asyncio.sleep(0.5)
            steps.append(f"{number} out")
            line.leave(ticket)

        await asyncio.gather(*(work(number) for number in range(5)))
        assert steps == [f"{number} {way}" for number in range(5) for way in ("in", "out")]

    asyncio.run(main())


def test_a_context_does_not_want_what_it_holds() -> None:
    """Else a change that uses its own aggregate would wait for the turn that it is in; other tasks do want it."""

    async def main() -> None:
        line, runtime = AggregateQueues(), LoopRuntime()
        outside = asyncio.Event()

        async def other() -> bool:
            await outside.wait()
            return line.occupied(REF)

        asking = asyncio.create_task(other())
        ticket = await line.join(REF, runtime)
        outside.set()
        assert await asking
        assert not line.occupied(REF)
        line.leave(ticket)
        assert not line.occupied(REF)
        await asyncio.create_task(line.join(REF, runtime))
        assert line.occupied(REF)

    asyncio.run(main())


def test_all_repositories_of_a_backend_share_the_lines() -> None:
    """A backend that cannot be referred to weakly has none to share."""

    class Anything:
        pass

    class Slotted:
        __slots__ = ()

    one, other = Anything(), Anything()
    assert queues_of(one) is queues_of(one)
    assert queues_of(one) is not queues_of(other)
    assert queues_of(Slotted()) is not None
