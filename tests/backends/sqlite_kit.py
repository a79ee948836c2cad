"""What the tests of SQLite files share: an event, worker processes that are told what to do over pipes, and a judge.

    python sqlite_kit.py JOB {"path": …}

runs one job of a worker process: it says what it does in lines of JSON on stdout, and waits for lines on stdin.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import queue
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import goes_lite
from goes_lite.blocking import BlockingBackend, connect
from goes_lite.errors import ConcurrencyError, LeaseHeld
from goes_lite.event import AggregateRef, Event
from goes_lite.registry import Registry
from goes_lite.sqlite import SQLiteBackend

PATIENCE = 120.0
"""Seconds after which a worker that says nothing is taken for stuck. No test waits that long for anything but a bug."""

registry = Registry()


@registry.event("noted")
@dataclass(frozen=True)
class Noted:
    """Written by worker `process` as its `number`-th, in a batch of `size` events that share the id `batch`."""

    process: int
    number: int
    batch: str = ""
    size: int = 1
    text: str = ""


def note(
    number: int, *, process: int = 0, aggregate: tuple[str, str] | None = None, version: int = 0, text: str = ""
) -> Event[Noted]:
    """One event, not of a batch."""
    return Event(Noted(process, number, text=text), aggregate=aggregate, version=version, registry=registry)


def store(path: str | os.PathLike[str], driver: str, **options: Any) -> BlockingBackend:
    """The blocking face of the store in a file."""
    return connect(path, registry=registry, driver=driver, **options)


def numbers(db: BlockingBackend) -> list[int]:
    """The numbers of all events, in position order."""
    return [event.data.number for event in db.events.query()]


def files(path: str | os.PathLike[str]) -> dict[str, bytes]:
    """What is on the disk: the database and what SQLite keeps beside it."""
    found = {suffix: Path(f"{path}{suffix}") for suffix in ("", "-wal", "-journal")}
    return {suffix: file.read_bytes() for suffix, file in found.items() if file.exists()}


# --- the judge ------------------------------------------------------------------------------------------------------


def check_file(path: str | os.PathLike[str]) -> list[Noted]:
    """Assert everything that must hold in a file whatever happened to its writers; answer its events, in order.

    It is read behind goes_lite's back, so no handle on it may be open in this process.
    """
    with contextlib.closing(sqlite3.connect(path)) as connection:
        rows = connection.execute
        assert rows("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert rows("PRAGMA foreign_key_check").fetchall() == []
        events = rows("SELECT position, aggregate_key, version, data, tags FROM events ORDER BY position").fetchall()
        aggregates = dict(rows("SELECT key, version FROM aggregates").fetchall())
        tagged = rows("SELECT position, tag FROM event_tags ORDER BY position, tag").fetchall()
        ((highest,),) = rows("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'events'").fetchall()
    assert [position for position, *_ in events] == list(range(1, highest + 1)), "positions have a gap"
    versions: defaultdict[int, list[int]] = defaultdict(list)
    for _, key, version, *_ in events:
        if key is not None:
            versions[key].append(version)
    assert {key: found[-1] for key, found in versions.items()} == aggregates, "aggregates and their events disagree"
    for found in versions.values():
        assert found == list(range(1, len(found) + 1)), "versions of an aggregate have a gap, or are out of order"
    listed = [(position, tag) for position, *_, tags in events if tags for tag in sorted(json.loads(tags))]
    assert tagged == listed, "the table of tags and the tags of the events disagree"
    notes = [Noted(**json.loads(data)) for *_, data, _ in events]
    sizes: defaultdict[str, int] = defaultdict(int)
    for noted in notes:
        sizes[noted.batch] += 1
    torn = {noted.batch for noted in notes if noted.batch and sizes[noted.batch] != noted.size}
    assert not torn, "batches are stored in part"
    return notes


# --- workers, seen from the test -----------------------------------------------------------------------------------


class Worker:
    """A process that does one job."""

    def __init__(self, job: str, **arguments: Any) -> None:
        package = os.path.dirname(os.path.abspath(goes_lite.__path__[0]))
        search = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
        self.job = job
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-W", "error", __file__, job, json.dumps(arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(search)},
        )
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._errors: list[bytes] = []
        self._readers = [threading.Thread(target=run, daemon=True) for run in (self._read_lines, self._read_errors)]
        for reader in self._readers:
            reader.start()

    def __repr__(self) -> str:
        return f"<Worker {self.job}, process {self.process.pid}, exit code {self.process.returncode}>"

    def _read_lines(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(b"")

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        self._errors.append(self.process.stderr.read())

    def hear(self, within: float = PATIENCE) -> Any:
        """The next thing that it says; None at its end."""
        try:
            line = self._lines.get(timeout=within)
        except queue.Empty:
            self.kill()
            raise AssertionError(f"{self!r} is stuck:\n{self.errors}") from None
        return json.loads(line) if line.endswith(b"\n") else None  # a line torn by a kill was never said

    def expect(self, said: Any) -> None:
        """Hear exactly this."""
        heard = self.hear()
        assert heard == said, f"{self!r} said {heard!r} instead of {said!r}\n{self.errors if heard is None else ''}"

    def tell(self, told: Any = "go on") -> None:
        """Send it something that it waits for."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(told).encode() + b"\n")
        self.process.stdin.flush()

    def rest(self) -> list[Any]:
        """Everything that it still says, to its end."""
        return list(iter(self.hear, None))

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()

    @property
    def errors(self) -> str:
        self.process.wait(PATIENCE)
        self._readers[1].join(PATIENCE)
        return b"".join(self._errors).decode(errors="replace")

    def finish(self) -> None:
        """Wait for its end, which has to be a good one, without a word on stderr."""
        assert (self.process.wait(PATIENCE), self.errors) == (0, "")

    def close(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            self.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


# --- workers, seen from inside -------------------------------------------------------------------------------------

JOBS: dict[str, Callable[..., None]] = {}


def job(function: Callable[..., None]) -> Callable[..., None]:
    JOBS[function.__name__] = function
    return function


def say(said: Any) -> None:
    """Tell the test something. One write, so that a kill leaves a whole line or none."""
    os.write(1, json.dumps(said).encode() + b"\n")


def listen() -> Any:
    """Wait for the test to say something."""
    line = sys.stdin.readline()
    if not line:
        raise EOFError("the test is gone")
    return json.loads(line)


def without_watchfiles() -> None:
    """As if watchfiles were not installed."""
    sys.modules["watchfiles"] = None  # type: ignore[assignment]


@job
def append(path: str, driver: str, process: int, count: int, shared: int, durability: str = "normal") -> None:
    """Append `count` events, two of three to an aggregate of its own, the third to one that all workers write to."""
    conflicts, worst = 0, 0.0
    mine: list[int] = []
    with store(path, driver, durability=durability) as db:
        say("ready")
        listen()
        begun = time.monotonic()
        own, versions = 0, dict.fromkeys(range(shared), 0)
        for number in range(1, count + 1):
            before = time.monotonic()
            if number % 3:
                own += 1
                event = note(number, process=process, aggregate=("own", str(process)), version=own)
                mine.append(db.events.append([event]).position)
            else:
                which = number // 3 % shared
                while True:
                    ref = ("shared", str(which))
                    event = note(number, process=process, aggregate=ref, version=versions[which] + 1)
                    try:
                        mine.append(db.events.append([event]).position)
                    except ConcurrencyError as conflict:
                        conflicts += 1
                        versions[which] = conflict.actual
                    else:
                        versions[which] += 1
                        break
            worst = max(worst, time.monotonic() - before)
    say({"positions": mine, "conflicts": conflicts, "worst": worst, "seconds": time.monotonic() - begun})


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
def follow(path: str, driver: str, count: int, watchfiles: bool = True) -> None:
    """Follow from the beginning until `count` events were seen, and say which: position, process and number."""
    if not watchfiles:
        without_watchfiles()
    with store(path, driver) as db:
        say("ready")
        seen = [(event.position, event.data.process, event.data.number) for event in _first(db, count)]
    say(seen)


def _first(db: BlockingBackend, count: int) -> Iterator[Event[Any]]:
    return itertools.islice(db.events.follow(after=0), count)


@job
def follow_each(path: str, driver: str, watchfiles: bool = True, recheck: float | None = None) -> None:
    """Follow from now, and say of each event at once when it was seen."""
    if not watchfiles:
        without_watchfiles()
    if recheck is not None:
        from goes_lite.sqlite import _executor

        _executor.RECHECK = recheck
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
def fill(path: str, driver: str, room: int, sizes: Sequence[int]) -> None:
    """Append events of these sizes where the file system gives room for so many more bytes; then with all the room."""
    import resource

    with store(path, driver) as db:
        db.events.append([note(0)])
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
        for number, size in enumerate(sizes, 1):
            try:
                db.events.append([note(number, text="x" * size)])
            except Exception as error:
                say([type(error).__name__, str(error)])
            else:
                say("stored")
        say(numbers(db))
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        db.events.append([note(-1)])
        say(numbers(db))


@job
def fill_group(path: str, driver: str, room: int, big: int) -> None:
    """Append small events and a big one for which there is no room, all at once: they are in one group commit."""
    import asyncio
    import resource

    async def main() -> None:
        async with goes_lite.connect(path, registry=registry, driver=driver) as db:
            await db.events.append([note(0)])
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
            texts = ["", "", "x" * big, "", ""]
            appends = [db.events.append([note(number, text=text)]) for number, text in enumerate(texts, 1)]
            results = await asyncio.gather(*appends, return_exceptions=True)
            say([type(result).__name__ for result in results])
            say([event.data.number for event in await db.events.query().list()])

    asyncio.run(main())


@job
def fill_transaction(path: str, driver: str, room: int, big: int) -> None:
    """In one transaction: a small event, one for which there is no room, and another small one."""
    import resource

    with store(path, driver) as db:
        db.events.append([note(0)])
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
        try:
            with db.transaction() as transaction:
                transaction.events.append([note(1)])
                try:
                    transaction.events.append([note(2, text="x" * big)])
                except Exception as error:
                    say([type(error).__name__, str(error)])
                transaction.events.append([note(3)])
        except Exception as error:
            say([type(error).__name__])
        else:
            say("stored")
        say(numbers(db))


@job
def backup_without_room(path: str, driver: str, copy: str) -> None:
    """Back up to where there is no room for it."""
    import resource

    with store(path, driver) as db:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        try:
            db.backup(copy)
        except Exception as error:
            say([type(error).__name__, str(error)])
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        db.events.append([note(-1)])


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
def fill_disk(path: str, driver: str, size: int) -> None:
    """The same, on a real disk of so many bytes that is mounted for this process alone, at the folder of `path`."""
    folder = os.path.dirname(path)
    if sys.platform != "linux" or not _mount_tmpfs(folder, size):
        say("not permitted")
        return
    say("mounted")
    with store(path, driver) as db:
        last = 0
        for number in itertools.count(1):
            try:
                db.events.append([note(number, text="x" * 20_000)])
            except Exception as error:
                say([type(error).__name__, str(error)])
                break
            last = number
        assert numbers(db) == list(range(1, last + 1))
        say(last)
    # what was stored survives closing on a full disk, and once there is room the store goes on
    with store(path, driver, read_only=True) as db:
        assert numbers(db) == list(range(1, last + 1))
    subprocess.run(["mount", "-o", f"remount,size={size * 4}", folder], check=True)
    with store(path, driver) as db:
        db.events.append([note(last + 1)])
        assert numbers(db) == list(range(1, last + 2))
    say("goes on")


def _mount_tmpfs(folder: str, size: int) -> bool:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x00020000) != 0:  # CLONE_NEWNS: this process gets mounts of its own
        return False
    private = subprocess.run(["mount", "--make-rprivate", "/"], check=False, capture_output=True)
    tmpfs = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=False, capture_output=True
    )
    return not private.returncode and not tmpfs.returncode


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
        turnstile = cast(SQLiteBackend, db.backend).writer._turnstile

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
def lease(path: str, driver: str, owner: str) -> None:
    """Acquire, renew or release a lease as told; say the token or what went wrong."""
    with store(path, driver) as db:
        say("ready")
        held = None
        while (order := listen()) is not None:
            try:
                if order == "acquire":
                    held = db.leases.acquire("job", owner, 60.0)
                elif order == "release":
                    assert held is not None
                    assert db.leases.release(held)
            except LeaseHeld as error:
                say([type(error).__name__, error.owner])
            else:
                say(["ok", held.token if held else 0])


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


def _in_child(db: BlockingBackend, path: str, driver: str) -> None:
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
    JOBS[sys.argv[1]](**json.loads(sys.argv[2]))


if __name__ == "__main__":
    main()
