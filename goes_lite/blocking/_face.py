"""How coroutines of the library call blocking functions of the program."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast

from goes_lite.blocking._transaction import BlockingTransaction
from goes_lite.contract.backend import Transaction
from goes_lite.errors import ConfigError
from goes_lite.runtime import call
from goes_lite.runtime.portal import Portal


class BlockingFace:
    """Adapts blocking functions of the program for coroutines of the library."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal

    def transaction(self, tx: Transaction, /) -> BlockingTransaction:
        blocking = BlockingTransaction(tx, self._portal)

        async def act() -> None:
            for action in blocking.actions:
                try:
                    await call(self._portal.callback(action))
                except Exception:  # the other actions must still run
                    import logging  # imported only when something fails

                    logging.getLogger("goes_lite").exception("an action after a commit failed")

        tx.on_commit(act)
        return blocking

    def unwrap(self, tx: Any, /) -> Transaction:
        if not isinstance(tx, BlockingTransaction):
            raise ConfigError(f"tx must be a transaction, as transaction() provides it, not {tx!r:.80}")
        return tx.transaction

    def function(self, function: Callable[..., object], /) -> Callable[..., object]:
        return self._portal.callback(function)

    def adapt(self, function: Callable[..., Awaitable[Any]], user: Callable[..., object], /) -> Callable[..., object]:
        if _is_async(user):
            return function

        def blocking(*args: Any) -> Any:
            return self._portal.run(cast("Coroutine[Any, Any, Any]", function(*args)))

        return blocking


def _is_async(function: Callable[..., object]) -> bool:
    import inspect

    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004
