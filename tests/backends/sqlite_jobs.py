"""The jobs of worker processes.

    python -m tests.backends.sqlite_jobs JOB {"path": …}

runs one: it says what it does in lines of JSON on stdout, and waits for lines on stdin.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import json
import os
import random
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from typing import cast
from uuid import uuid4

from goes_lite_conformance.harness.workers import PATIENCE, listen, say

import goes_lite
from goes_lite.blocking import BlockingDatabase
from goes_lite.errors import ConcurrencyError
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.sqlite import SQLiteBackend, address_of
from goes_lite.sqlite._log import check_log
from tests.backends.sqlite_kit import JOBS, Noted, job, note, numbers, registry, store


def without_notifications() -> None:
    """As if the system told nobody of files that are written."""
    from goes_lite.sqlite import _lookout

    def refuse() -> None:
        raise OSError("none here")

    setattr(_lookout, "Inotify", refuse)  # noqa: B010 - another type


@job
def commit_flat_out(path: str, driver: str, process: int, durability: str = "full") -> None:
    """Commit without a pause until told to stop; say how many it were."""
    stop = threading.Event()

    def wait() -> None:
        listen()
        stop.set()

    with store(path, driver, durability=durability) as db:
        say("ready")
        listen()
        threading.Thread(target=wait, daemon=True).start()
        number = 0
        while not stop.is_set():
            number += 1
            db.events.append([note(number, process=process)])
            if number == 20:
                say("going")
    say(number)


@job
def follow_each(path: str, driver: str, notified: bool = True, recheck: float | None = None) -> None:
    """Follow from now, and say of each event at once when it was seen."""
    if not notified:
        without_notifications()
    if recheck is not None:
        from goes_lite.kit import events

        events.RECHECK = recheck
    with store(path, driver) as db:
        following = db.events.follow(after=db.events.head())
        say("ready")
        for event in following:
            say([event.data.number, time.monotonic_ns()])


@job
def commit(path: str, driver: str) -> None:
    """Commit one event for each number that it is told, and say when."""
    with store(path, driver) as db:
        say("ready")
        while (number := listen()) is not None:
            db.events.append([note(number)])
            say(time.monotonic_ns())


@job
def crash(path: str, driver: str, process: int, seed: int, durability: str = "normal") -> None:
    """Append batches for ever and acknowledge each, until killed."""
    chance = random.Random(seed)
    versions: dict[AggregateRef, int] = {}
    with store(path, driver, durability=durability) as db:
        say("ready")
        for number in itertools.count(1):
            batch = str(uuid4())
            size = chance.choice((1, 1, 2, 5, 40))
            text = "x" * chance.choice((0, 10, 3000))
            refs = [AggregateRef("own", f"{process}-{chance.randrange(3)}"), AggregateRef("shared", "1")]
            while True:
                steps, events = dict(versions), list[Event[Noted]]()
                for index in range(size):
                    ref = refs[index % 2] if size > 1 else refs[0]
                    steps[ref] = steps.get(ref, 0) + 1
                    noted = Noted(process, number, batch, size, text)
                    tags = [f"process:{process}", f"index:{index}"][: chance.randrange(3)]
                    events.append(Event(noted, aggregate=ref, version=steps[ref], tags=tags, registry=registry))
                try:
                    first = db.events.append(events).positions[0]
                except ConcurrencyError as conflict:
                    versions[conflict.aggregate] = conflict.actual
                else:
                    versions = steps
                    say([batch, size, first])
                    break


@job
def stay_inside(path: str, driver: str) -> None:
    """Hold the turnstile and the write lock, in a transaction that never ends."""
    with store(path, driver) as db, db.transaction() as transaction:
        transaction.events.append([note(666)])
        say("inside")
        listen()


@job
def hold_foreign(path: str) -> None:
    """Hold SQLite's write lock as another program does, until told to let go."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        say("held")
        listen()
        connection.execute("ROLLBACK")
    say("free")


@job
def try_lock(path: str) -> None:
    """Say, each time it is asked, whether another program could write now."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as connection:
        while listen() is not None:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                say("locked")
            else:
                connection.execute("ROLLBACK")
                say("free")


@job
def open_new(paths: Sequence[str], driver: str) -> None:
    """Open files at the same time as others, append to each, and say which stores they are."""
    say("ready")
    listen()
    for path in paths:
        with store(path, driver) as db:
            position = db.events.append([note(os.getpid())]).position
            say([cast(SQLiteBackend, db.backend).identity, position])


@job
def read_long(path: str) -> None:
    """Keep a read transaction open, as a program does that forgot about it."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM events").fetchall()
        say("reading")
        listen()
    say("done")


@job
def as_nobody(path: str, driver: str, read_only: bool, write: bool) -> None:
    """Open a file as a user who owns nothing, read it and perhaps write to it; say what became of it."""
    with tempfile.TemporaryDirectory() as folder, store(f"{folder}/app.db", driver) as db:
        db.events.append([note(0)])  # everything is imported while it can be read
        numbers(db)
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    try:
        with store(path, driver, read_only=read_only) as db:
            say(numbers(db))
            if write:
                db.events.append([note(99)])
                say("stored")
    except Exception as error:
        say([type(error).__name__, str(error)])


@job
def read_frozen(path: str, driver: str) -> None:
    """As a user who may not write to the folder: read when told to; say what was found, or the error."""
    store(":memory:", driver).close()  # everything is imported while it can be read
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    with store(path, driver, read_only=True) as db:
        say("ready")
        while listen():
            try:
                say(numbers(db))
            except Exception as error:
                say([type(error).__name__, str(error)])


