"""The life of a handle: closing at any moment, the end of the interpreter; and stores in memory."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from goes_lite_conformance.harness import Processes

import goes_lite
from goes_lite.errors import StoreClosed
from goes_lite.events.query import EventQuery
from goes_lite.sqlite import _files, _guard
from goes_lite.sqlite._operation import Operation
from tests.backends.sqlite_kit import check_file, note, numbers, our_threads, registry, store, writer_of
from tests.descriptors import needs_descriptors, open_files

# --- closing --------------------------------------------------------------------------------------------------------


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

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")  # from 3.13 on, the sqlite3 module reports its connections as well
        forget_until_reported()
        for thread in threading.enumerate():
            if thread.name == "goes_lite-writer":
                thread.join(60)
        messages = [str(warning.message) for warning in caught if warning.category is ResourceWarning]
        caught.clear()  # they hold the handle, and with it the connection
        gc.collect()
    reported = [message for message in messages if "was not closed: use it in a with block" in message]
    assert len(reported) == 1
    assert path in reported[0]
    assert "goes_lite-writer" not in our_threads()
    assert Path(path).read_bytes()[:6] == b"SQLite"  # no longer guarded
    with store(path, driver) as db:
        assert numbers(db) == [1]


FACES = ["blocking", "transaction", "thread", "async", "async-open-loop", "async-transaction", "async-queued"]


@pytest.mark.parametrize("face", FACES)
def test_the_interpreter_ends_with_open_handles(path: str, driver: str, face: str, spawn: Processes) -> None:
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


def test_a_reader_that_looks_at_the_files_while_the_handle_closes(
    path: str, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing removes the -wal. That is no sign of somebody who has taken it away."""
    monkeypatch.setattr(_files, "LOOK_AGAIN", 0)  # each read looks
    db = store(path, driver)
    db.events.append([note(1)])
    glance = _files.Files.glance

    def after_close(files: _files.Files) -> None:
        closing = threading.Thread(target=db.close)
        closing.start()
        closing.join()
        glance(files)

    monkeypatch.setattr(_files.Files, "glance", after_close)
    with pytest.raises(StoreClosed):
        db.events.query().list()


@needs_descriptors
@pytest.mark.parametrize("face", ["blocking", "loop", "async"])
def test_a_forgotten_handle_leaves_no_descriptors(path: str, driver: str, face: str) -> None:
    """Whatever it was used for: its connections and its lock file are closed, and it keeps nobody out."""

    def opened() -> list[str]:
        return [name for name in open_files() if path in name]

    def forget(kind: str) -> None:
        db = store(path, driver, read_only=kind == "read_only", inline=face == "blocking")
        if kind == "follow":
            next(db.events.follow(after=0))
        elif kind == "transaction":
            block = db.transaction()
            block.__enter__().events.append([note(2)])
        elif kind != "unused":
            db.events.query().list()

    async def forget_async(kind: str) -> None:
        db = await goes_lite.connect(path, registry=registry, driver=driver, read_only=kind == "read_only")
        if kind == "follow":
            await anext(db.events.follow(after=0))
        elif kind == "append":
            await db.events.append([note(3)])

    with store(path, driver) as db:
        db.events.append([note(1)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        for kind in ("unused", "read_only", "follow", "append" if face == "async" else "transaction"):
            if face == "async":
                asyncio.run(forget_async(kind))
            else:
                forget(kind)
            deadline = time.monotonic() + 30
            while opened() and time.monotonic() < deadline:
                time.sleep(0.01)  # until threads that have nothing more to do have ended
            assert opened() == [], kind
    with store(path, driver) as db:
        db.events.append([note(4)])
        assert numbers(db) == ([1, 3, 4] if face == "async" else [1, 4])


# --- while others wait ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("holder", ["hold_foreign", "stay_inside"])
def test_closing_does_not_wait_for_a_lock(path: str, driver: str, holder: str, spawn: Processes) -> None:
    """Threads that wait for another program's lock, or another process's turn, get StoreClosed, and close() returns."""
    with store(path, driver) as db:
        db.events.append([note(1)])
    other = spawn(holder, path=path, **({} if holder == "hold_foreign" else {"driver": driver}))
    other.expect("held" if holder == "hold_foreign" else "inside")
    db = store(path, driver, lock_timeout=60)
    refused: list[type[BaseException]] = []

    def transact() -> None:
        with db.transaction() as tx:
            tx.events.append([note(3)])

    def attempt(work: Callable[[], object]) -> None:
        try:
            work()
        except StoreClosed as error:
            refused.append(type(error))

    threads = [
        threading.Thread(target=attempt, args=(work,)) for work in (lambda: db.events.append([note(2)]), transact)
    ]
    writer = writer_of(db)
    for thread in threads:
        thread.start()
    while not writer.seat.taken or not (writer._queue or writer.seat.waiting):
        time.sleep(0.001)  # until one has its turn, and the other waits for it
    began = time.monotonic()
    db.close()
    for thread in threads:
        thread.join(60)
    assert time.monotonic() - began < 20
    assert refused == [StoreClosed] * 2
    other.kill()
    other.process.wait()
    assert [noted.number for noted in check_file(path)] == [1]


def test_closing_does_not_wait_for_a_lock_async(path: str, driver: str, spawn: Processes) -> None:
    """The same for tasks."""
    store(path, driver).close()
    other = spawn("hold_foreign", path=path)
    other.expect("held")

    async def main() -> None:
        db = await goes_lite.connect(path, registry=registry, driver=driver, lock_timeout=60)
        appends = asyncio.gather(*(db.events.append([note(n)]) for n in range(3)), return_exceptions=True)
        await asyncio.sleep(0)
        async with asyncio.timeout(20):
            await db.close()
            assert {type(result) for result in await appends} == {StoreClosed}

    asyncio.run(main())
    other.kill()
    other.process.wait()
    assert check_file(path) == []
