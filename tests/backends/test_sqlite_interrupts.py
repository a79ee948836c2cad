"""An interrupt of a thread that writes, at every moment: nothing stays locked, lost, or stored in part."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from goes_lite_conformance.harness import Processes

from goes_lite.blocking import BlockingDatabase
from goes_lite.errors import StoreClosed
from goes_lite.events.event import Event
from goes_lite.sqlite import _guard
from goes_lite.sqlite._operation import Operation
from tests.backends.moments import Moments
from tests.backends.sqlite_kit import Noted, check_file, note, our_threads, registry, store, writer_of

PATIENCE = 60
pytestmark = [
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
]


class Batches:
    """Makes batches of two events, and knows which were acknowledged."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.made = 0
        self.acknowledged: set[str] = set()
        self.of_others: list[Operation[Any]] = []

    def write(self, append: Callable[[list[Event[Noted]]], object]) -> None:
        self.made += 1
        name = f"{self.name}{self.made}"
        append([Event(Noted(0, number, name, 2), registry=registry) for number in range(2)])
        self.acknowledged.add(name)


Work = Callable[[BlockingDatabase, Batches], None]


def append(db: BlockingDatabase, batches: Batches) -> None:
    batches.write(db.events.append)


def lead_others(db: BlockingDatabase, batches: Batches) -> None:
    """Commit what other threads have queued as well: each of their operations is done once, by whomever."""
    queue = writer_of(db)._queue
    statement = "INSERT INTO models VALUES ('c', '1', 1, '{}') ON CONFLICT DO UPDATE SET version = version + 1"
    others: list[Operation[Any]] = [
        Operation(lambda connection: connection.execute(statement), None, None) for _ in range(2)
    ]
    batches.of_others += others
    queue.extend(others)
    append(db, batches)


def commit(db: BlockingDatabase, batches: Batches) -> None:
    def write(events: list[Event[Noted]]) -> None:
        with db.transaction() as tx:
            for event in events:
                tx.events.append([event])

    batches.write(write)


def roll_back(db: BlockingDatabase, batches: Batches) -> None:
    with pytest.raises(ZeroDivisionError), db.transaction() as tx:
        tx.events.append([Event(Noted(0, 0, "never", 9), registry=registry)])
        raise ZeroDivisionError


def interrupted(path: str, driver: str, work: Work, moments: Moments) -> int:
    """Do the work with an interrupt at each moment; after each, this thread and another handle in another one write."""
    batches, others = Batches(), Batches("other ")
    count = 0
    with (
        store(path, driver, durability="memory", lock_timeout=PATIENCE / 4) as db,
        store(path, driver, durability="memory", lock_timeout=0.2) as other,
    ):
        for where in moments.each(lambda: work(db, batches)):
            count += 1
            thread = threading.Thread(target=others.write, args=(other.events.append,))
            thread.start()  # it is as far from this handle as another process: locks of files keep it out
            thread.join(PATIENCE)
            assert f"other {count}" in others.acknowledged, f"locked out: {where}"
            append(db, batches)
            assert str(batches.made) in batches.acknowledged, where
        if work is lead_others:
            (record,) = db.models.query("c")
            assert record.version == len(batches.of_others)
            assert all(operation.done for operation in batches.of_others)
    stored = [noted.batch for noted in check_file(path)]
    assert set(stored) >= batches.acknowledged
    assert len(stored) % 2 == 0
    assert "never" not in stored
    return count


@pytest.mark.parametrize("work", [append, lead_others, commit, roll_back])
def test_an_interrupt_at_every_moment(path: str, driver: str, work: Work) -> None:
    """Wherever the interpreter can deliver it: the handle works, and no other handle is locked out."""
    assert interrupted(path, driver, work, Moments("goes_lite")) > 70


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="sys.settrace tells of few instructions from Python 3.12 on")
@pytest.mark.parametrize("work", [append, lead_others, commit, roll_back])
def test_an_interrupt_before_every_instruction(path: str, driver: str, work: Work) -> None:
    """More moments than there are in today's interpreters, in all that takes and gives back locks."""
    files = "goes_lite/sqlite/_", "goes_lite/kit/transaction", "goes_lite/blocking/_transaction"
    assert interrupted(path, driver, work, Moments(*files, instructions=True)) > 500


def test_other_processes_go_on_after_an_interrupt(path: str, driver: str, spawn: Processes) -> None:
    """At once, while the one that was interrupted does nothing."""
    moments = Moments("goes_lite/sqlite/_writer")
    batches = Batches()
    lock = spawn("try_lock", path=path)
    with store(path, driver, durability="memory") as db:
        for _ in moments.each(lambda: commit(db, batches)):
            lock.tell()
            lock.expect("free")


class Life:
    """Opens a store, uses it, and closes it."""

    def __init__(self, path: str, driver: str, *, new: bool) -> None:
        self.path, self.driver, self.new = path, driver, new
        self.lives = 0
        self.handle: BlockingDatabase | None = None

    def live(self) -> None:
        self.lives += 1
        self.handle = None
        self.handle = self.open()
        self.handle.events.count()
        self.handle.close()

    def open(self) -> BlockingDatabase:
        return store(f"{self.path}.{self.lives if self.new else 0}", self.driver, durability="memory", lock_timeout=1)

    def check(self, where: str) -> None:
        """Whatever was interrupted can be repeated, and nothing is left open."""
        if self.handle is not None:
            self.handle.close()
            with pytest.raises(StoreClosed):
                self.handle.events.head()
        assert not _guard._live, where
        assert not our_threads(), where
        with self.open() as db:
            db.events.append([note(1)])


def live_interrupted(life: Life, moments: Moments) -> int:
    with life.open():
        pass
    count = 0
    for where in moments.each(life.live):
        count += 1
        life.check(where)
    return count


OPENING = [f"goes_lite/{file}" for file in ("blocking/_connect", "sqlite/__init__", "sqlite/_guard")]


def test_an_interrupt_of_opening_and_closing(path: str, driver: str) -> None:
    """At every moment of what takes and releases something: it is released or can be closed, and opening again works."""
    assert live_interrupted(Life(path, driver, new=False), Moments(*OPENING)) > 50


# Between what opens a connection and the line that keeps it nothing can close it but the interpreter, which says so.
@pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")
# A generator that is closed because nobody needs the rest of it has no caller to raise in.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <generator:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.slow
@pytest.mark.parametrize("new", [False, True], ids=["existing", "new"])
def test_an_interrupt_of_opening_and_closing_anywhere(path: str, driver: str, *, new: bool) -> None:
    """The same at every moment, also while the tables are made."""
    assert live_interrupted(Life(path, driver, new=new), Moments("goes_lite")) > 200
    gc.collect()  # while nobody minds
