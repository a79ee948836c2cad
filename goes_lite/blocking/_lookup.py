"""The blocking face of a lookup."""

from __future__ import annotations

from goes_lite.contract.event_store import AppendCondition
from goes_lite.events.fields import AggregateRef
from goes_lite.projection.lookup import BoundLookup, Lookup
from goes_lite.runtime.portal import Portal


class BlockingBoundLookup:
    """See `goes_lite.projection.lookup.BoundLookup`."""

    def __init__(self, bound: BoundLookup, portal: Portal) -> None:
        self._bound = bound
        self._portal = portal

    def __repr__(self) -> str:
        return repr(self._bound)

    @property
    def lookup(self) -> Lookup:
        return self._bound.lookup

    def find(self, key: str) -> AggregateRef | None:
        return self._portal.run(self._bound.find(key))

    def all(self, key: str) -> list[AggregateRef]:
        return self._portal.run(self._bound.all(key))

    def key_of(self, aggregate: AggregateRef | tuple[str, str]) -> str | None:
        return self._portal.run(self._bound.key_of(aggregate))

    def wait_ready(self, timeout: float | None = None) -> None:
        self._portal.run(self._bound.wait_ready(timeout))

    def claim(self, key: str) -> AppendCondition:
        return self._portal.run(self._bound.claim(key))