@job
def check_logs(path: str, driver: str) -> None:
    """Check again and again, until told to end, whether the log belongs to the file."""
    address = address_of(path, driver_name=driver)
    told = threading.Thread(target=listen)
    told.start()
    say("checking")
    count = 0
    while told.is_alive():
        check_log(address)
        count += 1
    say(count)


@job
def read_all(path: str, driver: str) -> None:
    """Say what is in a store."""
    with store(path, driver) as db:
        say(numbers(db))


@job
def as_member(path: str, driver: str, user: int, own: int, group: int, number: int) -> None:
    """Append as a user whose group is another than the store's, of which it is a member; stay until told to end."""
    with tempfile.TemporaryDirectory() as folder, store(f"{folder}/app.db", driver) as db:
        db.events.append([note(0)])  # everything is imported while it can be read
    os.setgroups([group])
    os.setgid(own)
    os.setuid(user)
    try:
        with store(path, driver) as db:
            db.events.append([note(number)])
            say("stored")
            listen()
    except Exception as error:
        say([type(error).__name__, str(error)])


@job
def exit_open(path: str, driver: str, face: str) -> None:
    """End the interpreter with handles that nobody closed."""
    if face == "blocking":
        db = store(path, driver)
        db.events.append([note(1)])
        globals()["kept"] = [db, db.events.follow(after=0)]
        next(db.events.follow(after=0))
    elif face == "transaction":
        db = store(path, driver)
        db.events.append([note(1)])
        block = db.transaction()
        block.__enter__().events.append([note(2)])
        globals()["kept"] = [db, block]
    elif face == "thread":
        db = store(path, driver)
        db.events.append([note(1)])
        inside = threading.Event()

        def hold() -> None:
            with db.transaction() as transaction:
                transaction.events.append([note(2)])
                inside.set()
                threading.Event().wait()

        threading.Thread(target=hold, daemon=True).start()
        inside.wait()
    else:
        _exit_open_async(path, driver, face)
    say("exiting")


def _exit_open_async(path: str, driver: str, face: str) -> None:
    import asyncio

    async def main() -> None:
        db = await goes_lite.connect(path, registry=registry, driver=driver)
        globals()["kept"] = db
        await db.events.append([note(1)])
        if face == "async-transaction":
            block = db.transaction()
            transaction = await block.__aenter__()
            await transaction.events.append([note(2)])
            globals()["block"] = block
        if face == "async-queued":
            # put into the writer's queue, and the loop ends before the answer comes
            globals()["tasks"] = [asyncio.ensure_future(db.events.append([note(2 + n)])) for n in range(50)]
            await asyncio.sleep(0)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    if face == "async-open-loop":
        globals()["loop"] = loop
        import warnings

        warnings.simplefilter("ignore", ResourceWarning)  # about the loop, which is the point here
    else:
        loop.close()
    if face == "async-queued":
        import logging

        logging.disable(logging.CRITICAL)  # asyncio's "Task was destroyed but it is pending!"


@job
def interrupted(path: str, driver: str) -> None:
    """Append while another program has the lock, until Ctrl-C; then go on."""
    with store(path, driver, lock_timeout=PATIENCE) as db:
        turnstile = cast(SQLiteBackend, db.backend).writer.transactions.turnstile

        def tell_when_it_waits() -> None:
            while not turnstile.inside:
                time.sleep(0.001)
            say("waiting")  # it has its turn, so now it waits for the other program

        watching = threading.Thread(target=tell_when_it_waits)
        watching.start()
        try:
            db.events.append([note(1)])
        except KeyboardInterrupt:
            say("interrupted")
        watching.join()
        listen()  # the other program has let go
        db.events.append([note(2)])
        say(numbers(db))


@job
def fork(path: str, driver: str) -> None:
    """Fork with the store open and a transaction under way; the child tries everything, and ends in the usual way."""
    db = store(path, driver)
    db.events.append([note(1)])
    assert numbers(db) == [1]  # there is a reading connection too
    with db.transaction() as transaction:
        transaction.events.append([note(2)])
        child = os.fork()
        if child == 0:
            _in_child(db, path, driver)
            sys.exit(0)  # with everything that the interpreter does at its end
        assert os.waitpid(child, 0)[1] == 0
        say("child is gone")  # the test looks whether the locks are still there
        listen()
    say(numbers(db))
    db.close()


def _in_child(db: BlockingDatabase, path: str, driver: str) -> None:
    attempts: dict[str, Callable[[], object]] = {
        "append": lambda: db.events.append([note(66)]),
        "read": db.events.head,
        "transaction": lambda: db.transaction().__enter__(),
        "follow": lambda: next(db.events.follow(after=0)),
        "lease": lambda: db.leases.acquire("job", "child", 1.0),
        "connect": lambda: store(path, driver),
    }
    for name, attempt in attempts.items():
        try:
            attempt()
        except Exception as error:
            say([name, type(error).__name__])
        else:
            say([name, "worked"])
    with store(path + ".other", driver) as other:  # another file is none of the parent's business
        other.events.append([note(7)])
    db.close()


def main() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    importlib.import_module("tests.backends.sqlite_disk_jobs")  # has further ones
    JOBS[sys.argv[1]](**json.loads(sys.argv[2]))


if __name__ == "__main__":
    main()
