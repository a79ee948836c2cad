"""Programs that go on by themselves where their store was moved: handles, processors, projections, followers, workers."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from goes_lite_conformance.harness.asserts import refused

import goes_lite as goes
from goes_lite.contract.fence import Fence
from goes_lite.contract.wrapping import WrappedBackend
from goes_lite.errors import (
    ConfigError,
    LeaseHeld,
    StoreClosed,
    StoreMoved,
    StoreReadOnly,
    StoreUnavailable,
    TransactionConflict,
)
from goes_lite.operations import cutover
from goes_lite.sqlite import SQLiteBackend

pytestmark = pytest.mark.once

PATIENCE = 180.0
registry = goes.Registry()


@registry.event("counted")
@dataclass(frozen=True)
class Counted:
    number: int


@registry.commands.event("count")
@dataclass(frozen=True)
class Count:
    tally: str
    number: int


@dataclass(frozen=True)
class Sum:
    total: int = 0


class Tally(goes.Aggregate, name="tally", registry=registry):
    total: int = 0

    def add(self, number: int) -> None:
        self.record(Counted(number))

    @goes.applies(Counted)
    def _counted(self, event: goes.Event[Counted]) -> None:
        self.total += event.data.number

    @goes.handles(Count, id="tally", create=True)
    def count(self, command: Count) -> None:
        self.add(command.number)


class Sums(goes.ModelProjection[Sum], name="sums", collection="sums"):
    @goes.projects(Counted)
    def counted(self, model: Sum, event: goes.Event[Counted]) -> Sum:
        return Sum(model.total + event.data.number)


def following(url: object) -> Any:
    return goes.connect(str(url), registry=registry, on_moved="follow", durability="normal")


async def move(source: object, target: object) -> None:
    """Move, with handles of its own."""
    async with (
        goes.connect(str(source), registry=registry) as one,
        goes.connect(str(target), registry=registry, unfinished=True) as two,
    ):
        await cutover(one.backend, two.backend, budget=60)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            found = condition()
            if await found if asyncio.iscoroutine(found) else found:
                return
            await asyncio.sleep(0.01)


def event(number: int = 1) -> goes.Event[Counted]:
    return goes.Event(Counted(number), registry=registry)


def test_a_whole_program_goes_on(tmp_path: Path, rounds: int) -> None:
    """There and back while it works: each effect once, each event once, and nothing that was acknowledged is missing."""
    places = [tmp_path / "old.db", tmp_path / "new.db"]

    async def program() -> None:
        effects: Counter[int] = Counter()
        seen: list[int] = []
        stop = False

        async def effect(one: goes.Event[Counted]) -> None:
            effects[one.position] += 1
            await asyncio.sleep(0)

        async def write(db: goes.Database, name: str) -> int:
            tallies = db.repository(Tally)
            done = 0
            while not stop:
                done += 1
                if done % 3:
                    await tallies.use(name, lambda tally: tally.add(1), create=True)
                else:
                    await db.commands.dispatch_async(Count(f"by-command-{name}", 1))
                await asyncio.sleep(0.005)
            return done

        async def follow(db: goes.Database) -> None:
            async for one in db.events.follow(after=0):
                seen.append(one.position)

        async with following(places[0]) as db, following(places[0]) as other, following(places[0]) as reader:
            other.commands.serve(Tally)
            async with (
                other.processor("effects", effect),
                other.projection(Sums()) as sums,
                other.commands.worker(),
            ):
                following_task = asyncio.create_task(follow(reader))
                writers = [asyncio.create_task(write(db, str(n))) for n in range(2)]
                await until(lambda: len(effects) > 5)
                for _ in range(rounds):
                    for source, target in (places, places[::-1]):
                        before = len(effects)
                        await move(source, target)
                        least = before + 5
                        await until(lambda: len(effects) > least)  # noqa: B023 - awaited at once
                stop = True
                done = sum(await asyncio.gather(*writers))
                await until(lambda: _is_done(db, done))
                head = await db.events.head()
                await sums.wait_for(head)
                await until(lambda: len(effects) == done and len(seen) == done)
                following_task.cancel()
                assert db.location == str(places[0])
                total = sum(record.total for record in await db.models_of("sums", Sum).query().list())
                assert total == done
        assert set(effects.values()) == {1}
        assert seen == sorted(effects)
        async with goes.connect(str(places[0]), registry=registry) as plain:
            assert [one.position for one in await plain.events.query().list()] == seen
            tallies = [await plain.repository(Tally).fetch(name) for name in ("0", "1")]
            assert sum(tally.total for tally in tallies) == sum(tally.version for tally in tallies)

    asyncio.run(program())


async def _is_done(db: goes.Database, number: int) -> bool:
    return await db.events.count() == number


def test_a_handle_that_only_reads_goes_there_too(tmp_path: Path) -> None:
    old, new = tmp_path / "old.db", tmp_path / "new.db"

    async def program() -> None:
        async with following(old) as db:
            await db.events.append([event()])
            await move(old, new)
            await until(lambda: db.location == str(new))
            async with goes.connect(str(new), registry=registry) as other:
                await other.events.append([event(2)])
                assert (await db.events.head(), db.identity) == (2, other.identity)

    asyncio.run(program())


@pytest.mark.parametrize("url", ["sqlite", "postgresql", "mongodb"], indirect=True)
def test_a_handle_that_may_not_write_may_not_write_there(tmp_path: Path, url: str) -> None:
    """Whatever backend the store is moved to."""
    old = tmp_path / "old.db"

    async def program() -> None:
        async with goes.connect(str(old), registry=registry) as db:
            await db.events.append([event()])
        async with goes.connect(str(old), registry=registry, on_moved=lambda _: url, read_only=True) as db:
            await move(old, url)
            await until(lambda: db.location != str(old))
            assert await db.events.head() == 1
            with pytest.raises(StoreReadOnly):
                await db.events.append([event(2)])
            assert await db.events.head() == 1

    asyncio.run(program())


def test_a_store_that_was_moved_before(tmp_path: Path) -> None:
    """It opens where the store is; a move that was decided and not finished is finished."""
    old, new, third = (tmp_path / name for name in ("old.db", "new.db", "third.db"))

    async def program() -> None:
        async with goes.connect(str(old), registry=registry) as db:
            await db.events.append([event()])
        await move(old, new)
        async with following(old) as db:
            assert db.location == str(new)
            await db.events.append([event()])
        await move(new, third)
        async with following(old) as db:
            assert (db.location, (await db.events.append([event()])).position) == (str(third), 3)

    asyncio.run(program())


@pytest.mark.parametrize("mover", ["at work", "gone"])
def test_who_arrives_at_the_target_before_it_is_opened(tmp_path: Path, mover: str) -> None:
    """It stays there, opens it if nobody else does, and does not open the source again."""
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    decided, arrived = asyncio.Event(), asyncio.Event()

    class Slow(WrappedBackend):
        async def set_fence(self, fence: Fence | None, *, expected: str | None, lasts: float | None = None) -> None:
            if fence is None:
                decided.set()
                await arrived.wait()
                if mover == "gone":
                    raise OSError
            await self.backend.set_fence(fence, expected=expected, lasts=lasts)

    async def move_slowly() -> None:
        async with (
            goes.connect(str(old), registry=registry) as one,
            goes.connect(str(new), registry=registry, unfinished=True) as two,
        ):
            await cutover(one.backend, Slow(two.backend), budget=60)

    async def program() -> None:
        async with goes.connect(str(old), registry=registry) as db:
            await db.events.append([event()])
        moving = asyncio.create_task(move_slowly())
        await decided.wait()
        async with goes.connect(str(old), registry=registry, on_moved="follow", read_only=True) as db:
            assert (db.location, await db.events.head()) == (str(new), 1)
        async with following(new) as db:
            assert db.location == str(new)
            assert (await db.events.append([event()])).position == 2
            arrived.set()
            await asyncio.wait([moving])
            assert (moving.exception() is None) == (mover == "at work")
        async with goes.connect(str(old), registry=registry) as plain:
            with refused(StoreMoved, to=str(new)):
                await plain.events.append([event()])

    asyncio.run(program())


def test_a_handle_that_is_closed_while_it_goes_there(tmp_path: Path) -> None:
    """It leaves no handle open at the new place, where the write that waits has not happened."""
    old, new = tmp_path / "old.db", tmp_path / "new.db"

    async def program() -> None:
        may_go, going = asyncio.Event(), asyncio.Event()

        def place(url: str) -> str:
            if not may_go.is_set():
                raise LookupError(url)
            going.set()
            return url

        db = await goes.connect(str(old), registry=registry, on_moved=place)
        await db.events.append([event()])
        await move(old, new)
        may_go.set()
        writing = asyncio.create_task(db.events.append([event()]))
        await going.wait()
        await db.close()
        with refused(StoreClosed):
            await writing
        async with goes.connect(str(new), registry=registry) as plain:
            assert await plain.events.head() == 1

    asyncio.run(program())
    assert _handles(tmp_path) == 0


def test_a_url_that_is_known_only_later(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A function that fails is asked again: a handle that only reads goes there then."""
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    urls: dict[str, str] = {}

    async def program() -> None:
        async with goes.connect(str(old), registry=registry, on_moved=lambda place: urls[place]) as db:
            await db.events.append([event()])
            await move(old, new)
            await until(lambda: "KeyError" in caplog.text)
            urls[str(new)] = str(new)
            await until(lambda: db.location == str(new))

    asyncio.run(program())


