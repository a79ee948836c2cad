"""MongoDB where things go wrong: servers that are killed, step down, are none of a replica set, or hold something else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from goes_lite_conformance.servers import mongo

import goes_lite as goes
from goes_lite.errors import (
    AppendInDoubtError,
    ConfigError,
    InvalidEventError,
    StoreDamaged,
    StoreFull,
    StoreLocked,
    StoreReadOnly,
    StoreUnavailable,
)
from tests import wrong_arguments_kit
from tests.backends.mongo_kit import needs_mongo, store_url

needs_mongo()

from goes_lite_mongo import MongoBackend  # noqa: E402 - not before the driver is known to be there
from pymongo import MongoClient  # noqa: E402

registry = goes.Registry()
registry.register("fault.noted", str)


def noted(text: str) -> goes.Event[str]:
    return goes.Event(text, name="fault.noted", registry=registry)


def test_a_standalone_server_is_refused_with_the_way_out() -> None:
    async def connect(url: str) -> None:
        with pytest.raises(StoreUnavailable, match="standalone server.*--replSet rs0.*rs.initiate"):
            await goes.connect(url, connect_timeout=5)

    with mongo.server(fsync=False, replica_set=None) as server:
        asyncio.run(connect(server.url))


def test_an_index_of_another_definition_is_refused() -> None:
    """It has the name that it should have, and would let in an event twice."""
    with mongo.server(fsync=False) as server:
        client: MongoClient[dict[str, Any]] = MongoClient(server.url)
        with client:
            client.goes_lite.events.create_index([("id", 1)], name="events_by_id")

        async def connect() -> None:
            with pytest.raises(StoreDamaged, match="'events_by_id'"):
                await goes.connect(server.url)

        asyncio.run(connect())


def test_no_error_shows_the_password() -> None:
    async def connect() -> None:
        with pytest.raises(StoreUnavailable) as caught:
            await goes.connect("mongodb://me:secret@127.0.0.1:1/", connect_timeout=0.2)
        assert "secret" not in f"{caught.value} {caught.value!r} {caught.value.location}"
        with pytest.raises(ConfigError) as wrong:
            await goes.connect("mongodb://me:secret@127.0.0.1:1/?no_such=1&w=x#")
        assert "secret" not in str(wrong.value)

    asyncio.run(connect())


# --- errors of the server, brought about in the very command ------------------------------------------------------------


@pytest.fixture(scope="module")
def faulty() -> Iterator[mongo.MongoServer]:
    """A server that fails when it is told to."""
    with mongo.server("--setParameter", "enableTestCommands=1", fsync=False) as server:
        yield server


def fail(server: mongo.MongoServer, command: str, times: int, **how: Any) -> None:
    """Let the next so many commands of that name fail, of goes_lite's clients alone."""
    data = {"failCommands": [command], "appName": "doomed", **how}
    server.command("configureFailPoint", "failCommand", mode={"times": times}, data=data)


def failed(server: mongo.MongoServer) -> int:
    """How often a command has failed since the last time; from now on none does."""
    return int(server.command("configureFailPoint", "failCommand", mode="off")["count"])


@asynccontextmanager
async def doomed(server: mongo.MongoServer, **options: Any) -> AsyncGenerator[goes.Backend]:
    url = store_url(server.url, appName="doomed", **options)
    async with goes.connect(url, registry=registry) as db:
        yield db


TRANSIENT = ["TransientTransactionError"]


