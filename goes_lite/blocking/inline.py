"""A backend whose coroutines run on a loop thread, for work that is driven by the calling thread and uses two backends.

Each of its operations is one call of the portal, so the work may use a file and a server, or two servers with a loop each. An
interrupt reaches the thread that waits.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from inspect import iscoroutine
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from goes_lite.contract.backend import View
from goes_lite.contract.event_store import Pages
from goes_lite.contract.fence import Fence
from goes_lite.contract.wrapping import WrappedBackend
from goes_lite.runtime import InlineRuntime
from goes_lite.runtime.portal import InlinePortal, Portal

if TYPE_CHECKING:
    from goes_lite.blocking._database import BlockingDatabase
    from goes_lite.contract.backend import Backend

Run: TypeAlias = Callable[[Coroutine[Any, Any, Any]], Any]
"""Runs a coroutine on the loop thread, and waits for it."""

STORES = ("events", "snapshots", "models", "checkpoints", "leases", "commits")
"""What is used through the portal."""


def inline(db: BlockingDatabase) -> Backend:
    """Return the backend of a handle for coroutines that the calling thread drives: they never suspend."""
    return db.backend if isinstance(db._portal, InlinePortal) else _Inline(db.backend, db._portal)


class _Inline(WrappedBackend):
    def __init__(self, backend: Backend, portal: Portal) -> None:
        super().__init__(backend)
        self._portal = portal
        self.runtime = InlineRuntime(backend.runtime.clock)
        for name in STORES:
            setattr(self, name, _Store(getattr(backend, name), portal))

    def view(self) -> AbstractAsyncContextManager[View]:
        return self._viewed()

    @asynccontextmanager
    async def _viewed(self) -> AsyncGenerator[View]:
        opening = self.backend.view()
        view = self._portal.run(_awaited(opening.__aenter__))
        try:
            yield cast("View", _View(view, self._portal))
        finally:
            # a view has nothing to roll back, so it need not know how the block ended
            self._portal.run(_awaited(lambda: opening.__aexit__(None, None, None)))

    async def sizes(self) -> dict[str, int]:
        return self._portal.run(self.backend.sizes())

    async def fence(self) -> Fence | None:
        return self._portal.run(self.backend.fence())

    async def set_fence(self, fence: Fence | None, *, expected: str | None, lasts: float | None = None) -> None:
        self._portal.run(self.backend.set_fence(fence, expected=expected, lasts=lasts))


class _View:
    """A view as of one moment, whose stores are used through the portal."""

    def __init__(self, view: View, portal: Portal) -> None:
        self.identity = view.identity
        self.runtime = InlineRuntime(view.runtime.clock)
        for name in STORES[:4]:
            setattr(self, name, _Store(getattr(view, name), portal))


class _Store:
    """Any store: what its methods return is awaited on the portal, and pages are fetched there."""

    def __init__(self, store: object, portal: Portal) -> None:
        self._store = store
        self._portal = portal

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._store, name)
        return self._called(member) if callable(member) else member

    def _called(self, member: Callable[..., Any]) -> Callable[..., Any]:
        run = self._portal.run

        def call(*args: Any, **options: Any) -> Any:
            found = member(*args, **options)
            if isinstance(found, Pages):
                return _pages(found, run)  # pyright: ignore[reportUnknownArgumentType]
            return _ran(run, lambda: found) if iscoroutine(found) else found

        return call


async def _awaited(awaitable: Callable[[], Awaitable[Any]]) -> Any:
    return await awaitable()


def _pages(pages: Pages[Any], run: Run) -> Pages[Any]:
    return Pages(lambda: _ran(run, pages.next_page))


async def _ran(run: Run, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return run(work())
