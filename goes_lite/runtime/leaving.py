"""Notice that a `with` statement is over although an interrupt kept its exit method from running.

An exception out of a signal handler can hit `__exit__` before its first line, where nothing in it can catch it. But the
statement itself holds the function that it is going to call, from before it enters until it is over, and nobody else
does: neither the program nor a traceback. So that function is an object of its own, and its end is the end of the block.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar
from weakref import ref

P = ParamSpec("P")
R = TypeVar("R")
B = TypeVar("B", bound="Leaving")


class Leaving(ABC):
    """A block whose end is noticed. Its exit method is an `ExitMethod`."""

    _watched: ref[Any] | None = None

    def watch(self, thing: object) -> None:
        """Call `abandon` when the thing is gone, instead of one that was watched before."""
        self._watched = ref(thing, lambda _: self.abandon())

    def left(self) -> None:
        """Watch no longer: the block was left in the usual way."""
        self._watched = None

    @abstractmethod
    def abandon(self) -> None:
        """Release what the block holds. Never raises."""


class ExitMethod(Generic[B, P, R]):
    """An exit method: `__exit__ = ExitMethod(_leave)`."""

    def __init__(self, function: Callable[Concatenate[B, P], R]) -> None:
        self._function = function

    def __get__(self, block: B | None, owner: type[B]) -> Callable[..., R]:
        if block is None:
            return self._function
        leave: Callable[..., R] = partial(self._function, block)
        block.watch(leave)
        return leave
