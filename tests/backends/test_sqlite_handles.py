"""The life of a handle: closing at any moment, forks, interrupts, the end of the interpreter, and keeping the file's locks."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

import goes_lite
from goes_lite.blocking import BlockingBackend
from goes_lite.errors import StoreClosed, StoreLocked, StoreUnavailable, TransactionError, UnsafeAccess
from goes_lite.event import AggregateRef
from goes_lite.query import EventQuery
from goes_lite.sqlite import SQLiteBackend, _guard
from goes_lite.sqlite._writer import Operation, Writer

if TYPE_CHECKING:
    from tests.backends.conftest import Spawn
    from tests.backends.sqlite_kit import check_file, note, numbers, registry, store
else:
    from sqlite_kit import check_file, note, numbers, registry, store


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "app.db")


def writer_of(db: BlockingBackend) -> Writer:
    return cast(SQLiteBackend, db.backend).writer


def our_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("goes_lite")]


# --- closing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["file", "memory"])
def test_everything_is_refused_after_close(path: str, driver: str, where: str) -> None:
    """StoreClosed, from whatever is called; but closing twice is fine."""
    db = store(path if where == "file" else ":memory:", driver)
    db.events.append([note(1)])
    pages = db.events.query()
    following = db.events.follow(after=0)
    assert next(following).position == 1
    db.close()
    db.close()
    uses: list[Callable[[], object]] = [
        lambda: db.events.append([note(2)]),
        lambda: db.events.load(AggregateRef("a", "1")),
        lambda: db.events.find(note(1).id),
        lambda: next(pages),
        lambda: next(following),
        lambda: db.events.delete(AggregateRef("a", "1")),
        lambda: db.events.aggregates().list(),
        lambda: db.snapshots.latest(AggregateRef("a", "1")),
        lambda: db.models.put("c", "1", "{}"),
        lambda: db.models.get("c", "1"),
        lambda: db.checkpoints.save("p", 1),
        lambda: db.leases.acquire("l", "me", 1.0),
        lambda: db.transaction().__enter__(),
        lambda: db.backup(path + ".copy"),
        db.events.head,
        db.events.count,
    ]
    for use in uses:
        with pytest.raises(StoreClosed, match="connect again"):
            use()
    assert "closed" in repr(db)
    assert not os.path.exists(path + ".copy")


def test_everything_is_refused_after_close_async(path: str, driver: str) -> None:
    """The same on the async face, and no thread is left: not after closing, and not after what was refused."""

    async def main() -> None:
        db = await goes_lite.connect(path, registry=registry, driver=driver)
        await db.events.append([note(1)])
        await db.close()
        await db.close()
        assert our_threads() == []
        uses: list[Callable[[], Coroutine[Any, Any, object]]] = [
            lambda: db.events.append([note(2)]),
            db.events.head,
            lambda: db.events.query().list(),
            lambda: db.events.follow(after=0).next_page(),
            lambda: db.models.put("c", "1", "{}"),
            lambda: db.transaction().__aenter__(),
            lambda: db.backup(path + ".copy"),
        ]
        for use in uses:
            with pytest.raises(StoreClosed):
                await use()
        assert our_threads() == []

    asyncio.run(main())


def test_closing_with_appends_in_flight(path: str, driver: str) -> None:
    """Threads append while another closes: an append is acknowledged and stored, or StoreClosed and not stored."""
    stored: list[int] = []
    for turn in range(20):
        db = store(path, driver, durability="normal")
        begun = threading.Barrier(5)
        surprises: list[BaseException] = []

        def work(first: int, db: Any = db, begun: Any = begun, surprises: Any = surprises) -> None:
            begun.wait()
            try:
                for number in range(first, first + 1000):
                    db.events.append([note(number)])
                    stored.append(number)
            except StoreClosed:
                pass
            except BaseException as surprise:
                surprises.append(surprise)

        threads = [threading.Thread(target=work, args=(turn * 10_000 + n * 1000,)) for n in range(4)]
        for thread in threads:
            thread.start()
        begun.wait()
        db.close()
        for thread in threads:
            thread.join()
        assert not surprises
    assert sorted(noted.number for noted in check_file(path)) == sorted(stored)


def test_closing_with_appends_in_flight_async(path: str, driver: str) -> None:
    """The same with tasks; what was put into the queue before close is stored, and nobody waits for ever."""
    stored: list[int] = []

    async def work(db: Any, number: int) -> None:
        try:
            while True:
                await db.events.append([note(number)])
                stored.append(number)
        except StoreClosed:
            pass

    async def main() -> None:
        for turn in range(20):
            db = await goes_lite.connect(path, registry=registry, driver=driver, durability="normal")
            tasks = [asyncio.create_task(work(db, turn * 100 + n)) for n in range(20)]
            await db.events.append([note(-1)])
            await db.close()
            async with asyncio.timeout(60):
                await asyncio.gather(*tasks)
            assert our_threads() == []

    asyncio.run(main())
    assert sorted(noted.number for noted in check_file(path) if noted.number >= 0) == sorted(stored)


def test_what_comes_before_close_and_what_comes_behind(path: str, driver: str) -> None:
    """What is in the queue when a store is closed is stored; what comes later is refused, not left lying for ever."""
    db = store(path, driver)
    writer = writer_of(db)
    before: Operation[Any] = Operation(lambda connection: None, None, None)
    writer._queue.append(before)
    db.close()
    assert before.done
    with pytest.raises(StoreClosed):
        writer.put(Operation(lambda connection: None, None, None))


def test_a_cancelled_close_closes(path: str, driver: str) -> None:
    """G11: whoever is cancelled while closing has closed all the same: no thread and no claim on the file is left."""

    async def main() -> None:
        for turns in range(6):
            db = await goes_lite.connect(path, registry=registry, driver=driver)
            await db.events.append([note(1)])
            closing = asyncio.create_task(db.close())
            for _ in range(turns):
                await asyncio.sleep(0)
            closing.cancel()
            await asyncio.gather(closing, return_exceptions=True)
            if turns:  # else it had not begun
                assert our_threads() == []
            await db.close()
            assert our_threads() == []
            assert path not in _guard._live

    asyncio.run(main())


def test_closing_waits_for_a_transaction(path: str, driver: str) -> None:
    """What is under way is finished: a transaction that another thread is inside of can still commit."""
    db = store(path, driver)
    inside, go_on = threading.Event(), threading.Event()

    def transact() -> None:
        with db.transaction() as transaction:
            transaction.events.append([note(1)])
            inside.set()
            go_on.wait()
            transaction.events.append([note(2)])

    thread = threading.Thread(target=transact)
    thread.start()
    inside.wait()
    closer = threading.Thread(target=db.close)
    closer.start()
    go_on.set()
    closer.join()
    thread.join()
    assert [noted.number for noted in check_file(path)] == [1, 2]


def test_closing_inside_a_transaction_is_refused(path: str, driver: str) -> None:
    """It would wait for itself: TransactionError, and the transaction goes on."""
    with store(path, driver) as db:
        with db.transaction() as transaction:
            transaction.events.append([note(1)])
            with pytest.raises(TransactionError):
                db.close()
            transaction.events.append([note(2)])
        assert numbers(db) == [1, 2]


@pytest.mark.parametrize("face", ["blocking", "async"])
def test_a_forgotten_handle_is_reported(path: str, driver: str, face: str) -> None:
    """ResourceWarning, with where and what; the file is free again, and its thread ends."""

    async def forget() -> None:
        db = await goes_lite.connect(path, registry=registry, driver=driver)
        await db.events.append([note(1)])

    def forget_until_reported() -> None:
        if face == "async":
            asyncio.run(forget())
        else:
            store(path, driver).events.append([note(1)])
        deadline = time.monotonic() + 60
        while path in _guard._live and time.monotonic() < deadline:
            gc.collect()  # once the thread is back from the commit and waits, nothing holds the handle

    with pytest.warns(ResourceWarning, match="was not closed: use it in a with block") as caught:
        forget_until_reported()
    assert path in str(caught[0].message)
    for thread in threading.enumerate():
        if thread.name == "goes_lite-writer":
            thread.join(60)
    gc.collect()
    assert "goes_lite-writer" not in our_threads()
    assert Path(path).read_bytes()[:6] == b"SQLite"  # no longer guarded
    with store(path, driver) as db:
        assert numbers(db) == [1]


FACES = ["blocking", "transaction", "thread", "async", "async-open-loop", "async-transaction", "async-queued"]


@pytest.mark.parametrize("face", FACES)
def test_the_interpreter_ends_with_open_handles(path: str, driver: str, face: str, spawn: Spawn) -> None:
    """However a program ends without closing: exit code 0, and nothing on stderr.

    What was acknowledged is stored, what was in the queue too, and what was in a transaction is not.
    """
    worker = spawn("exit_open", path=path, driver=driver, face=face)
    worker.expect("exiting")
    worker.finish()
    if face not in ("transaction", "thread", "async-transaction"):
        assert not os.path.exists(path + "-wal")  # it was closed, not only dropped
    stored = [noted.number for noted in check_file(path)]
    assert stored == ([1] if face != "async-queued" else [1, *range(2, 52)])


# --- interrupts -----------------------------------------------------------------------------------------------------


MOMENTS = ["in the queue", "after the lock", "at work", "before COMMIT", "after COMMIT", "after all"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_interrupted_leader(
    path: str, driver: str, moment: str, spawn: Spawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KeyboardInterrupt hits the thread that commits for itself and for another.

    The other's operation is done exactly once; its own is stored if COMMIT was through, else never, not even later; and
    the locks are free for other processes.
    """
    with store(path, driver) as db:
        writer = writer_of(db)
        interrupted = threading.Event()

        def interrupt() -> None:
            if not interrupted.is_set():
                interrupted.set()
                raise KeyboardInterrupt

        class Interrupting:
            """The connection, with a Ctrl-C between two of its statements."""

            def __init__(self, connection: Any) -> None:
                self._connection = connection

            def execute(self, statement: str, *parameters: Any) -> Any:
                if moment == "at work" and statement.startswith("INSERT INTO events"):
                    interrupt()
                if moment == "before COMMIT" and statement == "COMMIT":
                    interrupt()
                result = self._connection.execute(statement, *parameters)
                if moment == "after the lock" and statement == "BEGIN IMMEDIATE":
                    interrupt()
                if moment == "after COMMIT" and statement == "COMMIT":
                    interrupt()
                return result

            def __getattr__(self, name: str) -> Any:
                return getattr(self._connection, name)

        neighbour: Operation[Any] = Operation(lambda connection: connection.execute(
            "INSERT INTO models VALUES ('c', '1', 1, '{}') ON CONFLICT DO UPDATE SET version = version + 1 RETURNING version"
        ).fetchall(), lambda _: interrupt() if moment == "after all" else None, None)  # fmt: skip
        holder = spawn("stay_inside", path=path, driver=driver) if moment == "in the queue" else None
        if holder is not None:
            holder.expect("inside")

            def hit(seconds: float) -> None:
                interrupt()

            monkeypatch.setattr("goes_lite.sqlite._turnstile.time.sleep", hit)
        with monkeypatch.context() as patched:
            # the proxy has what both drivers ask a connection for, so they need not know
            patched.setattr(writer, "connection", Interrupting(writer.connection))
            writer._queue.append(neighbour)
            with pytest.raises(KeyboardInterrupt):
                db.events.append([note(1)])
        monkeypatch.undo()
        assert interrupted.is_set()
        if holder is not None:
            holder.kill()
            holder.process.wait()
        through = moment.startswith("after COMMIT") or moment == "after all"
        assert neighbour.done == through
        lock = spawn("try_lock", path=path)
        lock.tell()
        lock.expect("free")
        other = spawn("commit", path=path, driver=driver)  # it has to get its turn as well
        other.expect("ready")
        other.tell(2)
        other.hear()
        db.events.append([note(3)])
        assert neighbour.done
        assert neighbour.outcome() == [(1,)]
        assert [record.version for record in db.models.query("c")] == [1]
        assert numbers(db) == ([1, 2, 3] if through else [2, 3])


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT to send")
def test_ctrl_c_is_heard_while_sqlite_waits(path: str, driver: str, spawn: Spawn) -> None:
    """A writer that waits for another program's lock, with a long lock timeout, hears Ctrl-C; and can go on later."""
    store(path, driver).close()
    holder = spawn("hold_foreign", path=path)
    holder.expect("held")
    worker = spawn("interrupted", path=path, driver=driver)
    worker.expect("waiting")
    worker.process.send_signal(signal.SIGINT)
    assert worker.hear(within=30) == "interrupted"  # while the lock is still held, and long before the lock timeout
    holder.tell()
    holder.expect("free")
    worker.tell()
    worker.expect([2])
    worker.finish()


