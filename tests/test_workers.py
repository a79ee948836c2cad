"""Blocking work of an event loop: results, who waits for whom, and abandoned work."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import threading
import weakref
from collections.abc import Generator

import pytest

from goes_lite.runtime._workers import Workers

MOST = 3


@pytest.fixture
def workers() -> Generator[Workers]:
    made = Workers(MOST)
    yield made
    made.close()


def fail() -> None:
    raise LookupError("not there")


def test_each_caller_gets_its_own_result(workers: Workers) -> None:
    async def main() -> None:
        found = await asyncio.gather(*(workers.run(lambda n=n: n) for n in range(200)))  # type: ignore[misc]
        assert found == [*range(200)]

    asyncio.run(main())


def test_an_error_goes_to_the_caller(workers: Workers) -> None:
    async def main() -> None:
        found = await asyncio.gather(
            workers.run(lambda: 1), workers.run(fail), workers.run(lambda: 2), return_exceptions=True
        )
        assert (found[0], type(found[1]), found[2]) == (1, LookupError, 2)

    asyncio.run(main())


def test_long_work_delays_no_other_work(workers: Workers) -> None:
    """As long as there are threads: here each job waits for the one submitted after it."""
    done = [threading.Event() for _ in range(MOST)]

    def work(number: int) -> int:
        if number + 1 < MOST:
            assert done[number + 1].wait(60)
        done[number].set()
        return number

    async def main() -> None:
        found = await asyncio.gather(*(workers.run(lambda n=n: work(n)) for n in range(MOST)))  # type: ignore[misc]
        assert found == [*range(MOST)]
        assert await workers.run(lambda: "after") == "after"

    asyncio.run(main())


def test_no_more_threads_than_the_limit(workers: Workers) -> None:
    """The next job runs when a long one has ended, and not before."""
    go_on = threading.Event()
    begun: list[int] = []
    all_begun = threading.Barrier(MOST + 1)

    def long(number: int) -> None:
        begun.append(number)
        all_begun.wait(60)
        assert go_on.wait(60)

    async def main() -> None:
        tasks = [asyncio.ensure_future(workers.run(lambda n=n: long(n))) for n in range(MOST)]  # type: ignore[misc]
        await asyncio.to_thread(all_begun.wait, 60)
        short = asyncio.ensure_future(workers.run(lambda: begun.append(-1)))
        await asyncio.wait([short], timeout=0.05)
        assert not short.done()
        go_on.set()
        await asyncio.gather(*tasks, short)
        assert sorted(begun) == [-1, *range(MOST)]

    asyncio.run(main())


def test_work_cancelled_before_it_began_is_not_done(workers: Workers) -> None:
    one = Workers(1)
    begun, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    def long() -> None:
        begun.set()
        assert go_on.wait(60)
        done.append("long")

    async def main() -> None:
        first = asyncio.ensure_future(one.run(long))
        second = asyncio.ensure_future(one.run(lambda: done.append("cancelled")))
        third = asyncio.ensure_future(one.run(lambda: done.append("third")))
        await asyncio.to_thread(begun.wait, 60)
        second.cancel()
        first.cancel()  # it continues nevertheless, and nobody waits for it
        with pytest.raises(asyncio.CancelledError):
            await first
        go_on.set()
        await third

    asyncio.run(main())
    one.close()
    assert done == ["long", "third"]


def test_a_closed_loop_is_not_notified_and_the_next_one_is_served(workers: Workers) -> None:
    """Work of a loop that was closed in the meantime is finished; for the next loop, long work still delays no other."""
    begun, go_on, finished = threading.Event(), threading.Event(), threading.Event()

    def long() -> None:
        begun.set()
        assert go_on.wait(60)
        finished.set()

    async def leave() -> None:
        tasks = [asyncio.ensure_future(workers.run(long)), asyncio.ensure_future(workers.run(lambda: None))]
        await asyncio.to_thread(begun.wait, 60)
        for task in tasks:
            task.cancel()

    async def come() -> None:
        assert await workers.run(lambda: "here") == "here"
        go_on.set()
        assert await workers.run(lambda: finished.wait(60))
        assert await workers.run(lambda: "still") == "still"

    asyncio.run(leave())
    asyncio.run(come())


def test_a_loop_that_was_closed_before_it_took_a_result_is_forgotten(workers: Workers) -> None:
    go_on = threading.Event()
    loop = asyncio.new_event_loop()
    task = loop.create_task(workers.run(lambda: go_on.wait(60)))
    loop.run_until_complete(asyncio.sleep(0))
    go_on.set()
    workers.close()  # when all is done, and the loop has been notified
    loop.close()
    closed = weakref.ref(loop)
    del loop, task

    async def main() -> None:
        assert await workers.run(lambda: "here") == "here"

    asyncio.run(main())
    gc.collect()
    assert closed() is None


def test_polling_for_finished_work_keeps_nothing_of_the_caller(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The context of a caller that has ended is released, however long it takes until the next poll."""
    monkeypatch.setattr("goes_lite.runtime._workers.STALL", 60)
    variable: contextvars.ContextVar[object] = contextvars.ContextVar("variable")
    go_on = threading.Event()

    class Kept:
        pass

    async def caller(kept: list[weakref.ref[Kept]]) -> None:
        mine = Kept()
        variable.set(mine)
        kept.append(weakref.ref(mine))
        await workers.run(lambda: None)

    async def main() -> None:
        kept: list[weakref.ref[Kept]] = []
        long = asyncio.ensure_future(workers.run(lambda: go_on.wait(60)))
        await asyncio.sleep(0)
        short = asyncio.ensure_future(caller(kept))
        await asyncio.sleep(0)
        short.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await short
        del short
        await asyncio.sleep(0)  # until the loop itself has released it
        gc.collect()
        left = kept[0]()
        go_on.set()
        assert await long
        assert left is None

    asyncio.run(main())


