"""The one connection that writes, and group commit: whatever waits is committed together, with one fsync for all.

An operation is a function of the connection. On the blocking face the thread that brings one becomes the leader if
nobody leads: it runs everything queued, its own included, and the others are woken when theirs is done. They do not
wait for the lock: it may be with the next leader by then. On the async face a thread of the writer's own does the
same. Either way

* an operation that raises before it wrote anything disturbs nobody,
* if one fails half-way, the transaction is rolled back and each of the group runs again alone, so operations must be
  repeatable: they are functions of an immutable batch,
* results are given out after the commit, never before.

Transactions of the user (`_session.Session`) hold the connection from BEGIN to COMMIT; the queue waits.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from goes_lite.errors import StoreClosed, StoreForked, StoreLocked
from goes_lite.kit.transaction import check_not_inside, current_session
from goes_lite.sqlite._connection import WRITER_BUSY, Target, set_busy_timeout
from goes_lite.sqlite._driver import BUSY, Connection, translate
from goes_lite.sqlite._turnstile import AnyTurnstile
from goes_lite.sqlite.checkpointer import Checkpointer

if TYPE_CHECKING:
    import asyncio

    from goes_lite.sqlite._session import Session

T = TypeVar("T")
Work = Callable[[Connection], T]

MOMENT = 0.00004
"""How many seconds a leader waits for the next of those who shared the last commit."""
GROUP = 512
"""The most operations in one transaction: bounds how long the first of them waits for its answer."""


class Operation(Generic[T]):
    """One piece of work on its way through the writer."""

    __slots__ = ("committed", "done", "error", "future", "result", "turn", "work")

    def __init__(self, work: Work[T], committed: Callable[[T], None] | None, future: asyncio.Future[T] | None) -> None:
        self.work = work
        self.committed = committed
        """Called after the commit, on the writer's thread, in commit order."""
        self.future = future
        self.turn: SimpleQueue[None] | None = None
        """Where the thread that waits for it is woken, once it waits: to find it done, or to lead."""
        self.done = False
        self.result: Any = None
        self.error: BaseException | None = None

    def wake(self) -> None:
        if self.turn is not None:
            self.turn.put(None)


