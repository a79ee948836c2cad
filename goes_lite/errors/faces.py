"""What is used in the way of the other face: `with` for `async with`, `for` for `async for`, and the reverse.

Python would only say that the object does not support it. The methods are hidden from type checkers, which find the mistake
themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from goes_lite.errors._backends import ConfigError

_ASYNC = "this is the async face: write `{}` in a coroutine; a program without an event loop uses goes_lite.blocking.connect()"
_BLOCKING = "this is the blocking face: write `{}`; a program on an event loop uses goes_lite.connect()"


def _refuse(text: str, right: str) -> NoReturn:
    raise ConfigError(text.format(right))


class AsyncBlock:
    """Base of what is for `async with`."""

    __slots__ = ()

    if not TYPE_CHECKING:

        def __enter__(self) -> NoReturn:
            _refuse(_ASYNC, "async with")

        def __exit__(self, *error: object) -> None:
            return None


class AsyncIteration:
    """Base of what is for `async for`."""

    __slots__ = ()

    if not TYPE_CHECKING:

        def __iter__(self) -> NoReturn:
            _refuse(_ASYNC, "async for")


class BlockingBlock:
    """Base of what is for `with`."""

    __slots__ = ()

    if not TYPE_CHECKING:

        async def __aenter__(self) -> NoReturn:
            _refuse(_BLOCKING, "with")

        async def __aexit__(self, *error: object) -> None:
            return None


class BlockingIteration:
    """Base of what is for `for`."""

    __slots__ = ()

    if not TYPE_CHECKING:

        def __aiter__(self) -> NoReturn:
            _refuse(_BLOCKING, "for")
