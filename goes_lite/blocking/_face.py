"""How coroutines of the library call blocking functions of the program."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast

from goes_lite.blocking._transaction import BlockingTransaction, unwrap
from goes_lite.contract.backend import Transaction
from goes_lite.errors.functions import is_for_both_faces
from goes_lite.runtime.face import call, not_acted
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
                    await call(self._portal.callback(action, "an action after the commit"))
                except BaseException as exc:  # noqa: BLE001 - the other actions must still run
                    not_acted(exc)

        tx.on_commit(act)
        return blocking

    def unwrap(self, tx: Any, /) -> Transaction:
        return unwrap(tx)

    def function(
        self, function: Callable[..., object], what: str, /, *, iterated: bool = False
    ) -> Callable[..., object]:
        return self._portal.callback(function, what, iterated=iterated)

    def adapt(self, function: Callable[..., Awaitable[Any]], user: Callable[..., object], /) -> Callable[..., object]:
        if is_for_both_faces(user):
            return function

        def blocking(*args: Any) -> Any:
            return self._portal.run(cast("Coroutine[Any, Any, Any]", function(*args)))

        return blocking