@pytest.mark.parametrize(
    ("command", "how"),
    [
        ("commitTransaction", {"closeConnection": True}),
        ("commitTransaction", {"errorCode": 50, "errorLabels": ["UnknownTransactionCommitResult"]}),
        ("commitTransaction", {"errorCode": 251, "errorLabels": TRANSIENT}),
        ("commitTransaction", {"writeConcernError": {"code": 64, "errmsg": "waited for too long"}}),
        ("findAndModify", {"errorCode": 112, "errorLabels": TRANSIENT}),
        ("findAndModify", {"closeConnection": True}),
        ("insert", {"errorCode": 10107, "errorLabels": TRANSIENT}),
        ("insert", {"closeConnection": True}),
        ("find", {"closeConnection": True}),
    ],
    ids=str,
)  # fmt: skip
def test_what_may_be_run_again_is(faulty: mongo.MongoServer, command: str, how: dict[str, Any]) -> None:
    """A command fails some times in a row: the append succeeds, once, and so does a read model."""

    async def run() -> None:
        async with doomed(faulty) as db:
            before = failed(faulty)
            fail(faulty, command, 3, **how)
            appended = await db.events.append([noted("x"), noted("y")])
            put = await db.models.put("c", "1", "{}")
            assert failed(faulty) > before
            assert (appended, put) == (((1, 2), False), 1)
            assert [event.data for event in await db.events.query().list()] == ["x", "y"]

    asyncio.run(run())


def test_a_commit_of_which_nobody_can_tell(faulty: mongo.MongoServer) -> None:
    """The append is in doubt, and is told later by appending the very same events; other writes say that they may be stored."""

    async def run() -> None:
        async with doomed(faulty, retry_timeout=0.3) as db:
            event = noted("x")
            fail(faulty, "commitTransaction", 10_000, closeConnection=True)
            with pytest.raises(AppendInDoubtError):
                await db.events.append([event])
            with pytest.raises(StoreUnavailable, match="may or may not be stored"):
                await db.models.put("c", "1", "{}")
            failed(faulty)
            assert (await db.events.append([event])).position == 1
            assert await db.events.count() == 1

    asyncio.run(run())


def test_a_full_disk_is_said(faulty: mongo.MongoServer) -> None:
    async def run() -> None:
        async with doomed(faulty) as db:
            fail(faulty, "insert", 1, errorCode=14031)
            with pytest.raises(StoreFull):
                await db.events.append([noted("x")])
            assert await db.events.head() == 0
            await db.events.append([noted("x")])

    asyncio.run(run())


def test_a_transaction_in_which_the_primary_goes(faulty: mongo.MongoServer) -> None:
    """Nothing of it is stored, and it says so; it is the user's to run it again."""

    async def run() -> None:
        async with doomed(faulty) as db:
            with pytest.raises(StoreUnavailable, match="nothing of it is stored"):
                async with db.transaction() as tx:
                    await tx.events.append([noted("x")])
                    fail(faulty, "insert", 1, closeConnection=True)
                    await tx.events.append([noted("y")])
            assert await db.events.count() == 0

    asyncio.run(run())


@pytest.mark.parametrize(
    ("command", "how"),
    [
        ("getMore", {"errorCode": 286}),  # the oplog has rolled over what the stream wanted
        ("getMore", {"closeConnection": True}),
        ("aggregate", {"errorCode": 286}),
        ("aggregate", {"errorCode": 13}),  # no right to open a stream: it polls
    ],
    ids=str,
)
def test_who_follows_goes_on_when_the_stream_breaks(
    faulty: mongo.MongoServer, command: str, how: dict[str, Any]
) -> None:
    """It misses nothing, repeats nothing, and needs not even be woken by a stream."""

    async def run() -> None:
        async with doomed(faulty) as db, goes.connect(db.location, registry=registry) as other:
            before = failed(faulty)
            fail(faulty, command, 5, **how)
            following = db.events.follow(after=0)
            for number in range(40):
                coming = asyncio.ensure_future(anext(following))
                await other.events.head()  # meanwhile it has found nothing, and waits
                await other.events.append([noted(str(number))])
                async with asyncio.timeout(10):
                    assert (await coming).data == str(number)
            assert failed(faulty) > before

    asyncio.run(run())


