"""The blocking face of a lookup."""

from __future__ import annotations

from goes_lite.contract.event_store import AppendCondition
from goes_lite.events.fields import AggregateRef
from goes_lite.projection.lookup import BoundLookup, Lookup
from goes_lite.runtime.portal import Portal


class BlockingBoundLookup:
    """The blocking face of `goes_lite.projection.lookup.BoundLookup`."""

    def __init__(self, bound: BoundLookup, portal: Portal) -> None:
        self._bound = bound
        self._portal = portal

    def __repr__(self) -> str:
        return repr(self._bound)

    @property
    def lookup(self) -> Lookup:
        """The lookup itself, bound to no store."""
        return self._bound.lookup

    def find(self, key: str) -> AggregateRef | None:
        """Return the aggregate that has the key, of several the one that got it first; None if none has it."""
        return self._portal.run(self._bound.find(key))

    def all(self, key: str) -> list[AggregateRef]:
        """Return the aggregates that have the key, in the order in which they got it."""
        return self._portal.run(self._bound.all(key))

    def key_of(self, aggregate: AggregateRef | tuple[str, str]) -> str | None:
        """Return the key of the aggregate; None if it has none."""
        return self._portal.run(self._bound.key_of(aggregate))

    def wait_ready(self, timeout: float | None = None) -> None:
        """Wait until the maps contain everything that is stored now, and have the version of this lookup.

        The projection may run in another process. ProcessorBehind after `timeout` seconds; ProjectionOutdated if the maps
        have a higher version.
        """
        self._portal.run(self._bound.wait_ready(timeout))

    def claim(self, key: str) -> AppendCondition:
        """Return the condition for appending an event that gives an aggregate an unused key; KeyTaken if it is in use.

            tags = [emails.tag(email)]
            condition = emails.of(db).claim(email)
            db.events.append([Event(CustomerJoined(email), aggregate=ref, version=1, tags=tags)], condition=condition)

        - Of several concurrent claims of a key, only one can append: the others get AppendConditionFailed, and KeyTaken when
          they claim it again.
        - It reads the log and not the maps, so there is no lag, and the projection need not even run.
        - **It only sees tagged events.** Every event that gives an aggregate a key must have `tag(key)`, and so must every
          event that removes that key. An event that changes one key to another has the tags of both.
        - The condition is about one key. To claim several at once, unite them: `AppendCondition(a.query | b.query,
          min(a.after, b.after))`.
        """
        return self._portal.run(self._bound.claim(key))