class Writer:
    """Runs operations on the writing connection. `notify` is called after each commit that changed something."""

    def __init__(
        self,
        connection: Connection,
        target: Target,
        turnstile: AnyTurnstile,
        notify: Callable[[], None],
        *,
        inline: bool,
    ) -> None:
        self.connection = connection
        self.target = target
        self.inline = inline
        self.forked = False
        self._turnstile = turnstile
        self.notify = notify
        self.driver = target.driver
        self.lock = threading.Lock()
        self._gate = threading.RLock()  # nothing is put into the inbox behind the None that ends the thread
        self._ending = False
        self._committing: Sequence[Operation[Any]] = ()
        """Whose COMMIT is under way: all that tells, after an interrupt, whether it has happened."""
        self._queue: deque[Operation[Any]] = deque()
        self._companions = 1
        """How many operations the last leader found."""
        self._inbox: SimpleQueue[Operation[Any] | Session | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False
        self.checkpointer = Checkpointer(connection, target, turnstile)
        set_busy_timeout(connection, WRITER_BUSY)

    def __repr__(self) -> str:
        return f"<Writer {self.target.location}: {len(self._queue)} queued{', closed' if self._closed else ''}>"

    # --- the two entrances ----------------------------------------------------------------------------------------

    async def run(self, work: Work[T], committed: Callable[[T], None] | None = None) -> T:
        """Run an operation, commit it (with others), then answer its result."""
        if self._ending or self.forked:  # else it is usable, and asking would be a call
            self.check_usable()
        if current_session.get() is not None:
            check_not_inside(self)
        if self.inline:
            return self._lead(Operation(work, committed, None))
        import asyncio

        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.put(Operation(work, committed, future))
        return await future

    def read(self, work: Work[T]) -> T:
        """Run a read on the writing connection, between transactions: for a store in memory, which has but this one."""
        self.check_usable()
        self.acquire()
        try:
            self.check_usable()
            return work(self.connection)
        except self.driver.error as exc:
            raise self.translated(exc) from exc
        finally:
            self.release()

    def check_usable(self) -> None:
        if self.forked:
            raise StoreForked(self.target.location)
        if self._closed or self._ending:
            raise StoreClosed(self.target.location)

    def acquire(self) -> None:
        """Take the lock for a transaction, or a read, and first commit what waits for it: that came before.

        One who comes again and again would else have the lock back each time before those who wait are awake.
        """
        if not self.lock.acquire(timeout=self.target.lock_timeout):
            raise StoreLocked(self.target.location, self.target.lock_timeout)
        try:
            while self.inline and self._queue and not self._closed:
                self._commit_queued()
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Give the lock back, and let a thread whose operation is queued take it."""
        self.lock.release()
        if self._queue:
            self._wake_next()

    def _wake_next(self) -> None:
        with contextlib.suppress(IndexError):  # somebody took them meanwhile
            self._queue[0].wake()

    def _lead(self, operation: Operation[T]) -> T:
        self._queue.append(operation)
        try:
            leads = self.lock.acquire(blocking=False) or self._wait(operation)
        except BaseException:
            self._withdraw(operation)
            self._wake_next()  # it may have been our turn
            raise
        if leads:
            try:
                if self._companions > 1 or len(self._queue) > 1:
                    self._gather()
                while not operation.done:
                    if self._closed:
                        raise StoreClosed(self.target.location)
                    self._commit_queued()
            except BaseException:
                self._withdraw(operation)  # whoever was interrupted must not find it stored by somebody later
                raise
            finally:
                self.release()
        if operation.error is not None:
            raise operation.error
        result: T = operation.result
        return result

    def _wait(self, operation: Operation[Any]) -> bool:
        """Until the thread has the lock, and leads: True; or until the operation is done: False. StoreLocked."""
        # From here on whoever is done with it, or gives the lock back, finds somebody to wake: looked at again after.
        operation.turn = SimpleQueue()
        timeout = self.target.lock_timeout
        end: float | None = time.monotonic() + timeout
        while not operation.done:
            if self.lock.acquire(blocking=False):
                return True
            try:
                operation.turn.get(timeout=None if end is None else max(0.0, end - time.monotonic()))
            except Empty:
                if self._withdraw(operation):
                    raise StoreLocked(self.target.location, timeout) from None
                end = None  # a leader has it already: only the leader knows what becomes of it
        return False

    def _gather(self) -> None:
        """Give those who shared the last commit a moment to come with their next operation: one fsync is many moments."""
        queue = self._queue
        found, end = 0, 0.0
        while len(queue) < self._companions:
            now = time.perf_counter()
            if len(queue) > found:
                found, end = len(queue), now + MOMENT
            elif now >= end:
                break
            time.sleep(0)  # the others have the interpreter; whoever really sleeps is awake only after two moments
        self._companions = len(queue)

    def _withdraw(self, operation: Operation[Any]) -> bool:
        """Take an operation off the queue; False if it is not there any more."""
        try:
            self._queue.remove(operation)
        except ValueError:
            return False
        return True

    def put(self, item: Operation[Any] | Session) -> None:
        with self._gate:
            if self._ending:
                raise StoreClosed(self.target.location)
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="goes_lite-writer", daemon=True)
                self._thread.start()
            self._inbox.put(item)

    def _serve(self) -> None:
        """The writer's own thread: take what there is, commit it, until None comes."""
        while self._serve_next():  # in a frame of its own, so that waiting keeps no operation (and its backend) alive
            pass

    def _serve_next(self) -> bool:
        inbox = self._inbox
        item = inbox.get()
        while isinstance(item, Operation):
            self._queue.append(item)
            if inbox.empty():
                break
            item = inbox.get()
        with self.lock:
            while self._queue:
                try:
                    self._commit_queued()
                except Exception as exc:  # noqa: BLE001 - those who wait for the thread must not wait for ever
                    self._fail_queued(exc)
        if item is not None and not isinstance(item, Operation):
            item.serve()
        return item is not None

    # --- committing -------------------------------------------------------------------------------------------------

    def _commit_queued(self) -> None:
        """Take a group off the queue and commit it. The lock is held."""
        queue = self._queue
        group: list[Operation[Any]] = []
        try:
            try:
                # In one call: wherever an interrupt hits, what has left the queue is in the group.
                group.extend(islice(iter(queue.popleft, None), min(len(queue), GROUP)))
            except IndexError:
                pass  # somebody has given up meanwhile, and there is one less
            live = group if self.inline else [op for op in group if op.future is None or not op.future.cancelled()]
            changed = self._commit(live)
        except BaseException:
            # An interrupt (KeyboardInterrupt) hit the leader. What is committed stays so; the rest is run again by
            # whoever waits next and thereby leads.
            if self._committing and not self.driver.in_transaction(self.connection):
                for op in self._committing:
                    op.done = True  # it came between COMMIT and this very line in `_commit`
            self._committing = ()
            self._rollback()
            queue.extendleft(op for op in reversed(group) if not op.done)
            self._answer([op for op in group if op.done], changed=True)
            raise
        self._answer(live, changed=changed)
        if changed:
            self.checkpointer.after_commit()

    def _answer(self, operations: Sequence[Operation[Any]], *, changed: bool) -> None:
        """Tell everybody what became of operations that are done."""
        try:
            for op in operations:
                if op.committed is not None and op.error is None:
                    op.committed(op.result)  # must not raise: the commit has happened
            if changed:
                self.notify()
        finally:
            resolve(operations)

    def _fail_queued(self, error: Exception) -> None:
        failed = [*self._queue]
        self._queue.clear()
        for op in failed:
            op.error, op.done = error, True
        resolve(failed)

    def _commit(self, group: Sequence[Operation[Any]]) -> bool:
        """Run the operations in one transaction; if one fails half-way, each in its own. Whether anything changed."""
        connection, driver = self.connection, self.driver
        try:
            self.begin()
        except Exception as exc:  # noqa: BLE001 - it goes to all who brought an operation
            for op in group:
                op.error, op.done = exc, True
            return False
        before = start = driver.changes(connection)
        failed: BaseException | None = None
        for op in group:
            op.error = None
            try:
                op.result = op.work(connection)
            except Exception as exc:  # noqa: BLE001 - it goes to whoever brought the operation
                op.error = self.translated(exc)
                if driver.changes(connection) != before or not driver.in_transaction(connection):
                    failed = op.error
                    break
            before = driver.changes(connection)
        if failed is None:
            try:
                self._committing = group
                self.end(changed=before != start)
            except Exception as exc:  # noqa: BLE001 - as above
                self._committing = ()
                failed = exc
                if len(group) == 1:
                    group[0].error = exc
        if failed is not None:
            self._rollback()
            if len(group) > 1:
                changed = [self._commit([op]) for op in group]  # each has its turn, whatever becomes of the others
                return any(changed)
        for op in group:
            op.done = True
        self._committing = ()
        return failed is None and before != start

    def begin(self) -> None:
        """BEGIN, when it is this process's turn; StoreLocked if that takes longer than the lock timeout."""
        started = time.monotonic()
        timeout = self.target.lock_timeout
        self._turnstile.enter(timeout)
        try:
            while True:
                try:
                    self.connection.execute("BEGIN IMMEDIATE")
                    return
                except self.driver.error as exc:
                    # SQLite waits for a moment at a time, so that Ctrl-C is heard and the time limit is one for both
                    waited = time.monotonic() - started
                    if self.driver.code(exc) & 0xFF != BUSY or waited >= timeout:
                        raise self.translated(exc, waited) from exc
        except BaseException:
            self._turnstile.leave()
            raise

    def end(self, *, changed: bool = True) -> None:
        """COMMIT (or ROLLBACK, if there is nothing to commit) and let the next process pass."""
        try:
            if changed:
                self.checkpointer.before_commit()
            self.connection.execute("COMMIT" if changed else "ROLLBACK")
        except self.driver.error as exc:
            raise self.translated(exc) from exc
        self._turnstile.leave()

    def _rollback(self) -> None:
        try:
            if self.driver.in_transaction(self.connection):  # a full disk makes SQLite roll back by itself
                self.connection.execute("ROLLBACK")
        except self.driver.error:
            pass  # SQLite is out of the transaction all the same; if not, the next BEGIN says so
        finally:
            self._turnstile.leave()

    def abandon(self) -> None:
        """ROLLBACK a session's transaction."""
        self._rollback()

    def translated(self, error: Exception, waited: float = 0.0) -> Exception:
        if isinstance(error, self.driver.error):
            translated = translate(error, self.driver.code(error), self.target.location, waited=waited)
            translated.__cause__ = error
            return translated
        return error

    # --- the end ------------------------------------------------------------------------------------------------------

    def close(self, *, patience: float = -1) -> None:
        """Finish what is queued, then close the connection. Blocks; safe to call twice.

        With `patience`, at the end of the process, a transaction that is still open after so many seconds is left to
        the system, which undoes it.
        """
        if self.forked:
            return
        self.end_thread()
        if self._thread is not None:
            self._thread.join(None if patience < 0 else patience)
            patience = min(patience, 0) if self._thread.is_alive() else patience
        if not self.lock.acquire(timeout=patience):
            return
        try:
            if not self._closed:
                while self._queue:
                    self._commit_queued()
                self._closed = True
                self.connection.close()
                self._turnstile.close()
        finally:
            self.release()

    def end_thread(self) -> None:
        """Take nothing new, and have the thread end behind what there is."""
        with self._gate:
            if not self._ending:
                self._ending = True
                self._inbox.put(None)

    def after_fork_in_child(self) -> None:
        """The parent's lock file must not stay open in the child, or its lock would outlive the parent."""
        self._turnstile.close()


def call_in(future: asyncio.Future[Any] | None, settle: Callable[[asyncio.Future[Any]], None]) -> None:
    if future is not None:
        with contextlib.suppress(RuntimeError):  # its loop was closed: nobody waits any more
            future.get_loop().call_soon_threadsafe(lambda: None if future.done() else settle(future))


def resolve(operations: Sequence[Operation[Any]]) -> None:
    """Give the results to those who wait for them, with one call per event loop instead of one per operation."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Operation[Any]]] = {}
    for op in operations:
        if op.turn is not None:
            op.turn.put(None)
        elif op.future is not None:
            by_loop.setdefault(op.future.get_loop(), []).append(op)
    for loop, resolved in by_loop.items():
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_settle, resolved)


def _settle(operations: Sequence[Operation[Any]]) -> None:
    for op in operations:
        future = op.future
        if future is not None and not future.done():
            if op.error is not None:
                future.set_exception(op.error)
            else:
                future.set_result(op.result)
