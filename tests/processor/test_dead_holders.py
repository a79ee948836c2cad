"""Whose lease need not be waited for: that of a holder that is gone, and that of one whose clock was wrong."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

import goes_lite as goes
from goes_lite.errors import LeaseHeld
from goes_lite.testing import FakeClock
from tests.processor.processor_kit import DAY, NAME, Calls, Noted, World, note, nothing, registry

HOLD = """
import os, sys
import goes_lite as goes
from goes_lite.testing import FakeClock
db = goes.blocking.connect(sys.argv[1], clock=FakeClock())
processor = db.processor("p", lambda event: None, lease=86400.0)
processor.start()
while processor.stats().owner is None:
    pass
if sys.argv[2] == "paused":
    print("holds", flush=True)
    sys.stdin.read()
os.kill(os.getpid(), 9)
"""

killed_shows = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has locks of open files")


def holder(path: str, how: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, path, how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@killed_shows
def test_nobody_waits_for_a_holder_that_was_killed(world: World) -> None:
    """Without any time passing, be its lease as long as it may, and whatever time its clock had."""
    with holder(world.path, "killed") as process:
        process.wait()

    async def rule() -> None:
        calls = Calls(world.clock)
        async with world.open(world.path) as db:
            last = (await db.events.append([note(1)])).position
            assert await db.leases.get(NAME) is None
            async with db.processor(NAME, calls) as processor:
                await processor.wait_for(last)
        assert (calls.numbers, world.clock.monotonic()) == ([1], 0)

    world.run(rule())


@killed_shows
def test_one_that_lives_is_waited_for_even_if_it_does_nothing(tmp_path: Path) -> None:
    path = str(tmp_path / "app.db")
    with holder(path, "paused") as process, goes.blocking.connect(path, clock=FakeClock()) as db:
        assert process.stdout is not None
        assert process.stdout.readline() == "holds\n"
        lease = db.leases.get(NAME)
        assert lease is not None
        with pytest.raises(LeaseHeld):
            db.leases.acquire(NAME, "other", 10)
        process.communicate("")
        assert db.leases.acquire(NAME, "other", 10).token > lease.token


def test_other_handles_of_this_process_live_until_they_are_closed(world: World) -> None:
    async def rule() -> None:
        async with world.open(world.path) as standing, world.open(world.path) as db:
            async with db.processor(NAME, nothing, lease=DAY) as processor:
                await processor.wait_for((await db.events.append([note(1)])).position)
                assert await standing.leases.get(NAME) is not None
                with pytest.raises(LeaseHeld):
                    await standing.leases.acquire(NAME, "other", 10)
            assert await standing.leases.get(NAME) is None

    world.run(rule())


@pytest.mark.parametrize("minutes", [-10, 10])
def test_a_clock_that_is_set_changes_no_lease_that_was_seen(world: World, minutes: int) -> None:
    """A holder that died is waited for as long as ever; one that lives is not taken for dead."""

    async def rule() -> None:
        calls = Calls(world.clock)
        async with world.open(world.path) as db, world.open(world.path) as elsewhere:
            await elsewhere.leases.acquire(NAME, "dead", 10)
            last = (await db.events.append([note(1)])).position
            async with db.processor(NAME, calls) as processor:
                await world.until(lambda: bool(world.clock.waiters))
                world.clock.set(world.clock.now() + timedelta(minutes=minutes))
                await world.passing(9.8, 0.2, 1)
                assert calls.numbers == []
                world.clock.advance(0.2)
                await processor.wait_for(last)
        assert calls.times == [pytest.approx(10)]

    world.run(rule())


REBUILD = """
import os, sys
from tests.processor.test_dead_holders import counting, goes, registry
db = goes.blocking.connect(sys.argv[1], registry=registry)
db.projection(counting(2), batch=100).rebuild(progress=lambda told: told.position >= 200 and os.kill(os.getpid(), 9))
"""


def counting(version: int) -> goes.ModelProjection[int]:
    class Counted(goes.ModelProjection[int], name="counted", version=version):
        def initial(self, id: str) -> int:
            return 0

        @goes.projects(Noted, key=lambda event: "all")
        def noted(self, n: int, event: goes.Event[Noted]) -> int:
            return n + version

    return Counted()


@killed_shows
def test_a_rebuild_that_was_killed_is_called_again_at_once(tmp_path: Path) -> None:
    path = str(tmp_path / "app.db")
    with goes.blocking.connect(path, registry=registry, durability="memory") as db:
        db.events.append([note(number) for number in range(300)])
        with db.projection(counting(1)) as live:
            live.wait_for(300)
    subprocess.run([sys.executable, "-c", REBUILD, path], check=False, timeout=60)
    with goes.blocking.connect(path, registry=registry) as db:
        begun: list[int] = []
        again = db.projection(counting(2), batch=100).rebuild(progress=lambda told: begun.append(told.position))
        assert (again.switched, begun) == (True, [300])


def test_the_clock_of_the_store_alone_is_set_back() -> None:
    """As seen by the very handle that acquired it."""
    clock = FakeClock()
    with goes.blocking.connect("sqlite:///:memory:", clock=clock) as db:
        db.leases.acquire("p", "killed", 10)
        clock.set(clock.now() - timedelta(minutes=10))
        clock.advance(9)
        with pytest.raises(LeaseHeld):
            db.leases.acquire("p", "next", 10)
        clock.advance(1)
        assert db.leases.get("p") is None
        assert db.leases.acquire("p", "next", 10).token == 2
