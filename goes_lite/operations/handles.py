"""What backups need of a handle besides the contract: stores in files, and work on files where it blocks nobody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from goes_lite.contract.backend import Backend
from goes_lite.errors import GoesError
from goes_lite.operations.files import translated

T = TypeVar("T")


class Handle(Backend, Protocol):
    """A backend that can also open stores in files, such as a `Database`."""

    async def open_file(self, path: str, *, read_only: bool = False) -> Backend:
        """Open a store in a file, on a runtime of the same kind; unless `read_only`, it is created if there is none."""
        ...


async def on_files(db: Backend, work: Callable[[], T], path: str = "") -> T:
    """Run work on files, and translate its errors."""
    try:
        return await db.runtime.call(work)
    except OSError as exc:
        if isinstance(exc, GoesError):
            raise
        raise translated(exc, path or str(exc.filename or "")) from exc
