"""How coroutines of the library call the functions of a program: as they are, or blocking ones on the blocking face."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from goes_lite.errors import ConfigError


class Face(Protocol):
    """How a program's functions are called: as coroutine functions, or as blocking ones."""

    def transaction(self, tx: Any, /) -> Any:
        """Wrap a transaction for a function of the program."""
        ...

    def unwrap(self, tx: Any, /) -> Any:
        """Return the transaction behind one that a function of the program was given; ConfigError if it is none."""
        ...

    def function(self, function: Callable[..., object], /) -> Callable[..., object]:
        """Adapt a function of the program, so that library code can call it and await the result."""
        ...

    def adapt(self, function: Callable[..., Awaitable[Any]], user: Callable[..., object], /) -> Callable[..., object]:
        """Adapt a library coroutine function for user code: `user` is the function that will call it."""
        ...


class AsyncFace:
    """Functions of a program that runs in an event loop: everything is passed on as it is."""

    def transaction(self, tx: Any, /) -> Any:
        return tx

    def unwrap(self, tx: Any, /) -> Any:
        if not hasattr(tx, "on_commit"):
            raise ConfigError(f"tx must be a transaction, as transaction() provides it, not {tx!r:.80}")
        return tx

    def function(self, function: Callable[..., object], /) -> Callable[..., object]:
        return function

    def adapt(self, function: Callable[..., Awaitable[Any]], user: Callable[..., object], /) -> Callable[..., object]:
        return function