class Refusing(threading.Thread):
    """A thread that fails to start `refusals` times, as on a system that has no more threads."""

    refusals = 0

    def start(self) -> None:
        if self.name.startswith("goes_lite") and Refusing.refusals:
            Refusing.refusals -= 1
            raise RuntimeError("can't start new thread")
        super().start()


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> type[Refusing]:
    monkeypatch.setattr(threading, "Thread", Refusing)
    monkeypatch.setattr(Refusing, "refusals", 0)
    return Refusing


def test_without_a_thread_it_is_an_error_and_nothing_is_done_later(workers: Workers, refusing: type[Refusing]) -> None:
    """As soon as a thread can be started again, everything works."""
    done: list[int] = []

    async def main() -> None:
        refusing.refusals = 3
        for _ in range(3):
            with pytest.raises(RuntimeError, match="thread"):
                await workers.run(lambda: done.append(1))
        found = await asyncio.gather(*(workers.run(lambda n=n: n) for n in range(50)))  # type: ignore[misc]
        assert found == [*range(50)]
        assert await workers.run(lambda: "again") == "again"

    asyncio.run(asyncio.wait_for(main(), 60))
    assert done == []


def test_without_another_thread_the_existing_ones_do_it(workers: Workers, refusing: type[Refusing]) -> None:
    """Then long work delays other work, but only until another thread can be started."""
    go_on = threading.Event()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: failed.append(context))
        long = asyncio.ensure_future(workers.run(lambda: go_on.wait(60)))
        await asyncio.sleep(0)
        refusing.refusals = 2
        assert await workers.run(lambda: "short") == "short"
        assert refusing.refusals == 0
        go_on.set()
        assert await long

    failed: list[object] = []
    asyncio.run(asyncio.wait_for(main(), 60))
    assert failed == []


def test_closing_waits_for_work_in_progress(workers: Workers) -> None:
    done: list[int] = []
    begun = threading.Event()

    def work(number: int) -> None:
        begun.set()
        done.append(number)

    async def main() -> None:
        tasks = [asyncio.ensure_future(workers.run(lambda n=n: work(n))) for n in range(10)]  # type: ignore[misc]
        await asyncio.to_thread(begun.wait, 60)
        workers.close()
        assert len(done) == 10
        await asyncio.gather(*tasks)

    asyncio.run(main())
