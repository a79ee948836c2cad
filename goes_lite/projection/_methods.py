"""The target of projections whose methods write themselves: each event goes to its method, with the transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from goes_lite.contract.backend import Transaction
from goes_lite.errors import TransactionError
from goes_lite.events.event import Event
from goes_lite.processor.target import call_handler, call_handler_of_batch
from goes_lite.runtime.face import Face


class MethodTarget:
    """Calls the method of each event, in order."""

    def __init__(self, methods: Mapping[str, Callable[..., object]], face: Face) -> None:
        self._methods = methods
        self._face = face

    async def apply(self, events: Sequence[Event[Any]], tx: Transaction | None) -> None:
        if tx is None:
            raise TransactionError(
                "a projection writes in a transaction, and got none: run it on a backend with transactions"
            )
        given = self._face.transaction(tx)
        for index, event in enumerate(events):
            method = self._methods.get(event.name)
            if method is not None:
                await call_handler_of_batch(index, tx, method, event, given)
        await call_handler(None, tx.flush)