def test_who_waits_is_ended_while_the_store_moves(tmp_path: Path) -> None:
    """It does not begin to wait again at the new place."""
    old, new = tmp_path / "old.db", tmp_path / "new.db"

    async def program() -> None:
        async with following(old) as db:
            await db.events.append([event()])
            pages = db.events.follow(after=1)
            waiting = asyncio.create_task(pages.next_page())
            moving = asyncio.create_task(move(old, new))
            async with asyncio.timeout(PATIENCE):
                while db.location == str(old):  # noqa: ASYNC110 - in the same turn of the loop
                    await asyncio.sleep(0)
                await pages.aclose()
                assert await waiting == ()
                await moving

    asyncio.run(program())


def test_something_else_is_where_the_store_was_moved_to(tmp_path: Path) -> None:
    """Its file is gone, so opening it makes an empty store: nobody goes on in that."""
    old, new, elsewhere = (tmp_path / name for name in ("old.db", "new.db", "elsewhere.db"))

    async def program() -> None:
        async with goes.connect(str(old), registry=registry) as db:
            await db.events.append([event()])
        await move(old, new)
        new.rename(elsewhere)
        with refused(StoreUnavailable, location=str(new)):
            await following(old)
        async with goes.connect(str(old), registry=registry, on_moved=lambda _: str(elsewhere)) as db:
            assert (await db.events.append([event()])).position == 2

    asyncio.run(program())