def test_the_lock_timeout_of_threads(path: str, driver: str) -> None:
    """A thread that waits for another's transaction for too long: StoreLocked, and nothing is stored later either."""
    with store(path, driver, lock_timeout=0.2) as db:
        refused: list[BaseException] = []

        def work() -> None:
            try:
                db.events.append([note(2)])
            except StoreLocked as error:
                refused.append(error)

        with db.transaction() as transaction:
            transaction.events.append([note(1)])
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        assert [type(error) for error in refused] == [StoreLocked]
        db.events.append([note(3)])
        assert numbers(db) == [1, 3]


# --- forks ----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_cannot_harm_its_parent(path: str, driver: str, spawn: Spawn) -> None:
    """Every use in the child is StoreForked; when it is gone the parent's locks are there and its work goes on.

    So is opening the same file anew: the SQLite in the child would take no locks, since it believes to have the parent's.
    """
    worker = spawn("fork", path=path, driver=driver)
    for name in ("append", "read", "transaction", "follow", "lease", "connect"):
        worker.expect([name, "StoreForked"])
    worker.expect("child is gone")
    lock = spawn("try_lock", path=path)
    lock.tell()
    lock.expect("locked")
    worker.tell()
    worker.expect([1, 2])
    worker.finish()
    lock.tell()
    lock.expect("free")
    assert [noted.number for noted in check_file(path)] == [1, 2]
    assert [noted.number for noted in check_file(path + ".other")] == [7]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_may_connect_if_the_parent_had_closed(path: str, driver: str) -> None:
    """Only what is open at the fork is out of bounds."""
    with store(path, driver) as db:
        db.events.append([note(1)])
    child = os.fork()
    if child == 0:
        try:
            with store(path, driver) as db:
                db.events.append([note(2)])
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    with store(path, driver) as db:
        assert numbers(db) == [1, 2]


