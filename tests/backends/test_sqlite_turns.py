"""Threads of a blocking program that write at once: who leads, who is woken, and who is never forgotten."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from goes_lite.blocking import BlockingDatabase
from goes_lite.errors import StoreLocked
from goes_lite.sqlite._writer import Writer
from tests.backends.sqlite_kit import note, numbers, store, writer_of

PATIENCE = 60


def queue_behind(db: BlockingDatabase, work: Callable[[], object], name: str = "") -> threading.Thread:
    """A thread that does it, once its operation is in the queue behind whoever has the connection."""
    before = len(writer_of(db)._queue)
    thread = threading.Thread(target=work, name=name or None)
    thread.start()
    end = time.monotonic() + PATIENCE
    while len(writer_of(db)._queue) == before:
        assert time.monotonic() < end
        time.sleep(0.001)
    return thread


def test_threads_that_wait_share_a_commit(path: str, driver: str) -> None:
    """What queued up behind a transaction is one commit, and each thread has its own answer."""
    with store(path, driver) as db:
        positions: dict[int, tuple[int, ...]] = {}

        def append(number: int) -> None:
            positions[number] = db.events.append([note(number), note(number)]).positions

        with db.transaction() as tx:
            tx.events.append([note(100)])
            threads = [queue_behind(db, partial(append, number)) for number in range(8)]
            before = db.commits.count
        for thread in threads:
            thread.join(PATIENCE)
        assert sorted(positions.values()) == [(n, n + 1) for n in range(2, 18, 2)]
        # one for the transaction, one for the first thread at worst, one for all the others
        assert db.commits.count - before <= 3
        assert sorted(numbers(db)) == sorted([100, *range(8), *range(8)])


def test_who_is_interrupted_when_it_is_its_turn_passes_it_on(
    path: str, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that was woken to lead gets Ctrl-C instead: the one behind it leads, and nothing of it is stored."""
    wait = Writer._wait
    interrupted = threading.Event()

    def wait_interrupted(self: Writer, operation: Any) -> bool:
        leads = wait(self, operation)
        if threading.current_thread().name == "interrupted" and leads:
            del self.seat.taken[0]  # as if the interrupt had come right before it was taken
            raise KeyboardInterrupt
        return leads

    monkeypatch.setattr(Writer, "_wait", wait_interrupted)
    with store(path, driver) as db:

        def give_up() -> None:
            with pytest.raises(KeyboardInterrupt):
                db.events.append([note(1)])
            interrupted.set()

        with db.transaction():
            first = queue_behind(db, give_up, "interrupted")
            second = queue_behind(db, lambda: db.events.append([note(2)]))
        first.join(PATIENCE)
        second.join(PATIENCE)
        assert not second.is_alive()
        assert interrupted.is_set()
        assert numbers(db) == [2]


def test_who_waits_too_long_is_told_and_forgotten(path: str, driver: str) -> None:
    """Each of those who wait gives up at its own time; nothing of theirs is stored, and others go on."""
    with store(path, driver, lock_timeout=0.2) as db:
        refused: list[StoreLocked] = []

        def append() -> None:
            with pytest.raises(StoreLocked) as caught:
                db.events.append([note(1)])
            refused.append(caught.value)

        with db.transaction() as tx:
            threads = [threading.Thread(target=append) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(PATIENCE)
            tx.events.append([note(2)])
        assert len(refused) == 3
        db.events.append([note(3)])
        assert numbers(db) == [2, 3]


def read(db: BlockingDatabase) -> None:
    numbers(db)


def change(db: BlockingDatabase) -> None:
    with db.transaction() as tx:
        tx.models.put("c", "1", "1")


def append(db: BlockingDatabase) -> None:
    db.events.append([note(-1)])


@pytest.mark.parametrize("others", [1, 3])
@pytest.mark.parametrize("doing", [read, change, append])
@pytest.mark.parametrize("place", [":memory:", "file"])
def test_who_comes_again_and_again_keeps_nobody_waiting(
    path: str, driver: str, place: str, doing: Callable[[BlockingDatabase], None], others: int
) -> None:
    """Threads that read, append or run transactions without a pause leave room for one that appends and for transactions."""
    stop = threading.Event()

    def again_and_again(db: BlockingDatabase) -> None:
        while not stop.is_set():
            doing(db)

    with store(path if place == "file" else place, driver, lock_timeout=PATIENCE, durability="normal") as db:
        threads = [threading.Thread(target=again_and_again, args=(db,)) for _ in range(others)]
        for thread in threads:
            thread.start()
        try:
            for number in range(50):
                db.events.append([note(number)])
                change(db)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert [number for number in numbers(db) if number >= 0] == [*range(50)]


def test_many_threads_and_transactions_in_turn(path: str, driver: str, rounds: int) -> None:
    """Appends, transactions and reads of many threads: each append is there once, in the order of each thread."""
    with store(path, driver, durability="normal") as db:
        each = 40 * rounds
        failed: list[BaseException] = []

        def work(number: int) -> None:
            try:
                for step in range(each):
                    if (number + step) % 7 == 0:
                        with db.transaction() as tx:
                            tx.events.append([note(number * 100_000 + step)])
                    else:
                        db.events.append([note(number * 100_000 + step)])
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 9)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE * rounds)
        assert failed == []
        assert not any(thread.is_alive() for thread in threads)
        found = numbers(db)
        for number in range(1, 9):
            own = [one - number * 100_000 for one in found if one // 100_000 == number]
            assert own == list(range(each))
