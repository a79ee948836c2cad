"""Views for any backend: the block, and the stores inside it, which only read.

A backend provides a `Moment` (what holds the moment, such as a transaction of the database) and the stores over it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Generic, NoReturn, Protocol, TypeVar

from goes_lite.contract.backend import View
from goes_lite.contract.models import Models
from goes_lite.errors import StoreReadOnly
from goes_lite.errors.faces import AsyncBlock
from goes_lite.kit.transaction import StoresInside
from goes_lite.runtime import Runtime

M = TypeVar("M")


class Moment(Protocol):
    """What holds the moment that a view shows."""

    async def open(self) -> None:
        """Fix the moment."""
        ...

    async def close(self) -> None:
        """Release what holds it; after a failed or cancelled `open`, too."""
        ...


R = TypeVar("R", bound=Moment)


class StoresView(View):
    """Implements `goes_lite.contract.backend.View`."""

    def __init__(self, runtime: Runtime, identity: str, stores: StoresInside) -> None:
        self.runtime = runtime
        self.identity = identity
        self.events, self.snapshots, self.models, self.checkpoints = stores

    def models_of(self, collection: str, type: type[M]) -> Models[M]:
        return Models(self.models, collection, type, self.runtime)


class ViewBlock(AbstractAsyncContextManager[View], AsyncBlock, Generic[R]):
    """Context manager that `view()` returns. `moment` fixes the moment, `inside` returns the view for the block."""

    def __init__(self, moment: Callable[[], R], inside: Callable[[R], View]) -> None:
        self._make = moment
        self._inside = inside
        self._moment: R | None = None

    async def __aenter__(self) -> View:
        moment = self._moment = self._make()
        try:
            await moment.open()
            return self._inside(moment)
        except BaseException:
            await moment.close()
            raise

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        moment, self._moment = self._moment, None
        if moment is not None:
            await moment.close()


def refuse_write(location: str) -> NoReturn:
    """Refuse a write through a view."""
    raise StoreReadOnly(location, "a view only shows what is stored", "write through the handle that it came from")