# --- the guard ------------------------------------------------------------------------------------------------------

needs_guard = pytest.mark.skipif(os.name != "posix", reason="only POSIX loses locks when a file is closed")


@needs_guard
def test_the_files_cannot_be_opened_behind_sqlite(path: str, driver: str, spawn: Spawn, tmp_path: Path) -> None:
    """UnsafeAccess for whatever opens the database, its -wal or its -shm in the same process.

    The locks remain, which another process proves: it cannot write while a transaction is open.
    """
    lock = spawn("try_lock", path=path)
    with store(path, driver) as db:
        db.events.append([note(1)])
        accesses: list[Callable[[str], object]] = [
            lambda file: open(file, "rb").close(),
            lambda file: os.close(os.open(file, os.O_RDONLY)),
            lambda file: os.close(os.open(os.fsencode(file), os.O_RDONLY)),
            lambda file: Path(file).read_bytes(),
            lambda file: shutil.copy(file, tmp_path / "copy"),
            lambda file: shutil.copy(os.path.relpath(file), tmp_path / "copy"),
        ]
        with db.transaction() as transaction:
            transaction.events.append([note(2)])
            for suffix in ("", "-wal", "-shm"):
                for access in accesses:
                    with pytest.raises(UnsafeAccess, match=r"backup\(\)") as refused:
                        access(path + suffix)
                    assert refused.value.location == path
            lock.tell()
            lock.expect("locked")
        lock.tell()
        lock.expect("free")
        assert numbers(db) == [1, 2]


