"""The writing connection and group commit: all queued operations are committed together, with one fsync.

An operation is a function of the connection. On the blocking face, a calling thread becomes the leader if there is none:
it runs everything queued, including its own operation, and wakes the others when theirs are done. They do not wait for
the lock, which the next leader may hold by then. On the async face, the writer's own thread does the same. Either way

* an operation that raises before it wrote anything does not affect others,
* if one fails after a write, the transaction is rolled back and each operation of the group runs again alone, so
  operations must be repeatable: they are functions of an immutable batch,
* results are delivered after the commit, never before.

User transactions (`_session.SQLiteSession`) hold the connection from BEGIN to COMMIT; the queue waits.

An interrupt (Ctrl-C, an exception out of a signal handler) may hit a calling thread at any moment. What a call takes and
gives back is inside one `try`, and `give_up` looks what of it is still held: at the seat, the connection and the group.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from goes_lite.errors import StoreClosed, StoreForked, StoreLocked
from goes_lite.kit.transaction import check_not_inside, current_session
from goes_lite.runtime.deadline import current_deadline
from goes_lite.sqlite._connection import FileAddress
from goes_lite.sqlite._driver import Connection
from goes_lite.sqlite._operation import Guest, Operation, Work, admitted, resolve
from goes_lite.sqlite._seat import Seat, Turn
from goes_lite.sqlite._turnstile import AnyTurnstile
from goes_lite.sqlite._write_transactions import WriteTransactions

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")

MOMENT = 0.00004
"""How many seconds a leader waits for the next operation of a thread that shared the last commit."""
GROUP = 512
"""The maximum number of operations in one transaction, which bounds how long the first of them waits."""


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
        self.seat = Seat()
        self._gate = threading.RLock()  # nothing may follow the None in the inbox that ends the thread
        self._ending = False
        self._abandoned = False
        self._group: Sequence[Operation[Any]] = ()
        """The operations that have left the queue and have no result yet."""
        self._committing: Sequence[Operation[Any]] = ()
        """Those whose COMMIT is under way: after an interrupt, nothing else shows whether it happened."""
        self._queue: deque[Operation[Any]] = deque()
        self._companions = 1
        """The number of operations that the last leader found."""
        self._inbox: SimpleQueue[Operation[Any] | Guest | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"<Writer {self.address.location}: {len(self._queue)} queued{', closed' if self._closed else ''}>"

    # --- entry points ---------------------------------------------------------------------------------------------

    async def run(self, work: Work[T], committed: Callable[[T], None] | None = None, *, brief: bool = False) -> T:
        """Run an operation, which is brief if it writes a few rows, commit it (with others), and return its result."""
        if self._ending or self.forked:  # inlined from `check_usable`, to save a call
            self.check_usable()
        if current_session.get() is not None:
            check_not_inside(self)
        if (deadline := current_deadline.get()) is not None:
            work = admitted(work, deadline)
        if self.inline:
            operation = Operation(work, committed, None)
            try:
                return self._lead(operation)
            except BaseException:
                self._withdraw(operation)  # nobody may store it after its caller was interrupted
                self.give_up(operation)
                raise
        import asyncio

        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.hand_over(Operation(work, committed, future), brief=brief)
        return await future

    def hand_over(self, operation: Operation[Any], *, brief: bool) -> None:
        """See to it that an operation of an event loop is committed."""
        self.put(operation)

    def read(self, work: Work[T]) -> T:
        """Run a read on the writing connection between transactions: a store in memory has no other."""
        self.check_usable()
        turn = Turn()
        try:
            self.acquire(turn)
            self.check_usable()
            result = work(self.transactions.connection)
            self.release(turn)
        except BaseException as exc:
            self.give_up(turn)
            if isinstance(exc, self.driver.error):
                raise self.transactions.translated(exc) from exc
            raise
        return result

    def check_usable(self) -> None:
        if self.forked:
            raise StoreForked(self.address.location)
        if self._closed or self._ending:
            raise StoreClosed(self.address.location)

    def acquire(self, turn: Turn) -> None:
        """Take the seat for a transaction or a read, after committing the operations that were queued before.

        Otherwise a thread that calls this repeatedly would retake it each time before the waiting ones wake up.
        """
        if not self.seat.take(turn, self.address.lock_timeout):
            raise StoreLocked(self.address.location, self.address.lock_timeout)
        while self.inline and self._queue and not self._closed:
            self._commit_queued()

    def release(self, turn: Turn) -> None:
        """Give the seat back and wake a thread whose operation is queued."""
        seat = self.seat
        if seat.taken.get(0) is turn:
            del seat.taken[0]
        if seat.waiting:
            seat.wake()
        if self._queue:
            self._wake_next()

    def _wake_next(self) -> None:
        with contextlib.suppress(IndexError):  # another thread took them meanwhile
            self._queue[0].wake()

    def give_up(self, turn: Turn) -> None:
        """End a turn, or the wait for one, that an error or an interrupt has ended wherever it was."""
        if self.seat.holds(turn):
            try:
                self._recover(turn)
            finally:
                self.release(turn)
            return
        self.seat.forget(turn)
        if self._queue:
            self._wake_next()  # this one may have been woken instead

    def _recover(self, turn: Turn | None) -> None:
        """Roll back what is open. Operations that were committed are done; the next leader runs the others again."""
        if self._committing and not self.driver.in_transaction(self.transactions.connection):
            for op in self._committing:
                op.done = True  # the interrupt came between COMMIT and the same line in `_commit`
        self._committing = ()
        self.transactions.rollback()
        group, self._group = self._group, ()
        self._queue.extendleft(op for op in reversed(group) if not op.done and op is not turn)
        self._deliver([op for op in group if op.done], changed=True)

    def _lead(self, operation: Operation[T]) -> T:
        self._queue.append(operation)
        seat = self.seat
        # Transactions that wait come first: a thread that appends without a pause would retake the seat before they wake up.
        if (not seat.waiting and seat.taken.setdefault(0, operation) is operation) or self._wait(operation):
            if self._companions > 1 or len(self._queue) > 1:
                self._gather()
            while not operation.done:
                if self._closed:
                    raise StoreClosed(self.address.location)
                self._commit_queued()
            self.release(operation)
        if operation.error is not None:
            raise operation.error
        result: T = operation.result
        return result

    def _wait(self, operation: Operation[Any]) -> bool:
        """Wait until the thread has the seat and leads (True), or the operation is done (False); or raise StoreLocked."""
        # Set before checking again: a thread that finishes the operation or gives the seat back from here on wakes this one.
        operation.bell = SimpleQueue()
        timeout = self.address.lock_timeout
        end: float | None = time.monotonic() + timeout
        while not operation.done:
            if not self.seat.waiting and self.seat.taken.setdefault(0, operation) is operation:
                return True
            try:
                operation.bell.get(timeout=None if end is None else max(0.0, end - time.monotonic()))
            except Empty:
                if self._withdraw(operation):
                    raise StoreLocked(self.address.location, timeout) from None
                end = None  # a leader has taken it already, and only the leader knows the outcome
        return False

    def _gather(self) -> None:
        """Wait a moment for the next operations of threads that shared the last commit; an fsync takes much longer."""
        queue = self._queue
        found, end = 0, 0.0
        while len(queue) < self._companions:
            now = time.perf_counter()
            if len(queue) > found:
                found, end = len(queue), now + MOMENT
            elif now >= end:
                break
            time.sleep(0)  # lets the others run; a real sleep would take more than twice `MOMENT`
        self._companions = len(queue)

    def _withdraw(self, operation: Operation[Any]) -> bool:
        """Remove an operation from the queue; return False if it is no longer there."""
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
                thread = threading.Thread(target=self._serve, name="goes_lite-writer", daemon=True)
                thread.start()
                self._thread = thread  # an interrupt before this line has the next call start another one
            self._inbox.put(item)

    def _serve(self) -> None:
        """Run the writer's own thread: commit whatever arrives, until None does."""
        while self._serve_next():  # in its own frame, so that waiting keeps no operation (and its backend) alive
            pass
        self._inbox.put(None)  # if there is another one, it ends as well
        if self._abandoned:
            self.transactions.close()

    def _serve_next(self) -> bool:
        inbox = self._inbox
        item = inbox.get()
        while isinstance(item, Operation):
            self._queue.append(item)
            if inbox.empty():
                break
            item = inbox.get()
        turn = Turn()
        self.seat.take(turn, None)
        while self._queue:
            try:
                self._commit_queued()
            except Exception as exc:  # noqa: BLE001 - callers must not wait forever
                self._recover(None)
                self._fail_queued(exc)
        self.release(turn)
        if item is not None and not isinstance(item, Operation):
            item.serve()
        return item is not None

    # --- committing -------------------------------------------------------------------------------------------------

    def _commit_queued(self) -> None:
        """Take a group off the queue and commit it. The caller has the seat, and calls `give_up` or `_recover` on any error."""
        queue = self._queue
        group: list[Operation[Any]] = []
        self._group = group
        try:
            # One call, so that after an interrupt everything that has left the queue is in the group.
            group.extend(islice(iter(queue.popleft, None), min(len(queue), GROUP)))
        except IndexError:
            pass  # an operation was withdrawn meanwhile
        live = group if self.inline else [op for op in group if op.future is None or not op.future.cancelled()]
        changed = self._commit(live)
        self._deliver(live, changed=changed)
        self._group = ()
        if changed:
            self.transactions.checkpointer.after_commit()

    def _deliver(self, operations: Sequence[Operation[Any]], *, changed: bool) -> None:
        """Deliver the results of operations that are done."""
        try:
            for op in operations:
                if op.committed is not None and op.error is None:
                    op.committed(op.result)  # must not raise: the commit has happened
            if changed:
                self.notify()
        finally:
            if len(operations) != 1 or operations[0].future is not None or operations[0].bell is not None:
                self._answer(operations)  # else its thread is this one

    def _answer(self, operations: Sequence[Operation[Any]]) -> None:
        resolve(operations)

    def _fail_queued(self, error: Exception) -> None:
        failed = [*self._queue]
        self._queue.clear()
        for op in failed:
            op.error, op.done = error, True
        resolve(failed)

    def _commit(self, group: Sequence[Operation[Any]], *, begun: bool = False) -> bool:
        """Run the operations in one transaction, or, if one fails after a write, each alone; return whether anything changed."""
        connection, driver = self.transactions.connection, self.driver
        try:
            if not begun:
                self.transactions.begin()
        except Exception as exc:  # noqa: BLE001 - delivered to all callers
            for op in group:
                op.error, op.done = exc, True
            return False
        before = start = driver.changes(connection)
        failed: BaseException | None = None
        for op in group:
            op.error = None
            try:
                op.result = op.work(connection)
            except Exception as exc:  # noqa: BLE001 - delivered to the caller
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
                changed = [self._commit([op]) for op in group]
                return any(changed)
        for op in group:
            op.done = True
        self._committing = ()
        return failed is None and before != start

    def close(self, *, patience: float = -1) -> None:
        """Finish the queued operations, then close the connection. Blocks; safe to call twice.

        Operations that wait for another process raise StoreClosed, and nothing of them is stored.
        With `patience`, at the end of the process, a transaction that is still open after that many seconds is left to be
        rolled back when the process ends.
        """
        if self.forked:
            return
        self.end_thread()
        if self._thread is not None:
            self._thread.join(None if patience < 0 else patience)
            patience = min(patience, 0) if self._thread.is_alive() else patience
        turn = Turn()
        try:
            if self.seat.take(turn, None if patience < 0 else patience):
                while self._queue and not self._closed:
                    self._commit_queued()
                self._closed = True
                self.transactions.close()
            self.release(turn)
        except BaseException:
            self.give_up(turn)
            raise

    def end_thread(self) -> None:
        """Refuse new operations, and end the thread after the queued ones."""
        with self._gate:
            if not self._ending:
                self._ending = self.transactions.turnstile.ending = True
                self._inbox.put(None)

    def abandon(self) -> None:
        """Let go of everything without waiting, since nobody can reach the handle any more."""
        self._abandoned = True
        self.end_thread()
        if self._thread is None:
            self.transactions.close()

    def after_fork_in_child(self) -> None:
        """Close the parent's lock file in the child, where its lock would outlive the parent."""
        self.transactions.turnstile.close()
