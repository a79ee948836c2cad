"""The blocking face of `Pages`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from goes_lite.contract.event_store import Pages
from goes_lite.errors.faces import BlockingIteration
from goes_lite.runtime.portal import Portal

T = TypeVar("T")


class BlockingPages(BlockingIteration, Generic[T]):
    """An iterator that fetches a page at a time and holds nothing open in between."""

    __slots__ = ("_items", "_pages", "_portal")

    def __init__(self, pages: Pages[T], portal: Portal) -> None:
        self._pages = pages
        self._portal = portal
        self._items: Iterator[T] | None = None

    def __iter__(self) -> Iterator[T]:
        # share one generator, so that the next loop gets what an aborted one left of its page
        if self._items is None:
            self._items = self._iterate()
        return self._items

    def __next__(self) -> T:
        return next(iter(self))

    def _iterate(self) -> Iterator[T]:
        try:
            while page := self.next_page():
                yield from page
        finally:
            self._items = None  # after an error, and when following the log, request the next item again

    def next_page(self) -> Sequence[T]:
        """Return the items that were fetched but not yet taken, else the next page; empty at the end."""
        return self._portal.run(self._pages.next_page())

    def list(self) -> list[T]:
        """Return all remaining items, in memory at once."""
        return [*self]

    def close(self) -> None:
        """End the iteration, also one that waits in another task, such as that of `follow`. Closing twice is allowed."""
        self._items = None
        self._portal.run(self._pages.aclose())