@needs_guard
def test_a_second_library_is_refused(path: str, spawn: Spawn) -> None:
    """sqlite3.connect beside apsw, by any spelling of the name: UnsafeAccess, and the locks remain."""
    pytest.importorskip("apsw", reason="apsw is not installed")
    lock = spawn("try_lock", path=path)
    with store(path, "apsw") as db:
        db.events.append([note(1)])
        spellings: list[Any] = [
            path,
            Path(path),
            os.fsencode(path),
            os.path.relpath(path),
            f"file:{path}?mode=ro",
            f"file:{path}#x",
            f"file://{path}",
            f"file://localhost{path}",
            "file:" + path.replace("app", "%61pp"),
        ]
        with db.transaction() as transaction:
            transaction.events.append([note(2)])
            for spelling in spellings:
                with pytest.raises(UnsafeAccess, match="two SQLite libraries"):
                    sqlite3.connect(spelling, uri=isinstance(spelling, str) and spelling.startswith("file:"))
            lock.tell()
            lock.expect("locked")


@needs_guard
@pytest.mark.parametrize(("first", "second"), [("apsw", "sqlite3"), ("sqlite3", "apsw")])
def test_two_drivers_on_one_file(path: str, first: str, second: str) -> None:
    """UnsafeAccess for the second, until the first is closed."""
    pytest.importorskip("apsw", reason="apsw is not installed")
    with store(path, first) as db:
        db.events.append([note(1)])
        with pytest.raises(UnsafeAccess, match="two SQLite libraries"):
            store(path, second)
        with pytest.raises(UnsafeAccess):
            store(path, second, read_only=True)
        db.events.append([note(2)])
    with store(path, second) as db:
        assert numbers(db) == [1, 2]


