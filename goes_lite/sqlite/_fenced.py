"""The part of the backend that keeps writers out of a store that was moved."""

from __future__ import annotations

from goes_lite.contract.fence import Fence, check_fence, check_move
from goes_lite.kit.fencing import standing
from goes_lite.sqlite import _fence
from goes_lite.sqlite._inspection import InspectedBackend
from goes_lite.sqlite._writer import Writer


class FencedBackend(InspectedBackend):
    """See `goes_lite.contract.backend.Backend.set_fence`."""

    @property
    def writer(self) -> Writer:
        """The group committer. Raises StoreReadOnly if there is none."""
        raise NotImplementedError

    async def fence(self) -> Fence | None:
        return standing(await self._executor.read(_fence.stored), _fence.now())

    async def set_fence(self, fence: Fence | None, *, expected: str | None, lasts: float | None = None) -> None:
        change = fence, expected, check_fence(fence, expected, lasts)
        await self._executor.write(lambda connection: _fence.put_changed(connection, self.location, change))

    def pass_fence(self, move: str) -> None:
        check_move(move)
        self.writer.transactions.passing = move
