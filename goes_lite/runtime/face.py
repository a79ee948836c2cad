"""How what is written as coroutines calls the functions of the user: as they are, or blocking ones on the blocking face."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, cast

from goes_lite.contract.backend import Transaction


class Face(Protocol):
    """How the user's functions are called, on the async face or on the blocking one."""

    def transaction(self, tx: Transaction) -> Any:
        """The transaction as they are given it."""
        ...

    def inner(self, tx: Any) -> Transaction:
        """The transaction that they were given."""
        ...

    def function(self, function: Callable[..., object]) -> Callable[..., object]:
        """The function as it may be called here."""
        ...

    def given(self, function: Callable[..., Awaitable[Any]], taker: Callable[..., object]) -> Callable[..., object]:
        """A coroutine function of ours, as it may be called by a function of theirs that is given it."""
        ...


class AsyncFace:
    """As they are."""

    def transaction(self, tx: Transaction) -> Any:
        return tx

    def inner(self, tx: Any) -> Transaction:
        return cast("Transaction", tx)

    def function(self, function: Callable[..., object]) -> Callable[..., object]:
        return function

    def given(self, function: Callable[..., Awaitable[Any]], taker: Callable[..., object]) -> Callable[..., object]:
        return function