def test_whoever_may_do_little(tmp_path: Path) -> None:
    """Without the right to open a change stream a follower polls; who may only read reads; a wrong password is said at once.

    Who may not make collections can use those that somebody else has made, with the commands that are printed for it.
    """
    key = tmp_path / "key"
    key.write_text("a key that the members of the replica set share")
    key.chmod(0o600)
    app: list[dict[str, Any]] = [
        {"resource": {"db": "shop", "collection": ""},
         "actions": ["find", "insert", "update", "remove", "createCollection", "createIndex", "listCollections", "listIndexes"]},
    ]  # fmt: skip

    async def run(server: mongo.MongoServer) -> None:
        def url(user: str, password: str = "secret") -> str:
            return f"mongodb://{user}:{password}@127.0.0.1:{server.port}/shop?replicaSet=rs0&authSource=admin"

        async with (
            goes.connect(url("app"), registry=registry) as db,
            goes.connect(url("app"), registry=registry) as other,
        ):
            following = db.events.follow(after=0)
            for number in range(5):
                coming = asyncio.ensure_future(anext(following))
                await other.events.head()
                await other.events.append([noted(str(number))])
                async with asyncio.timeout(10):
                    assert (await coming).data == str(number)
            backend: Any = db.backend
            assert not backend._watcher._streams
        async with goes.connect(url("reader"), registry=registry) as db:
            assert await db.events.count() == 5
            assert (await anext(db.events.follow(after=4))).data == "4"
            with pytest.raises(StoreReadOnly):
                await db.events.append([noted("x")])
        async with goes.connect(url("bare"), registry=registry, prefix="made_") as db:
            await db.events.append([noted("x")])
        with pytest.raises(StoreReadOnly):
            await goes.connect(url("bare"), prefix="missing_")
        with pytest.raises(StoreUnavailable, match="refuses the login") as wrong:
            await goes.connect(url("app", "not-the-word"))
        assert "not-the-word" not in str(wrong.value)

    with mongo.server("--auth", "--keyFile", str(key), fsync=False) as server:
        server.command("createUser", "root", pwd="secret", roles=["root"])  # the first one, from this machine
        admin: MongoClient[dict[str, Any]] = MongoClient(
            f"mongodb://root:secret@127.0.0.1:{server.port}/?replicaSet=rs0"
        )
        with admin:
            admin.admin.command("createRole", "writer", privileges=app, roles=[])
            bare = [{**app[0], "actions": [name for name in app[0]["actions"] if not name.startswith("create")]}]
            admin.admin.command("createRole", "bare", privileges=bare, roles=[])
            admin.admin.command("createUser", "bare", pwd="secret", roles=["bare"])
            for command in MongoBackend.ddl("made_"):
                admin.shop.command(json.loads(command.removeprefix("db.runCommand(").removesuffix(")")))
            admin.admin.command("createUser", "app", pwd="secret", roles=["writer"])
            admin.admin.command("createUser", "reader", pwd="secret", roles=[{"role": "read", "db": "shop"}])
        asyncio.run(run(server))


# --- what the server cannot take ----------------------------------------------------------------------------------------


def test_an_event_of_more_than_16_mb_is_refused() -> None:
    """It is said, disturbs nobody beside it, and nothing of its batch is stored. Many that are smaller are one batch."""

    async def run() -> None:
        async with goes.connect(store_url(), registry=registry) as db:
            large, small = noted("x" * 17_000_000), noted("y")
            outcomes = await asyncio.gather(
                db.events.append([noted("z"), large]), db.events.append([small]), return_exceptions=True
            )
            assert isinstance(outcomes[0], InvalidEventError)
            assert "16 MB" in str(outcomes[0])
            assert [event.data for event in await db.events.query().list()] == ["y"]
            await db.events.append([noted("x" * 1_000_000) for _ in range(40)])
            assert await db.events.count() == 41

    asyncio.run(run())


def test_the_transaction_of_a_program_that_lives_is_waited_for() -> None:
    """As long as lock_timeout says; whoever holds it is not disturbed."""

    async def run() -> None:
        url = store_url(lock_timeout=0.5)
        async with goes.connect(url, registry=registry) as db, goes.connect(url, registry=registry) as other:
            async with db.transaction() as tx:
                await tx.events.append([noted("x")])
                with pytest.raises(StoreLocked):
                    await other.events.append([noted("y")])
            assert [event.data for event in await other.events.query().list()] == ["x"]

    asyncio.run(run())