def test_the_same_library_may_look(path: str, spawn: Spawn) -> None:
    """sqlite3.connect beside a store on sqlite3: one library knows of all its locks."""
    lock = spawn("try_lock", path=path)
    with store(path, "sqlite3") as db:
        db.events.append([note(1)])
        with db.transaction() as transaction:
            transaction.events.append([note(2)])
            connection = sqlite3.connect(path)
            assert connection.execute("SELECT count(*) FROM event_log").fetchall() == [(1,)]
            connection.close()
            lock.tell()
            lock.expect("locked")


@needs_guard
def test_a_store_behind_a_symbolic_link_is_guarded(path: str, driver: str, tmp_path: Path) -> None:
    """By the name that was opened and by the real one; and both names are one store, with one lock file."""
    link = tmp_path / "link.db"
    link.symlink_to(path)
    with store(link, driver) as db, store(path, driver) as same:
        db.events.append([note(1)])
        same.events.append([note(2)])
        assert numbers(db) == [1, 2]
        for name in (link, Path(path)):
            with pytest.raises(UnsafeAccess):
                name.read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["app.db", "app.db-lock", "link.db"]


def test_other_files_are_nobodys_business(
    path: str, driver: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of the same name elsewhere, the lock file, files with similar names, and the file itself once it is closed."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    others = [elsewhere / "app.db", elsewhere / "app.db-wal", tmp_path / "app.db2", tmp_path / "my-app.db"]
    with store(path, driver) as db, store(path, driver):
        db.events.append([note(1)])
        for other in others:
            other.write_bytes(b"mine")
            assert other.read_bytes() == b"mine"
        monkeypatch.chdir(elsewhere)
        assert Path("app.db").read_bytes() == b"mine"
        assert os.path.getsize(path) > 0  # stat opens nothing
        assert Path(path + "-lock").read_bytes() == b""
        os.listdir(tmp_path)
    assert Path(path).read_bytes()[:6] == b"SQLite"
    shutil.copy(path, elsewhere / "copy.db")
    with store(elsewhere / "copy.db", driver) as db:
        assert numbers(db) == [1]


def test_the_guard_outlives_one_of_two_handles(path: str, driver: str) -> None:
    """As long as one handle is open the file is guarded, also if opening a further one failed."""
    with store(path, driver) as db:
        db.events.append([note(1)])
        store(path, driver).close()
        with pytest.raises(StoreUnavailable):
            store(os.path.dirname(path), driver)
        if os.name == "posix":
            with pytest.raises(UnsafeAccess):
                Path(path).read_bytes()
    assert path not in _guard._live
    assert "app.db" not in _guard._names


# --- in memory ------------------------------------------------------------------------------------------------------


def test_stores_in_memory_are_on_their_own(tmp_path: Path, driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is its own, none leaves a file or a claim, all are gone when closed; followers wake, threads may share one."""
    monkeypatch.chdir(tmp_path)
    with store(":memory:", driver) as one, store("sqlite:///:memory:", driver) as other:
        one.events.append([note(1)])
        assert (numbers(one), numbers(other)) == ([1], [])
        assert ":memory:" not in _guard._names
        arrived: list[int] = []

        def follow() -> None:
            for event in one.events.follow(EventQuery(), after=0):
                arrived.append(event.data.number)
                if event.data.number == 200:
                    return

        def work(first: int) -> None:
            for number in range(first, first + 33):
                one.events.append([note(number)])

        follower = threading.Thread(target=follow)
        follower.start()
        threads = [threading.Thread(target=work, args=(2 + 33 * n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        one.events.append([note(200)])
        follower.join()
        assert sorted(arrived) == [*range(1, 200), 200]
    assert os.listdir(tmp_path) == []
    assert our_threads() == []
    with store(":memory:", driver) as db:
        assert numbers(db) == []