def test_handles_of_former_places_are_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often the store moves, a program has no more than three handles on it."""
    places = [tmp_path / "old.db", tmp_path / "new.db"]
    monkeypatch.setattr("goes_lite.database._whereabouts.LINGER", 0.01)

    async def program() -> None:
        async with following(places[0]) as db:
            for number in range(6):
                await db.events.append([event()])
                await move(places[number % 2], places[(number + 1) % 2])
            assert (await db.events.append([event()])).position == 7
            await until(lambda: _handles(tmp_path) <= 3)
        assert _handles(tmp_path) == 0

    asyncio.run(program())


def _handles(folder: Path) -> int:
    """The number of open handles on stores in a folder."""
    found = [one for one in gc.get_objects() if type(one) is SQLiteBackend]
    return sum(str(folder) in one.location and ": closed" not in repr(one) for one in found)


def test_a_transaction_can_be_run_again(tmp_path: Path) -> None:
    """One that was open when the store was moved has stored nothing, and says so as any other conflict."""
    old, new = tmp_path / "old.db", tmp_path / "new.db"

    async def program() -> None:
        async with following(old) as db:
            await db.events.append([event()])
            await db.models.put("c", "1", "1")
            await move(old, new)
            conflicts = 0
            while True:
                try:
                    async with db.transaction() as tx:
                        await tx.events.append([event()])
                        await tx.models.put("c", "1", "2")
                except TransactionConflict:
                    conflicts += 1
                else:
                    break
            assert conflicts <= 1
            assert (db.location, await db.events.head()) == (str(new), 2)
        async with goes.connect(str(old), registry=registry, read_only=True) as plain:
            record = await plain.models.get("c", "1")
            assert record is not None
            assert (await plain.events.head(), record.data) == (1, "1")

    asyncio.run(program())


def test_leases_go_along(tmp_path: Path) -> None:
    """The instance that was active stays it, under the lease that it has; nobody takes over because of a move."""
    old, new = tmp_path / "old.db", tmp_path / "new.db"

    async def program() -> None:
        async with following(old) as db, following(old) as standby:
            await db.events.append([event()])
            lease = await db.leases.acquire("reader", "me", 60)
            await db.checkpoints.save("reader", 1, lease=lease)
            await move(old, new)
            with refused(LeaseHeld, owner="me"):
                await standby.leases.acquire("reader", "other", 60)
            await db.checkpoints.save("reader", 1, lease=lease)
            async with db.transaction() as tx:
                await tx.checkpoints.save("reader", 1, lease=lease)
            assert db.location == str(new)
            await db.leases.renew(lease, 60)
            assert await db.leases.release(lease)
            await until(lambda: standby.location == str(new))

            async def takes_over() -> bool:
                try:
                    await standby.leases.acquire("reader", "other", 60)
                except LeaseHeld:
                    return False
                return True

            await until(takes_over)

    asyncio.run(program())


def test_the_blocking_face(tmp_path: Path) -> None:
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    with goes.blocking.connect(old, registry=registry, on_moved="follow") as db:
        tallies = db.repository(Tally)
        tallies.use("a", lambda tally: tally.add(1), create=True)
        asyncio.run(move(old, new))
        tallies.use("a", lambda tally: tally.add(2))
        assert (tallies.fetch("a").total, db.location) == (3, str(new))
    with refused(ConfigError):
        goes.blocking.connect(old, registry=registry, on_moved="follow", inline=True)
    with refused(ConfigError):
        goes.blocking.connect(old, registry=registry, on_moved="sometimes")  # type: ignore[arg-type]


def test_without_it_writers_are_told(tmp_path: Path) -> None:
    """The default; and a function says how a place is opened that needs more than its URL."""
    old, new = tmp_path / "old.db", tmp_path / "new.db"

    async def program() -> None:
        asked: list[str] = []

        def opened(place: str) -> str:
            asked.append(place)
            return f"sqlite:///{place}"

        async with (
            goes.connect(str(old), registry=registry) as plain,
            goes.connect(str(old), registry=registry, on_moved=opened) as db,
        ):
            await plain.events.append([event()])
            await move(old, new)
            with refused(StoreMoved, to=str(new)):
                await plain.events.append([event()])
            await db.events.append([event()])
            assert (set(asked), db.location) == ({str(new)}, str(new))

    asyncio.run(program())


@pytest.mark.parametrize("waits", ["commits", "follow"])
def test_who_waits_is_woken_there(tmp_path: Path, waits: str) -> None:
    old, new = tmp_path / "old.db", tmp_path / "new.db"

    async def program() -> None:
        async with following(old) as db:
            await db.events.append([event(1)])
            pages = db.events.follow(after=1)
            waiting = asyncio.create_task(pages.next_page()) if waits == "follow" else None
            await move(old, new)
            await until(lambda: db.location == str(new))
            seen = db.commits.count
            woken = asyncio.create_task(db.commits.wait(seen, PATIENCE))
            async with goes.connect(str(new), registry=registry) as other:
                await other.events.append([event(2)])
            assert await woken
            assert db.commits.count > seen
            if waiting is not None:
                assert [one.data.number for one in await waiting] == [2]
            await pages.aclose()
            assert await pages.next_page() == ()

    asyncio.run(program())
