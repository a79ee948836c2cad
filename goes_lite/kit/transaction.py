"""User transactions for any backend: the block, the transaction that the running code is in, and actions after the commit.

A backend provides a session (from BEGIN to COMMIT) and the stores inside it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar

from goes_lite.contract.backend import SQL, Transaction
from goes_lite.contract.checkpoints import CheckpointStore
from goes_lite.contract.event_store import EventStore
from goes_lite.contract.model_store import ModelStore
from goes_lite.contract.models import Models
from goes_lite.contract.snapshot_store import SnapshotStore
from goes_lite.errors import AbilityMissing, CommandTimeout, StoreReadOnly, TransactionError
from goes_lite.errors.faces import AsyncBlock
from goes_lite.errors.functions import check_function
from goes_lite.runtime import Runtime
from goes_lite.runtime.deadline import current_deadline
from goes_lite.runtime.face import call, not_acted
from goes_lite.runtime.leaving import ExitMethod, Leaving
from goes_lite.runtime.works import in_transaction

if TYPE_CHECKING:
    import asyncio

M = TypeVar("M")

StoresInside: TypeAlias = tuple[EventStore, SnapshotStore, ModelStore, CheckpointStore]
"""The stores inside a transaction."""


class Session(Protocol):
    """The transaction of one block on one handle."""

    @property
    def owner(self) -> object:
        """The writer of the handle, which identifies the handle."""
        ...

    @property
    def outer(self) -> Session | None:
        """The enclosing transaction, of any backend."""
        ...

    @property
    def active(self) -> bool:
        """Whether it is open."""
        ...

    @property
    def committed(self) -> bool:
        """Whether the COMMIT succeeded, even if the caller was cancelled meanwhile."""
        ...

    async def open(self) -> None: ...
    async def finish(self, *, commit: bool) -> None: ...

    def abandon(self) -> None:
        """Roll back, without waiting for it, unless it has ended; called by any thread, after an interrupt."""
        ...


S = TypeVar("S", bound=Session)

current_session: ContextVar[Session | None] = ContextVar("current_session", default=None)
"""The innermost transaction that the running code is in, if any."""


def inside_any() -> bool:
    """Return whether the running code is inside an open transaction, of any handle."""
    session = current_session.get()
    while session is not None and not session.active:
        session = session.outer
    return session is not None


in_transaction.append(inside_any)


def check_not_inside(owner: object) -> None:
    """Raise TransactionError if the running code is inside a transaction of that handle."""
    session = current_session.get()
    while session is not None:
        if session.owner is owner and session.active:
            raise TransactionError(
                "a write outside the transaction that this code runs in would wait forever for its end: "
                "write through the transaction (tx.events, tx.models, …)"
            )
        session = session.outer


def finish_soon(session: Session, loop: asyncio.AbstractEventLoop) -> None:
    """Roll back a session on its event loop, from any thread; nothing is left to do if the loop was closed."""
    if not loop.is_closed():
        from asyncio import run_coroutine_threadsafe

        run_coroutine_threadsafe(session.finish(commit=False), loop)


def opened_read_only(location: str) -> StoreReadOnly:
    """Return the error for a write through a handle that was opened read-only."""
    return StoreReadOnly(location, "opened read-only", "open it without read_only to write")


def check_write(owner: object) -> None:
    """Check that a write of that handle may begin: TransactionError as `check_not_inside`, CommandTimeout after the deadline."""
    check_not_inside(owner)
    if (deadline := current_deadline.get()) is not None:
        deadline.admit()


class UserTransaction(ABC):
    """The part of `goes_lite.contract.backend.Transaction` that all backends share."""

    def __init__(self, runtime: Runtime, stores: StoresInside) -> None:
        self.runtime = runtime
        self.events, self.snapshots, self.models, self.checkpoints = stores
        self.actions: list[Callable[[], Awaitable[object] | object]] = []
        """Called after the commit."""

    @abstractmethod
    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]: ...

    def enqueue(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        raise AbilityMissing(SQL, "this backend")

    async def flush(self) -> None:
        return None  # nothing waits where `enqueue` is not supported

    def models_of(self, collection: str, type: type[M]) -> Models[M]:
        return Models(self.models, collection, type, self.runtime)

    def on_commit(self, action: Callable[[], Awaitable[object] | object], /) -> None:
        check_function("an action after the commit", action, awaited=True)
        self.actions.append(action)


class TransactionBlock(Leaving, AbstractAsyncContextManager[Transaction], AsyncBlock, Generic[S]):
    """Context manager that `transaction()` returns. `session` creates a session, `inside` the transaction for the block."""

    def __init__(self, session: Callable[[], S], inside: Callable[[S], UserTransaction]) -> None:
        self._make = session
        self._inside = inside
        self._session: S | None = None
        self._transaction: UserTransaction | None = None

    async def __aenter__(self) -> Transaction:
        session = self._session = self._make()
        try:
            await session.open()
            current_session.set(session)
            self._transaction = self._inside(session)
            return self._transaction
        except BaseException:
            self.abandon()
            raise

    def _leave(self, *error: object) -> Coroutine[Any, Any, None]:
        left = self._left(commit=error[0] is None)
        self.watch(left)
        return left

    if TYPE_CHECKING:

        async def __aexit__(
            self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
        ) -> None: ...
    else:
        __aexit__ = ExitMethod(_leave)

    async def _left(self, *, commit: bool) -> None:
        session, transaction = self._session, self._transaction
        if session is None or transaction is None:
            return
        if current_session.get() is session:  # otherwise a block that was entered later is still open
            current_session.set(session.outer)
        late: CommandTimeout | None = None
        if commit and (deadline := current_deadline.get()) is not None:
            try:
                deadline.admit()
            except CommandTimeout as exc:
                commit, late = False, exc
        try:
            await session.finish(commit=commit)
            self.left()
        except BaseException:
            self.abandon()
            raise
        finally:
            self._session = None
            if session.committed:
                for action in transaction.actions:
                    try:
                        await call(action)
                    except BaseException as raised:  # noqa: BLE001 - the other actions must run as well
                        not_acted(raised)
        if late is not None:
            raise late

    def abandon(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            if current_session.get() is session:
                current_session.set(session.outer)
            session.abandon()
