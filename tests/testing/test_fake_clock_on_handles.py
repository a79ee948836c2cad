"""What depends on time, on open handles that live by a fake clock: leases, retries, `ack_wait`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from goes_lite_conformance.harness.faces import awaited

import goes_lite as goes
from goes_lite.contract.backend import Backend
from goes_lite.errors import LeaseHeld
from goes_lite.runtime import drive
from goes_lite.testing import FakeClock

PATIENCE = 10.0  # seconds after which a test that hangs fails; nothing is measured by it
NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)

registry = goes.Registry()


@registry.event("mail.asked")
@dataclass(frozen=True)
class MailAsked:
    to: str


class Handles:
    """Opens stores on one clock through one face."""

    def __init__(self, face: str) -> None:
        self.face = face
        self.clock = FakeClock(NOON)

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Backend]:
        url = "sqlite:///:memory:"
        if self.face == "async":
            async with goes.connect(url, registry=registry, clock=self.clock) as db:
                yield db
        else:
            inline = self.face == "blocking"
            with goes.blocking.connect(url, registry=registry, clock=self.clock, inline=inline) as db:
                yield awaited(db)

    async def waiting(self, n: int = 1) -> None:
        if self.face == "async":
            await self.clock.until_waiting(n)
        else:
            self.clock.block_until_waiting(n)


Job = Callable[[Handles], Coroutine[Any, Any, None]]


@pytest.fixture(params=["async", "blocking", "loop"])
def on_face(request: pytest.FixtureRequest) -> Callable[[Job], None]:
    """Runs a test on the async face, the blocking one, and the blocking one over a loop thread."""

    def on_face(job: Job) -> None:
        if request.param == "async":
            asyncio.run(job(Handles(request.param)))
        else:
            drive(job(Handles(request.param)))

    return on_face


def test_a_lease_expires_when_its_time_has_passed(on_face: Callable[[Job], None]) -> None:
    """A moment before it is held; a clock that was put forward ends it, too."""

    async def job(h: Handles) -> None:
        async with h.open() as db:
            lease = await db.leases.acquire("nightly", "ann", 30)
            assert lease.expires == NOON + timedelta(seconds=30)
            h.clock.advance(29.999_999)
            with pytest.raises(LeaseHeld):
                await db.leases.acquire("nightly", "bob", 30)
            h.clock.advance(0.000_001)
            assert (await db.leases.acquire("nightly", "bob", 30)).owner == "bob"
            h.clock.set(NOON + timedelta(days=1))
            assert await db.leases.get("nightly") is None

    on_face(job)


def test_a_handler_that_fails_is_tried_again_when_its_time_has_come(on_face: Callable[[Job], None]) -> None:
    async def job(h: Handles) -> None:
        tries: list[float] = []

        def send(_: goes.Event[MailAsked]) -> None:
            tries.append(h.clock.monotonic())
            if len(tries) < 4:
                raise OSError("the mail server is away")

        async with h.open() as db:
            handling = db.bus.handle(["mail.*"], send, group="mail", backoff=goes.Backoff(10, jitter=0))
            await h.waiting()
            await db.bus.publish([goes.Event(MailAsked("ann"), registry=registry)])
            for wait in (10, 20, 30):
                await h.waiting()
                assert h.clock.waiters == (wait,)
                h.clock.advance(wait)
            await h.waiting()
            assert (tries, h.clock.waiters, handling.failures) == ([0, 10, 30, 60], (None,), 3)

    on_face(job)


def test_a_delivery_that_nobody_settles_comes_again_after_its_ack_wait(on_face: Callable[[Job], None]) -> None:
    async def job(h: Handles) -> None:
        async with h.open() as db:
            subscription = db.bus.subscribe(["mail.*"], group="mail", ack_wait=0.3)
            await db.bus.publish([goes.Event(MailAsked("ann"), registry=registry)])
            h.clock.advance(0.1)
            await anext(subscription)
            h.clock.advance(0.3)
            again = await anext(subscription)
            assert (again.attempt, again.redelivered) == (2, True)
            await again.ack()

    on_face(job)


def test_handles_of_one_clock_share_its_time(on_face: Callable[[Job], None]) -> None:
    async def job(h: Handles) -> None:
        async with h.open() as one, h.open() as other:
            for db in (one, other):
                await db.leases.acquire("nightly", "ann", 30)
            h.clock.advance(30)
            for db in (one, other):
                await db.leases.acquire("nightly", "bob", 30)

    on_face(job)


def test_one_step_wakes_whoever_waits_in_whatever_face() -> None:
    """A task, a thread, and a call over a loop thread."""
    clock, url, again = FakeClock(), "sqlite:///:memory:", [goes.Event(MailAsked("ann"), registry=registry)]

    async def main(*handles: goes.blocking.BlockingDatabase) -> list[int]:
        def blocking(db: goes.blocking.BlockingDatabase) -> int:
            subscription = db.bus.subscribe()
            db.bus.publish(again)
            next(subscription).nak(30)
            return next(subscription).attempt

        async def waiting(db: Backend) -> int:
            subscription = db.bus.subscribe()
            await db.bus.publish(again)
            await (await anext(subscription)).nak(30)
            return (await anext(subscription)).attempt

        async with goes.connect(url, registry=registry, clock=clock) as db:
            attempts = asyncio.gather(waiting(db), *(asyncio.to_thread(blocking, handle) for handle in handles))
            await clock.until_waiting(3)
            assert clock.waiters == (30, 30, 30)
            clock.advance(30)
            return await asyncio.wait_for(attempts, PATIENCE)

    with (
        goes.blocking.connect(url, registry=registry, clock=clock) as inline,
        goes.blocking.connect(url, registry=registry, clock=clock, inline=False) as loop,
    ):
        assert asyncio.run(main(inline, loop)) == [2, 2, 2]
