"""Waiting for a lock: of another program, another process, another thread; and Ctrl-C meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections import deque
from typing import Any

import pytest
from goes_lite_conformance.harness import Processes

import goes_lite
from goes_lite.errors import StoreLocked
from goes_lite.sqlite._operation import Operation
from tests.backends.sqlite_kit import check_file, note, numbers, registry, store, writer_of

# --- other programs, processes and threads --------------------------------------------------------------------------


def test_locked_by_another_program(path: str, driver: str, spawn: Processes) -> None:
    """StoreLocked once the lock timeout is over, with how long it waited; when the other lets go, all is well."""
    with store(path, driver, lock_timeout=0.25) as db:
        db.events.append([note(1)])
        holder = spawn("hold_foreign", path=path)
        holder.expect("held")
        begun = time.monotonic()
        with pytest.raises(StoreLocked, match="raise lock_timeout") as refused:
            db.events.append([note(2)])
        assert refused.value.waited >= 0.25
        assert isinstance(refused.value, TimeoutError)
        assert time.monotonic() - begun < 20  # it is a limit, though not a sharp one on a busy machine
        with pytest.raises(StoreLocked):
            db.transaction().__enter__()
        assert numbers(db) == [1]  # readers do not wait
        holder.tell()
        holder.expect("free")
        assert db.events.append([note(3)]).position == 2
        with db.transaction() as transaction:
            transaction.events.append([note(4)])
        assert numbers(db) == [1, 3, 4]


def test_locked_by_another_program_async(path: str, driver: str, spawn: Processes) -> None:
    """The same on the async face: all who wait get the error, and the loop goes on meanwhile."""
    store(path, driver).close()
    holder = spawn("hold_foreign", path=path)
    holder.expect("held")

    async def main() -> None:
        async with goes_lite.connect(path, registry=registry, driver=driver, lock_timeout=0.25) as db:
            appends = asyncio.gather(*(db.events.append([note(n)]) for n in range(5)), return_exceptions=True)
            assert await db.events.head() == 0
            assert {type(result) for result in await appends} == {StoreLocked}
            holder.tell()
            await asyncio.to_thread(holder.expect, "free")
            await asyncio.gather(*(db.events.append([note(n)]) for n in range(5)))

    asyncio.run(main())
    assert sorted(noted.number for noted in check_file(path)) == [0, 1, 2, 3, 4]


def test_one_process_waits_for_another(path: str, driver: str, spawn: Processes) -> None:
    """A process that stays in its transaction for longer than another's lock timeout: StoreLocked there too."""
    holder = spawn("stay_inside", path=path, driver=driver)
    holder.expect("inside")
    with store(path, driver, lock_timeout=0.25) as db:
        with pytest.raises(StoreLocked):
            db.events.append([note(1)])
        holder.kill()
        holder.process.wait()
        db.events.append([note(2)])
        assert numbers(db) == [2]


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


# --- interrupts -----------------------------------------------------------------------------------------------------

MOMENTS = ["taking them", "in the queue", "after the lock", "at work", "before COMMIT", "after COMMIT", "after all"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_interrupted_leader(
    path: str, driver: str, moment: str, spawn: Processes, monkeypatch: pytest.MonkeyPatch
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

        class InterruptedQueue(deque[Operation[Any]]):
            """The queue, with a Ctrl-C between two operations that are taken from it."""

            def popleft(self) -> Operation[Any]:
                if len(self) == 1:
                    interrupt()
                return super().popleft()

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
            patched.setattr(writer.transactions, "connection", Interrupting(writer.transactions.connection))
            if moment == "taking them":
                writer._queue = InterruptedQueue()
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
        assert neighbour.result == [(1,)]
        assert [record.version for record in db.models.query("c")] == [1]
        assert numbers(db) == ([1, 2, 3] if through else [2, 3])


def test_one_gives_up_while_a_leader_takes_what_there_is(path: str, driver: str) -> None:
    """Its operation is not run, and nobody else is disturbed."""
    ran: list[str] = []
    one, gives_up = (Operation(lambda _, name=name: ran.append(name), None, None) for name in ("one", "gives up"))  # type: ignore[misc]

    class Queue(deque[Operation[Any]]):
        def popleft(self) -> Operation[Any]:
            if gives_up in self and len(self) < 3:
                self.remove(gives_up)
            return super().popleft()

    with store(path, driver) as db:
        writer = writer_of(db)
        writer._queue = Queue([one, gives_up])
        db.events.append([note(1)])
        assert (numbers(db), ran, one.done, gives_up.done) == ([1], ["one"], True, False)


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT to send")
def test_ctrl_c_is_heard_while_sqlite_waits(path: str, driver: str, spawn: Processes) -> None:
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
