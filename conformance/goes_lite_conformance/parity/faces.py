"""Both faces are the same backend: each sees what the other does, and behaves the same."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Any

import pytest

from goes_lite import Database, blocking, connect, repository
from goes_lite.contract import checkpoints, commits, event_bus, event_store, model_store, models
from goes_lite.contract.backend import PERSISTENT, PROCESSES, TRANSACTIONS, Backend, Transaction
from goes_lite.contract.snapshot_store import SnapshotStore
from goes_lite.errors import StoreClosed
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite_conformance.harness.asserts import refused, same
from goes_lite_conformance.harness.contract import Contract, in_thread
from goes_lite_conformance.harness.place import PATIENCE, Place
from goes_lite_conformance.harness.samples import A, contents, note, snapshot, story, take
from goes_lite_conformance.harness.workers import say
from goes_lite_conformance.parity._history import History
from goes_lite_conformance.rule import Face, needs, only

FACES: dict[type[Any], type[Any]] = {
    Backend: blocking.BlockingDatabase,
    Transaction: blocking.BlockingTransaction,
    event_store.EventStore: blocking.BlockingEventStore,
    event_store.Pages: blocking.BlockingPages,
    SnapshotStore: blocking.BlockingSnapshotStore,
    model_store.ModelStore: blocking.BlockingModelStore,
    models.Models: blocking.BlockingModels,
    checkpoints.CheckpointStore: blocking.BlockingCheckpointStore,
    checkpoints.LeaseStore: blocking.BlockingLeaseStore,
    commits.Commits: blocking.BlockingCommits,
    event_bus.EventBus: blocking.BlockingEventBus,
    event_bus.Subscription: blocking.BlockingSubscription,
    event_bus.Delivery: blocking.BlockingDelivery,
    event_bus.Handling: blocking.BlockingHandling,
    repository.Repository: blocking.BlockingRepository,
}
"""Each protocol and its blocking face."""

SPELLED = {
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "aclose": "close",
}
"""The names that differ where nothing is awaited."""


@dataclass(frozen=True)
class Total:
    """A read model."""

    sum: int = 0


def parameters(method: Callable[..., Any]) -> list[tuple[str, Any, Any]]:
    """Return the parameters of a method, without self: names, kinds and defaults."""
    return [(one.name, one.kind, one.default) for one in list(inspect.signature(method).parameters.values())[1:]]


def leave_open(place: Place) -> None:
    """Run a program that ends without closing what it opened."""
    db = place.blocking()
    db.events.append([note("acknowledged")])
    globals()["kept"] = (db, db.bus.subscribe(), db.events.follow(after=0))
    say("exiting")


def block_a_loop(place: Place) -> None:
    """Run a program that uses a blocking handle in a coroutine."""

    async def main() -> None:
        with place.blocking() as db:
            db.events.append(story(A, 2))
            with db.transaction() if TRANSACTIONS in db.abilities else nullcontext(db) as writer:
                writer.events.append(story(A, 1, after=2))
            say([event.data.text for event in db.events.query()])

    logging.getLogger("goes_lite").setLevel(logging.ERROR)  # which warns that the loop is blocked
    asyncio.run(main())


class FaceRules(Contract):
    """Rules PA-FACE."""

    @only("blocking")
    async def test_every_method_is_on_both_faces(self, place: Place) -> None:
        """PA-FACE-001: The blocking face has each attribute and method of each protocol, with the same parameters."""
        for protocol, face in FACES.items():
            for name, method in vars(protocol).items():
                if inspect.isfunction(method) and (name in SPELLED or not name.startswith("_")):
                    written = (
                        getattr(Database, name, method) if protocol is Backend else method
                    )  # close() has a timeout
                    blocking_method = getattr(face, SPELLED.get(name, name), None)
                    assert blocking_method is not None, f"{face.__name__} has no {SPELLED.get(name, name)}"
                    if name not in SPELLED:
                        assert parameters(blocking_method) == parameters(written), f"{face.__name__}.{name}"
        asked, offered = parameters(connect), parameters(blocking.connect)
        assert [one for one in asked if one not in offered] == []
        with place.blocking() as db:
            assert [name for name in inspect.get_annotations(Backend) if not hasattr(db, name)] == []
            if TRANSACTIONS in db.abilities:
                with db.transaction() as tx:
                    assert [name for name in dir(Transaction) if name[0] != "_" and not hasattr(tx, name)] == []

    @needs(PROCESSES)
    @only("blocking")
    async def test_each_face_reads_what_the_other_wrote(self, place: Place, db: Backend) -> None:
        """PA-FACE-002: What is written through one face is read through the other, with every field the same."""

        async def write(writer: Backend, number: int) -> tuple[Any, list[Event[Any]]]:
            await writer.events.append(story(A, 2, after=2 * number, tags=["t:1"], metadata={"by": "me"}))
            await writer.models.put("c", str(number), '{"n": 1}')
            await writer.snapshots.save(snapshot(A, 2 * number + 1))
            await writer.checkpoints.save("reader", number)
            return await read(writer)

        async def read(reader: Backend) -> tuple[Any, list[Event[Any]]]:
            return await contents(reader), await reader.events.load(A)

        async def on_a_loop(call: Callable[..., Any], *arguments: Any) -> Any:
            async with place.open(face="async") as other:
                return await call(other, *arguments)

        assert await write(db, 0) == in_thread(lambda: asyncio.run(on_a_loop(read)), PATIENCE)
        assert in_thread(lambda: asyncio.run(on_a_loop(write, 1)), PATIENCE) == await read(db)

    @only("blocking")
    async def test_both_faces_return_the_same(self, place: Place) -> None:
        """PA-FACE-003: The same operations have the same outcomes on both faces: results, and errors with their attributes.

        This is compared on an event loop, inline where the backend supports it, and on a loop thread.
        """

        async def on(face: Face, seed: int) -> list[Any]:
            with place.another() as elsewhere:
                async with elsewhere.open(face=face) as db:
                    return await History(db, seed).run()

        def on_a_loop(seed: int) -> list[Any]:
            return asyncio.run(on("async", seed))

        for seed in range(3):
            expected = in_thread(partial(on_a_loop, seed), PATIENCE)
            assert await on("blocking", seed) == expected
            assert await on("loop", seed) == expected
            kinds = {one[0] for one in expected if isinstance(one, tuple) and isinstance(one[0], type)}
            assert len(kinds) > 2, f"a history with hardly any errors: {kinds}"

    @only("blocking")
    async def test_threads_share_one_handle(self, place: Place) -> None:
        """PA-FACE-004: Several threads may use one blocking handle at once, for everything."""
        with place.blocking() as db:
            totals = db.models_of("totals", Total)

            def work(name: str) -> None:
                for version in range(1, 11):
                    db.events.append([note(f"{name}-{version}", (name, "1"), version)])
                    assert len(db.events.load(AggregateRef(name, "1"))) == version
                    totals.use("t", lambda total: Total(total.sum + 1), default=Total(), tries=1000)
                    assert len(db.events.query(limit=5).list()) <= 5

            with ThreadPoolExecutor(4) as threads:
                list(threads.map(work, ("n1", "n2", "n3", "n4")))
            assert totals.get("t") == Total(40)
            found = [event.data.text for event in db.events.query()]
            assert sorted(found) == sorted(f"n{n}-{version}" for n in range(1, 5) for version in range(1, 11))
            for n in range(1, 5):
                own = [text for text in found if text.startswith(f"n{n}-")]
                assert own == [f"n{n}-{version}" for version in range(1, 11)]

    @only("blocking")
    async def test_blocking_pages_are_iterators(self, place: Place) -> None:
        """PA-FACE-005: Blocking pages are read with `for`, `next`, `list`, and page by page, and resume where they were left."""
        events = [note(str(number)) for number in range(300)]
        with place.blocking() as db:
            db.events.append(events)
            pages = db.events.query()
            found = [next(pages)]
            for event in pages:
                found.append(event)
                if len(found) == 100:
                    break
            found += pages.list()
            same(found, events)
            assert (pages.list(), list(pages), list(pages.next_page())) == ([], [], [])
            paged = db.events.query()
            by_page: list[Event[Any]] = []
            while page := paged.next_page():
                by_page += page
            same(by_page, events)
            with closing(db.events.follow(after=0)) as following:
                same([next(following) for _ in range(300)], events)

    @only("blocking")
    async def test_a_with_block_closes(self, place: Place) -> None:
        """PA-FACE-006: A blocking handle is closed when its `with` block ends, also by an exception, which propagates."""
        with pytest.raises(ZeroDivisionError), place.blocking() as db:
            assert isinstance(db, blocking.BlockingDatabase)
            raise ZeroDivisionError
        with refused(StoreClosed, location=db.location):
            db.events.head()
        db.close()

    @needs(PROCESSES)
    @only("async")
    async def test_faces_wake_each_other(self, place: Place, db: Backend) -> None:
        """PA-FACE-007: A commit through one face wakes a follower on the other, even in one process."""

        def follow_and_answer() -> list[str]:
            with place.blocking() as other:
                heard: list[str] = []
                for event in other.events.follow(after=0):
                    heard.append(event.data.text)
                    if event.data.text == "3":
                        return heard
                    if not event.data.text.startswith("answer"):
                        other.events.append([note(f"answer {event.data.text}")])
                raise AssertionError("a follower has ended")

        following = db.events.follow(after=0)
        answering = asyncio.get_running_loop().run_in_executor(None, follow_and_answer)
        for number in range(3):
            await db.events.append([note(str(number))])
            async with asyncio.timeout(PATIENCE):
                assert await take(following, 2) == [str(number), f"answer {number}"]
        await db.events.append([note("3")])
        async with asyncio.timeout(PATIENCE):
            assert len(await answering) == 7

    @only("blocking")
    async def test_context_variables_go_in_and_out(self, place: Place) -> None:
        """PA-FACE-008: A function passed to a blocking handle sees the caller's context variables, and may change them."""
        variable = ContextVar("variable", default="nothing")

        def change(total: Total) -> Total:
            seen.append(variable.get())
            variable.set("inside")
            return total

        for inline in (None, False):
            with place.blocking(inline=inline) as db:
                seen: list[str] = []
                variable.set("outside")
                db.models_of("totals", Total).use("t", change, default=Total())
                assert (seen, variable.get()) == (["outside"], "inside")

    @only("blocking")
    async def test_blocking_code_works_inside_an_event_loop(self, place: Place) -> None:
        """PA-FACE-009: A blocking handle works on a thread that runs an event loop; it blocks the loop, nothing worse."""
        worker = place.spawn(block_a_loop)  # in a process of its own: here, blocked loops may be watched for
        worker.expect(["a-1", "a-2", "a-3"])
        worker.finish()

    @only("blocking")
    async def test_a_call_out_of_a_call_never_waits_for_itself(self, place: Place) -> None:
        """PA-FACE-010: Using a blocking handle in a function that it is calling works, or is refused at once.

        On a loop thread it would wait for itself: that raises RuntimeError, and the handle works as before.
        """
        for inline in (None, False):
            with place.blocking(inline=inline) as db:
                totals = db.models_of("totals", Total)
                try:
                    totals.use("t", lambda total: Total(total.sum + db.events.head() + 1), default=Total())
                except RuntimeError as error:
                    assert "async" in str(error)
                assert db.events.append([note("x")]).position == db.events.head()

    @needs(TRANSACTIONS)
    @only("blocking")
    async def test_a_blocking_transaction(self, place: Place) -> None:
        """PA-FACE-011: `with db.transaction() as tx` commits or rolls back, and its `on_commit` actions are plain functions.

        They are called in the caller's thread, after the commit.
        """
        done: list[tuple[str, threading.Thread]] = []
        with place.blocking() as db:
            with db.transaction() as tx:
                tx.on_commit(lambda: done.append((db.events.query().list()[0].data.text, threading.current_thread())))
                tx.events.append([note("x")])
                tx.models_of("totals", Total).put("t", Total(1))
                assert done == []
            assert done == [("x", threading.current_thread())]
            with pytest.raises(ZeroDivisionError), db.transaction() as tx:
                tx.events.append([note("y")])
                tx.models_of("totals", Total).put("t", Total(2))
                raise ZeroDivisionError
            assert db.events.count() == 1
            assert db.models_of("totals", Total).get("t") == Total(1)
            assert len(done) == 1

    @only("blocking")
    async def test_a_blocking_handler(self, place: Place) -> None:
        """PA-FACE-012: A handler on a blocking bus is a plain function, called on a thread of its own until it is stopped.

        It may use the handle.
        """
        handled: SimpleQueue[tuple[str, int]] = SimpleQueue()
        with place.blocking() as db:

            def handle(event: Event[Any]) -> None:
                assert threading.current_thread() is not rule
                handled.put((event.data.text, len(db.events.load(A))))

            rule = threading.current_thread()
            handling = db.bus.handle(["sample.noted"], handle)
            db.events.append(story(A, 1))
            assert handled.get(timeout=PATIENCE) == ("a-1", 1)
            handling.stop()
            assert not handling.running
            db.events.append(story(A, 1, after=1))
            db.close()
        assert handled.empty()

    @needs(PERSISTENT)
    @only("blocking")
    async def test_a_program_may_end_without_closing(self, place: Place) -> None:
        """PA-FACE-013: Handles open at interpreter exit are closed: the exit is clean and silent, and nothing is lost."""
        worker = place.spawn(leave_open)
        worker.expect("exiting")
        worker.finish()
        with place.blocking() as db:
            assert [event.data.text for event in db.events.query()] == ["acknowledged"]
