"""Backends whose fences have a fault, as a move of a store would meet it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from goes_lite.contract.event_store import AppendCondition, Appended
from goes_lite.contract.fence import Fence, check_fence
from goes_lite.contract.wrapping import WrappedBackend, WrappedStore
from goes_lite.errors import FenceChanged, StoreMoved
from goes_lite.events.event import Event
from tests.conformance.mutants import mutant


@mutant("BE-FENCE-001", "BE-FENCE-009", "BE-FENCE-010", "BE-FENCE-015")
def opens_both_stores(wrapped: WrappedBackend) -> None:
    """The fence is said to be there, and keeps nobody out: two stores are written to."""
    fences: list[Fence] = []

    async def set_fence(fence: Fence | None, *, expected: str | None, lasts: float | None = None) -> None:
        check_fence(fence, expected, lasts)
        found = fences[0].move if fences else None
        if found != expected:
            raise FenceChanged(wrapped.location, expected, found)
        fences[:] = [] if fence is None else [fence]

    async def fence() -> Fence | None:
        return fences[0] if fences else None

    wrapped.set_fence = set_fence  # type: ignore[method-assign]
    wrapped.fence = fence  # type: ignore[method-assign]


@mutant("BE-FENCE-001")
def keeps_out_appends_only_when_asked(wrapped: WrappedBackend) -> None:
    """The handle that set the fence looks at it; its appends get another error."""

    class Store(WrappedStore):
        async def append(self, events: Sequence[Event[Any]], *, condition: AppendCondition | None = None) -> Appended:
            try:
                return await self.store.append(events, condition=condition)
            except StoreMoved:
                return Appended(tuple(range(1, len(events) + 1)))

    wrapped.events = Store(wrapped.backend.events)


@mutant("BE-FENCE-004")
def replaces_any_fence(wrapped: WrappedBackend) -> None:
    """What is expected is not looked at: the second of two moves takes the store from the first."""

    async def set_fence(fence: Fence | None, *, expected: str | None, lasts: float | None = None) -> None:
        check_fence(fence, expected, lasts)
        there = await wrapped.backend.fence()
        await wrapped.backend.set_fence(fence, expected=there.move if there else None, lasts=lasts)

    wrapped.set_fence = set_fence  # type: ignore[method-assign]


@mutant("BE-FENCE-006", "BE-FENCE-007")
def fences_forever(wrapped: WrappedBackend) -> None:
    """A move that was killed leaves the store closed."""

    async def set_fence(fence: Fence | None, *, expected: str | None, lasts: float | None = None) -> None:
        check_fence(fence, expected, lasts)
        await wrapped.backend.set_fence(fence, expected=expected)

    wrapped.set_fence = set_fence  # type: ignore[method-assign]


@mutant("BE-FENCE-007")
def ends_every_fence(wrapped: WrappedBackend) -> None:
    """A fence that was made to stay ends all the same."""

    async def set_fence(fence: Fence | None, *, expected: str | None, lasts: float | None = None) -> None:
        again = fence is not None and expected == fence.move
        await wrapped.backend.set_fence(fence, expected=expected, lasts=lasts or (0.001 if again else None))

    wrapped.set_fence = set_fence  # type: ignore[method-assign]


@mutant("BE-FENCE-005")
def lets_the_mover_pass_everything(wrapped: WrappedBackend) -> None:
    """A handle that passes one fence passes each: a move that was given up writes on."""

    async def set_fence(fence: Fence | None, *, expected: str | None, lasts: float | None = None) -> None:
        await wrapped.backend.set_fence(fence, expected=expected, lasts=lasts)
        if fence is not None and passing:
            wrapped.backend.pass_fence(fence.move)

    def pass_fence(move: str) -> None:
        passing.append(move)
        wrapped.backend.pass_fence(move)

    passing: list[str] = []
    wrapped.set_fence = set_fence  # type: ignore[method-assign]
    wrapped.pass_fence = pass_fence  # type: ignore[method-assign]


@mutant("BE-FENCE-002", "BE-FENCE-005")
def never_opens_again(wrapped: WrappedBackend) -> None:
    async def set_fence(fence: Fence | None, *, expected: str | None, lasts: float | None = None) -> None:
        if fence is None and expected is not None and (there := await wrapped.backend.fence()):
            if there.move != expected:
                raise FenceChanged(wrapped.location, expected, there.move)
            return
        await wrapped.backend.set_fence(fence, expected=expected, lasts=lasts)

    def pass_fence(move: str) -> None:
        """Nobody passes."""

    wrapped.set_fence = set_fence  # type: ignore[method-assign]
    wrapped.pass_fence = pass_fence  # type: ignore[method-assign]
