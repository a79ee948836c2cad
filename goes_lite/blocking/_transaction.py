"""The blocking face of transactions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from goes_lite.blocking._models import BlockingModels
from goes_lite.blocking._stores import (
    BlockingCheckpointStore,
    BlockingEventStore,
    BlockingModelStore,
    BlockingSnapshotStore,
)
from goes_lite.contract.backend import Backend, Transaction
from goes_lite.errors import ConfigError
from goes_lite.errors.faces import BlockingBlock
from goes_lite.errors.functions import check_function, check_result
from goes_lite.runtime.face import not_acted
from goes_lite.runtime.leaving import ExitMethod, Leaving
from goes_lite.runtime.portal import Portal

M = TypeVar("M")


class BlockingTransaction:
    """The blocking face of `goes_lite.contract.backend.Transaction`."""

    def __init__(self, transaction: Transaction, portal: Portal) -> None:
        self._portal = portal
        self.transaction = transaction
        self.events = BlockingEventStore(transaction.events, portal)
        self.snapshots = BlockingSnapshotStore(transaction.snapshots, portal)
        self.models = BlockingModelStore(transaction.models, portal)
        self.checkpoints = BlockingCheckpointStore(transaction.checkpoints, portal)
        self.actions: list[Callable[[], object]] = []

    def on_commit(self, action: Callable[[], object], /) -> None:
        """Call the action once the transaction is committed and no longer open; never if it is rolled back.

        If an action raises, the exception is logged to "goes_lite"; neither the commit nor the other actions fail.
        """
        check_function("an action after the commit", action)
        self.actions.append(action)

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one SQL statement of your own and return its rows. Raises AbilityMissing without SQL.

        In the statement, `?` stands for each parameter in turn, or `$1`, `$2`, … for each by its number, on every backend
        with SQL. It has one kind or the other: next to a `$1`, and without parameters, a `?` is an operator of the database.

        The parameters are a sequence of None, bool, int (64 bit), float (no NaN), str or bytes; a backend may take more types,
        as PostgreSQL does, whose columns have them. InvalidQueryError for anything else.
        """
        return self._portal.run(self.transaction.execute(sql, parameters))

    def enqueue(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Run an SQL statement whose rows nobody needs, together with others: many in one trip to the database.

        They run in order, before the next operation of the transaction or its commit. If one fails, that operation and all
        later ones raise its error, and the transaction is rolled back. Parameters and errors are those of `execute`.
        """
        self.transaction.enqueue(sql, parameters)

    def flush(self) -> None:
        """Run what `enqueue` collected, so that an error is raised here."""
        self._portal.run(self.transaction.flush())

    def models_of(self, collection: str, type: type[M]) -> BlockingModels[M]:
        """Return the read models of one type in a named collection."""
        return BlockingModels(self.transaction.models_of(collection, type), self._portal)


class TransactionBlock(Leaving, BlockingBlock):
    """A block of code in a transaction."""

    def __init__(self, backend: Backend, portal: Portal) -> None:
        self._backend = backend
        self._portal = portal
        self._exit: Callable[..., Awaitable[object]] | None = None
        """Of the asynchronous block, which is abandoned with it."""
        self._transaction: BlockingTransaction | None = None

    def __enter__(self) -> BlockingTransaction:
        async def enter() -> Transaction:
            block = self._backend.transaction()
            self._exit = block.__aexit__
            return await block.__aenter__()

        self._transaction = BlockingTransaction(self._portal.run(enter()), self._portal)
        return self._transaction

    def _leave(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        async def leave() -> None:
            if self._exit is not None:
                await self._exit(exc_type, exc, traceback)

        self._portal.run(leave())
        self._exit = None
        self.left()
        if exc_type is None and self._transaction is not None:
            for action in self._transaction.actions:
                try:
                    check_result("an action after the commit", action())
                except BaseException as raised:  # noqa: BLE001 - the other actions must still run
                    not_acted(raised)

    if TYPE_CHECKING:

        def __exit__(
            self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
        ) -> None: ...
    else:
        __exit__ = ExitMethod(_leave)

    def abandon(self) -> None:
        self._exit = None


def unwrap(tx: object) -> Transaction:
    """Return the transaction behind a blocking one; ConfigError if it is none."""
    if not isinstance(tx, BlockingTransaction):
        raise ConfigError(f"tx must be a transaction, as transaction() provides it, not {tx!r:.80}")
    return tx.transaction
