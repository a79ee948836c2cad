"""The blocking face of views."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import TypeVar

from goes_lite.blocking._models import BlockingModels
from goes_lite.blocking._stores import (
    BlockingCheckpointStore,
    BlockingEventStore,
    BlockingModelStore,
    BlockingSnapshotStore,
)
from goes_lite.contract.backend import Backend, View
from goes_lite.errors import StoreClosed
from goes_lite.runtime.portal import Portal

M = TypeVar("M")


class BlockingView:
    """The blocking face of `goes_lite.contract.backend.View`."""

    def __init__(self, view: View, portal: Portal) -> None:
        self._portal = portal
        self.view = view
        """The async view behind it."""
        self.identity = view.identity
        """The store and its epoch."""
        self.events = BlockingEventStore(view.events, portal)
        self.snapshots = BlockingSnapshotStore(view.snapshots, portal)
        self.models = BlockingModelStore(view.models, portal)
        self.checkpoints = BlockingCheckpointStore(view.checkpoints, portal)

    def models_of(self, collection: str, type: type[M]) -> BlockingModels[M]:
        """Return the read models of one type in a named collection."""
        return BlockingModels(self.view.models_of(collection, type), self._portal)


class ViewBlock:
    """A block of code with a view."""

    def __init__(self, backend: Backend, portal: Portal) -> None:
        self._backend = backend
        self._portal = portal
        self._exit: Callable[..., Awaitable[object]] | None = None

    def __enter__(self) -> BlockingView:
        async def enter() -> View:
            block = self._backend.view()
            self._exit = block.__aexit__
            return await block.__aenter__()

        return BlockingView(self._portal.run(enter()), self._portal)

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        leave, self._exit = self._exit, None

        async def left() -> None:
            if leave is not None:
                await leave(exc_type, exc, traceback)

        with suppress(StoreClosed):  # then the handle has released it
            self._portal.run(left())