# --- servers that go ----------------------------------------------------------------------------------------------------


def test_no_primary_for_longer_than_anybody_waits() -> None:
    """Every operation says so, and all go on when there is one again."""

    async def go_on(server: mongo.MongoServer) -> None:
        async with goes.connect(server.url, registry=registry, retry_timeout=0.3) as db:
            await db.events.append([noted("x")])
            await asyncio.to_thread(server.kill)
            with pytest.raises((StoreUnavailable, AppendInDoubtError)):
                await db.events.append([noted("y")])
            with pytest.raises(StoreUnavailable):
                await db.events.head()
            with pytest.raises(StoreUnavailable):
                await db.models.put("c", "1", "{}")
            await asyncio.to_thread(server.start)
            await db.models.put("c", "1", "{}")
            assert [event.data for event in await db.events.query().list()][:1] == ["x"]

    with mongo.server("--journalCommitInterval", "2") as server:
        asyncio.run(go_on(server))


@pytest.mark.parametrize("fault", ["kill", "step down"])
def test_nothing_acknowledged_is_lost_and_nothing_is_doubled(fault: str, rounds: int) -> None:
    """Writers and a follower go on over a server that is killed, or steps down, again and again."""

    async def go_on(server: mongo.MongoServer) -> None:
        acknowledged: dict[str, int] = {}
        followed: list[goes.Event[Any]] = []
        over = asyncio.Event()

        async def write(db: goes.Backend, writer: int) -> None:
            number = 0
            while not over.is_set():
                text = f"{writer}-{number}"
                acknowledged[text] = (await db.events.append([noted(text)])).position
                number += 1

        async def follow(db: goes.Backend) -> None:
            async for event in db.events.follow(after=0):
                followed.append(event)
                if event.data == "end":
                    return

        async with (
            goes.connect(server.url, registry=registry, retry_timeout=60) as db,
            goes.connect(server.url, registry=registry, retry_timeout=60) as other,
        ):
            follower = asyncio.create_task(follow(other))
            writers = [asyncio.create_task(write(db, writer)) for writer in range(8)]
            for _ in range(3 * rounds):
                before = len(acknowledged)
                while len(acknowledged) < before + 40:  # noqa: ASYNC110 - appends of others are what counts
                    await asyncio.sleep(0.01)
                if fault == "kill":
                    await asyncio.to_thread(server.kill)
                    await asyncio.to_thread(server.start)
                else:
                    await asyncio.to_thread(server.step_down)
            over.set()
            await asyncio.gather(*writers)
            await db.events.append([noted("end")])
            async with asyncio.timeout(60):
                await follower
            stored = await db.events.query().list()
        texts = [event.data for event in stored]
        assert len(texts) == len(set(texts))
        at = {event.data: event.position for event in stored}
        assert {text: at.get(text) for text in acknowledged} == acknowledged
        assert [event.position for event in followed] == [event.position for event in stored]

    with mongo.server("--journalCommitInterval", "2") as server:
        asyncio.run(go_on(server))


def test_the_transaction_of_a_program_that_lives_is_left_alone() -> None:
    """Whoever waits looks for transactions of the dead (which the crash suite has), and ends no other."""

    async def run() -> None:
        url = store_url(lock_timeout=20)
        async with goes.connect(url, registry=registry) as db, goes.connect(url, registry=registry) as other:
            async with asyncio.TaskGroup() as group, db.transaction() as tx:
                waiting = group.create_task(other.events.append([noted("later")]))
                await asyncio.sleep(0.5)  # in which it looks twice
                assert not waiting.done()
                await tx.events.append([noted("first")])
            assert [event.data for event in await db.events.query().list()] == ["first", "later"]

    asyncio.run(run())


def test_wrong_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a public call is given, no error of the driver gets out."""
    monkeypatch.chdir(tmp_path)
    wrong_arguments_kit.check_server(store_url())
