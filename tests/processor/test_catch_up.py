"""Catching up once, as command-line tools do, and a store that was restored underneath."""

from __future__ import annotations

from typing import Any

import pytest

from goes_lite.contract.wrapping import WrappedBackend, WrappedStore
from goes_lite.errors import CheckpointMismatch, ProcessorStopped
from goes_lite.processor import OnDemand, Periodically, Retry
from tests.processor.processor_kit import DAY, NAME, Calls, World, note, notes, others_at_work, stands, state


@pytest.mark.parametrize("options", [{}, {"schedule": OnDemand()}, {"schedule": Periodically(60)}], ids=str)
def test_it_handles_what_there_is_and_returns(world: World, options: dict[str, Any]) -> None:
    async def rule() -> None:
        calls = Calls(world.clock)
        async with world.open() as db:
            processor = db.processor(NAME, calls, **options)
            for first in (1, 4):
                await db.events.append(notes(first, first + 2))
                assert await processor.catch_up() == first + 2
                assert (await stands(db), await db.leases.get(NAME), others_at_work()) == (first + 2, None, set())
            assert await processor.catch_up() == 6
        assert calls.numbers == [1, 2, 3, 4, 5, 6]

    world.run(rule())


def test_nothing_to_do_is_done_at_once(world: World) -> None:
    async def rule() -> None:
        async with world.open() as db:
            assert await db.processor(NAME, Calls(world.clock)).catch_up() == 0

    world.run(rule())


def test_another_instance_is_asked_to(world: World) -> None:
    """Also one that would not have worked of its own accord."""

    async def rule() -> None:
        calls, mine = Calls(world.clock), Calls(world.clock)
        async with (
            world.open(world.path) as db,
            world.open(world.path) as elsewhere,
            elsewhere.processor(NAME, calls, schedule=OnDemand(), lease=DAY),
        ):
            await world.waiting(2)
            await db.events.append(notes(1, 3))
            catching = world.alongside(db.processor(NAME, mine).catch_up())
            await world.until(lambda: len(calls.numbers) == 3)
            while not catching.ended:
                world.clock.advance(0.2)
                await world.real.sleep(0.005)
            assert await catching.result() == 3
        assert (calls.numbers, mine.numbers) == ([1, 2, 3], [])

    world.run(rule())


def test_what_stops_it_is_raised(world: World) -> None:
    async def rule() -> None:
        async with world.open() as db:
            await db.events.append([note(1)])
            with pytest.raises(ProcessorStopped):
                await db.processor(NAME, Calls(world.clock, lambda _: True), retry=Retry(1)).catch_up()

    world.run(rule())


class Restored(WrappedStore):
    """A log that has gone back."""

    back = 0

    async def head(self) -> int:
        return await self.store.head() - self.back


def test_a_store_that_was_restored_underneath_is_said_to_be(world: World) -> None:
    """It would wait until as many events as were lost are appended again, and would miss those."""

    async def rule() -> None:
        store: list[Restored] = []

        class Wrapped(WrappedBackend):
            def __init__(self, backend: Any) -> None:
                super().__init__(backend)
                store.append(Restored(backend.events))
                self.events = store[0]

        calls = Calls(world.clock)
        async with world.open(wrap=Wrapped) as db, db.processor(NAME, calls) as processor:
            await processor.wait_for((await db.events.append(notes(1, 3))).position)
            store[0].back = 2
            await db.checkpoints.save("other", 1)

            async def failed() -> bool:
                return await state(processor) == "failed"

            await world.until(failed)
            error = processor.error
            assert isinstance(error, CheckpointMismatch)
            assert (error.checkpoint.position, error.head) == (3, 1)

    world.run(rule())
