"""The server is killed, stopped, restarted, out of connections, under load: what was acknowledged is there, once (G3, G5)."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from typing import Any

import pytest
from goes_lite_conformance.harness.samples import note, registry
from goes_lite_conformance.servers import postgres

import goes_lite as goes
from goes_lite.contract.event_store import Appended
from goes_lite.errors import AppendInDoubtError, StoreUnavailable
from goes_lite.events.event import Event
from tests.backends.postgres_kit import needs_postgres, store_url

needs_postgres()

from goes_lite_postgres._append import Group  # noqa: E402 - not before it is known to be there
from goes_lite_postgres._ends import Ends  # noqa: E402


async def write(
    db: goes.Backend, name: str, stop: asyncio.Event, acknowledged: dict[Any, int], count: list[int]
) -> None:
    """Append until told to stop, whatever becomes of the server; what fails is tried again."""
    version = 0
    while not stop.is_set():
        version += 1
        event = note(f"{name}-{version}", (name, "1"), version)
        while True:
            try:
                acknowledged[event.id] = (await db.events.append([event])).position
                break
            except (StoreUnavailable, AppendInDoubtError):
                count[0] += 1
        await db.models.put("counts", name, str(version))


async def reach(acknowledged: dict[Any, int], number: int) -> None:
    """Let others go on until so many are acknowledged."""
    while len(acknowledged) < number:  # noqa: ASYNC110 - a count is what is waited for
        await asyncio.sleep(0.001)


def judge(log: list[Event[Any]], acknowledged: dict[Any, int]) -> None:
    assert {event.id: event.position for event in log} == acknowledged
    assert [event.position for event in log] == list(range(1, len(log) + 1))


def test_the_server_is_killed_under_load(rounds: int) -> None:
    """kill -9 of the server, again and again: each acknowledged append is there, and each that was retried is there once.

    A follower that was there from the beginning has seen each of them once, in order.
    """

    async def run(server: postgres.PostgresServer) -> None:
        chance = random.Random(rounds)
        acknowledged: dict[Any, int] = {}
        stop, failed = asyncio.Event(), [0]
        async with goes.connect(store_url(server.url), registry=registry) as db:
            writers = [asyncio.create_task(write(db, f"w{n}", stop, acknowledged, failed)) for n in range(6)]
            followed: list[Event[Any]] = []

            async def follow() -> None:
                async for event in db.events.follow(after=0):
                    followed.append(event)
                    if event.aggregate is None:
                        return

            follower = asyncio.create_task(follow())
            for _ in range(3 * rounds):
                before = len(acknowledged)
                await reach(acknowledged, before + chance.randrange(5, 50))
                await asyncio.to_thread(server.kill)
                await asyncio.sleep(chance.random() * 0.2)
                await asyncio.to_thread(server.start)
            stop.set()
            await asyncio.gather(*writers)
            judge(await db.events.query().list(), acknowledged)
            for name in range(6):  # and of the models none was written twice, or lost
                record = await db.models.get("counts", f"w{name}")
                assert record is not None
                assert int(record.data) == record.version
            await db.events.append([note("end")])
            await asyncio.wait_for(follower, 30)
            assert [event.position for event in followed] == list(range(1, len(acknowledged) + 2))
            assert failed == [0]  # all of it was within the time that operations go on trying

    with postgres.server() as server:
        asyncio.run(run(server))


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_server_that_stays_away(how: str) -> None:
    """Behind the time for retries there is a typed error, without the password; once the server is back, all goes on."""

    async def run(server: postgres.PostgresServer) -> None:
        url = store_url(server.url.replace("postgres@", "postgres:secret-word@"), retry_timeout=0.5)
        async with goes.connect(url, registry=registry) as db:
            first = note("1")
            await db.events.append([first])
            await asyncio.to_thread(getattr(server, how))
            for call in (
                lambda: db.events.append([note("2")]),
                db.events.head,
                lambda: db.models.put("c", "1", "{}"),
                lambda: db.transaction().__aenter__(),
            ):
                with pytest.raises((StoreUnavailable, AppendInDoubtError)) as caught:
                    await call()
                assert "secret-word" not in str(caught.value)
                assert "secret-word" not in repr(caught.value.__cause__)
            with pytest.raises(StoreUnavailable) as refused:
                await goes.connect(url, connect_timeout=0.3)
            assert "secret-word" not in str(refused.value)
            await asyncio.to_thread(server.start)
            assert (await db.events.append([first])).already_committed
            assert (await db.events.append([note("3")])).position == 2

    with postgres.server(fsync=False) as server:
        asyncio.run(run(server))


def test_a_transaction_that_loses_its_connection() -> None:
    """It is StoreUnavailable, nothing of it is stored, and the next one works."""

    async def run() -> None:
        async with goes.connect(store_url(), registry=registry) as db:
            with pytest.raises(StoreUnavailable, match="nothing of it is stored"):
                async with db.transaction() as tx:
                    await tx.events.append([note("lost")])
                    await tx.models.put("c", "1", "{}")
                    pid = (await tx.execute("SELECT pg_backend_pid()"))[0][0]
                    await db.select("SELECT pg_terminate_backend($1)", (pid,))
                    await tx.events.append([note("lost, too")])
            assert await db.events.head() == 0
            assert await db.models.get("c", "1") is None
            async with db.transaction() as tx:
                await tx.events.append([note("kept")])
            assert await db.events.head() == 1

    asyncio.run(run())


def test_a_number_that_the_server_gives_out_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash loses a transaction, and another one gets its number and is committed: what was lost is written again."""
    note_end = Ends.note

    async def run() -> None:
        url = store_url()
        async with goes.connect(url, registry=registry) as db, goes.connect(url, registry=registry) as other:
            async with other.transaction() as tx:
                await tx.models.put("c", "other", "{}")
                ((number,),) = await tx.execute("SELECT pg_current_xact_id()::text")

            async def crashed(self: Ends, connection: Any) -> Any:
                noted = await note_end(self, connection)
                monkeypatch.setattr(Ends, "note", note_end)
                connection.terminate()
                assert noted is not None
                return noted._replace(xid=number)

            monkeypatch.setattr(Ends, "note", crashed)
            assert await db.models.put("c", "1", "1") == 1
            assert await other.models.get("c", "1") is not None
            monkeypatch.setattr(Ends, "note", crashed)
            with pytest.raises(StoreUnavailable, match="nothing of it is stored"):
                async with db.transaction() as tx:
                    await tx.models.put("c", "2", "1")
            assert await other.models.get("c", "2") is None
            assert await other.select("SELECT count(*) > 0 FROM commits") == [(True,)]
        async with goes.connect(url) as db:
            assert await db.select("SELECT count(*) FROM commits") == [(0,)]  # each handle has removed its own

    asyncio.run(run())


