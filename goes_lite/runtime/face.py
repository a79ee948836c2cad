"""How coroutines of the library call the functions of a program: as they are, or blocking ones on the blocking face."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import CoroutineType
from typing import Any, Protocol

from goes_lite.errors import ConfigError
from goes_lite.errors.functions import LAZY, check_function, check_result, failure


class Face(Protocol):
    """How a program's functions are called: as coroutine functions, or as blocking ones."""

    def transaction(self, tx: Any, /) -> Any:
        """Wrap a transaction for a function of the program."""
        ...

    def unwrap(self, tx: Any, /) -> Any:
        """Return the transaction behind one that a function of the program was given; ConfigError if it is none."""
        ...

    def function(
        self, function: Callable[..., object], what: str, /, *, iterated: bool = False
    ) -> Callable[..., object]:
        """Adapt a function of the program, so that library code can `call` it.

        ConfigError, naming it as `what`, if it could never run: see `check_function`. `iterated`: it may be a generator.
        """
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

    def function(
        self, function: Callable[..., object], what: str, /, *, iterated: bool = False
    ) -> Callable[..., object]:
        check_function(what, function, awaited=True, iterated=iterated)
        return function

    def adapt(self, function: Callable[..., Awaitable[Any]], user: Callable[..., object], /) -> Callable[..., object]:
        return function


# isinstance() with the classes themselves makes the type of what is awaited unknown.
_COROUTINE: type[Any] = CoroutineType
_AWAITABLE: type[Any] = Awaitable


async def call(function: Callable[..., object], *args: object, iterated: bool = False) -> object:
    """Call a function or a coroutine function of the program, and return its result.

    ConfigError for a generator, unless it is to be iterated over: nothing has run.
    """
    result: Any = function(*args)
    if result is None:
        return None
    if type(result) is _COROUTINE or isinstance(result, _AWAITABLE):  # checking for Awaitable is slow
        result = await result
    if isinstance(result, LAZY) and not iterated:
        check_result(f"{function!r:.120}", result)
    return result


def not_acted(exc: BaseException) -> None:
    """Log what an action after a commit raised, since neither the commit nor the other actions fail; see `failure`."""
    error = failure(exc)
    import logging  # imported only when something goes wrong

    logging.getLogger("goes_lite").error("an action after a commit failed", exc_info=error)


async def contained(function: Callable[..., object], *args: object) -> object:
    """Like `call`, but raise an Exception for whatever else the function raises: see `failure`."""
    try:
        return await call(function, *args)
    except Exception:
        raise
    except BaseException as exc:
        raise failure(exc) from exc
