"""The one connection that writes, and group commit: whatever waits is committed together, with one fsync for all.

An operation is a function of the connection. On the blocking face the thread that brings one becomes the leader if
nobody leads: it runs everything queued, its own included, and the others are woken when theirs is done. They do not
wait for the lock: it may be with the next leader by then. On the async face a thread of the writer's own does the
same. Either way

* an operation that raises before it wrote anything disturbs nobody,
* if one fails half-way, the transaction is rolled back and each of the group runs again alone, so operations must be
  repeatable: they are functions of an immutable batch,
* results are given out after the commit, never before.

Transactions of the user (`_session.SQLiteSession`) hold the connection from BEGIN to COMMIT; the queue waits.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from goes_lite.errors import StoreClosed, StoreForked, StoreLocked
from goes_lite.kit.transaction import check_not_inside, current_session
from goes_lite.sqlite._connection import FileAddress
from goes_lite.sqlite._driver import Connection
from goes_lite.sqlite._operation import Operation, Work, resolve
from goes_lite.sqlite._turnstile import AnyTurnstile
from goes_lite.sqlite._write_transactions import WriteTransactions

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")

MOMENT = 0.00004
"""How many seconds a leader waits for the next of those who shared the last commit."""
GROUP = 512
"""The most operations in one transaction: bounds how long the first of them waits for its answer."""


class Guest(Protocol):
    """Who has the writer's thread to itself for a while: a transaction of the user."""

    def serve(self) -> None:
        """Hold the connection until the transaction ends."""
        ...


class Writer:
    """Runs operations on the writing connection. `notify` is called after each commit that changed something."""

    def __init__(
        self,
        connection: Connection,
        address: FileAddress,
        turnstile: AnyTurnstile,
        notify: Callable[[], None],
        *,
        inline: bool,
    ) -> None:
        self.address = address
        self.inline = inline
        self.forked = False
        self.notify = notify
        self.driver = address.driver
        self.transactions = WriteTransactions(connection, address, turnstile)
        self.lock = threading.Lock()
        self._gate = threading.RLock()  # nothing is put into the inbox behind the None that ends the thread
        self._ending = False
        self._committing: Sequence[Operation[Any]] = ()
        """Whose COMMIT is under way: all that tells, after an interrupt, whether it has happened."""
        self._queue: deque[Operation[Any]] = deque()
        self._companions = 1
        """How many operations the last leader found."""
        self._inbox: SimpleQueue[Operation[Any] | Guest | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"<Writer {self.address.location}: {len(self._queue)} queued{', closed' if self._closed else ''}>"

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
            return work(self.transactions.connection)
        except self.driver.error as exc:
            raise self.transactions.translated(exc) from exc
        finally:
            self.release()

    def check_usable(self) -> None:
        if self.forked:
            raise StoreForked(self.address.location)
        if self._closed or self._ending:
            raise StoreClosed(self.address.location)

    def acquire(self) -> None:
        """Take the lock for a transaction, or a read, and first commit what waits for it: that came before.

        One who comes again and again would else have the lock back each time before those who wait are awake.
        """
        if not self.lock.acquire(timeout=self.address.lock_timeout):
            raise StoreLocked(self.address.location, self.address.lock_timeout)
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
                        raise StoreClosed(self.address.location)
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
        timeout = self.address.lock_timeout
        end: float | None = time.monotonic() + timeout
        while not operation.done:
            if self.lock.acquire(blocking=False):
                return True
            try:
                operation.turn.get(timeout=None if end is None else max(0.0, end - time.monotonic()))
            except Empty:
                if self._withdraw(operation):
                    raise StoreLocked(self.address.location, timeout) from None
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

    def put(self, item: Operation[Any] | Guest) -> None:
        with self._gate:
            if self._ending:
                raise StoreClosed(self.address.location)
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
            if self._committing and not self.driver.in_transaction(self.transactions.connection):
                for op in self._committing:
                    op.done = True  # it came between COMMIT and this very line in `_commit`
            self._committing = ()
            self.transactions.rollback()
            queue.extendleft(op for op in reversed(group) if not op.done)
            self._answer([op for op in group if op.done], changed=True)
            raise
        self._answer(live, changed=changed)
        if changed:
            self.transactions.checkpointer.after_commit()

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
        connection, driver = self.transactions.connection, self.driver
        try:
            self.transactions.begin()
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
                op.error = self.transactions.translated(exc)
                if driver.changes(connection) != before or not driver.in_transaction(connection):
                    failed = op.error
                    break
            before = driver.changes(connection)
        if failed is None:
            try:
                self._committing = group
                self.transactions.end(changed=before != start)
            except Exception as exc:  # noqa: BLE001 - as above
                self._committing = ()
                failed = exc
                if len(group) == 1:
                    group[0].error = exc
        if failed is not None:
            self.transactions.rollback()
            if len(group) > 1:
                changed = [self._commit([op]) for op in group]  # each has its turn, whatever becomes of the others
                return any(changed)
        for op in group:
            op.done = True
        self._committing = ()
        return failed is None and before != start

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
                self.transactions.close()
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
        self.transactions.turnstile.close()