def test_appends_of_which_nobody_heard_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection breaks when an append is stored, in the only message that it takes: it does not fail, and is stored once."""
    write = Group.write

    async def run() -> list[str]:
        unheard: list[str] = []
        async with goes.connect(store_url(), registry=registry) as db:
            backend: Any = db.backend
            alone = backend.executor.sql.append
            await db.events.append([note("the name gets its number")])
            await db.events.append([note("this handle learns of it")])

            async def deaf(self: Group, connection: Any, sql: str) -> int | None:
                before = await write(self, connection, sql)
                if before is not None and sql == alone:
                    unheard.append(sql)
                    connection.terminate()
                    raise ConnectionResetError("the answer was lost")
                return before

            monkeypatch.setattr(Group, "write", deaf)
            several = await asyncio.gather(*(db.events.append([note(str(number))]) for number in range(5)))
            last = await db.events.append([event := note("one more")])
            assert [one.already_committed for one in (*several, last)] == [False] * 6
            assert sorted(one.position for one in (*several, last)) == [3, 4, 5, 6, 7, 8]
            assert await db.events.append([event]) == Appended((8,), already_committed=True)
            assert await db.events.count() == 8
        return unheard

    assert len(asyncio.run(run())) >= 2


def test_commits_of_which_nobody_heard_the_end() -> None:
    """The connection breaks right behind a COMMIT that the server has done: no write fails, and none is done twice."""

    async def run() -> None:
        async with goes.connect(store_url(), registry=registry) as db:
            backend: Any = db.backend
            executor = backend.executor
            # The server ends its own process in the very message that commits, so its answer is never heard.
            ends = executor.ends
            deaf = executor.sql.commit + "; SELECT pg_terminate_backend(pg_backend_pid())"
            writer = backend._writer
            for number in range(1, 4):
                ends.sql = ends.sql._replace(commit=deaf)
                assert await db.models.put("c", "1", str(number)) == number
                async with db.transaction() as tx:
                    await tx.models.put("c", "2", str(number))
                ends.sql = ends.sql._replace(commit=deaf.partition("; SELECT")[0])
                writer.sql = writer.sql._replace(commit=deaf)
                appending = asyncio.create_task(db.events.append([note(str(number))]))
                following = db.events.follow(after=number - 1)
                await anext(following)  # it is committed
                writer.sql = writer.sql._replace(commit=deaf.partition("; SELECT")[0])
                appended = await appending
                assert (appended.position, appended.already_committed) == (number, False)
            records = await db.models.query("c").list()
            assert [(record.id, record.version) for record in records] == [("1", 3), ("2", 3)]
            assert await db.events.count() == 3

    asyncio.run(run())


def test_a_connection_that_hangs() -> None:
    """A server process that says nothing any more is left for another one: reads, appends and writes go on."""

    async def run() -> None:
        url = store_url(command_timeout=0.3, lock_timeout=0.2)
        async with goes.connect(url, registry=registry) as db, goes.connect(url) as other:
            for number in range(1, 4):
                await asyncio.gather(db.events.append([note("x")]), db.models.put("c", "1", "{}"), db.events.head())
                backend: Any = db.backend
                stopped = backend._pool.pids
                for pid in stopped:
                    os.kill(pid, signal.SIGSTOP)
                try:
                    assert (await db.events.head()) == 2 * number - 1
                    assert (await db.events.append([note("y")])).position == 2 * number
                    await db.models.put("c", "1", "{}")
                finally:
                    for pid in stopped:
                        os.kill(pid, signal.SIGCONT)
            assert await other.events.count() == 6

    asyncio.run(run())


def test_no_connection_is_left() -> None:
    """While the server has none to give, operations wait; if that lasts, it is a typed error that says what to do."""

    async def run(server: postgres.PostgresServer) -> None:
        async with goes.connect(store_url(server.url, retry_timeout=0.5), registry=registry) as db:
            await db.events.append([note("1")])
            others = [goes.connect(store_url(server.url, connect_timeout=0.5)) for _ in range(12)]
            opened: list[goes.Backend] = []
            with pytest.raises(StoreUnavailable, match="max_connections"):
                for other in others:
                    opened.append(await other)
            for handle in opened:
                await handle.close()
            await db.events.append([note("2")])

    with postgres.server(fsync=False, max_connections="10", superuser_reserved_connections="1") as server:
        asyncio.run(run(server))
