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
        """The lookup itself, bound to no store."""
        return self._bound.lookup

    def find(self, key: str) -> AggregateRef | None:
        """The aggregate that has the key, of several the one that has had it for the longest time; None if none has."""
        return self._portal.run(self._bound.find(key))

    def all(self, key: str) -> list[AggregateRef]:
        """The aggregates that have the key, in the order in which they got it."""
        return self._portal.run(self._bound.all(key))

    def key_of(self, aggregate: AggregateRef | tuple[str, str]) -> str | None:
        """The key of the aggregate, None if it has none."""
        return self._portal.run(self._bound.key_of(aggregate))

    def wait_ready(self, timeout: float | None = None) -> None:
        """Until everything that is stored at this moment is in the maps, and they are of the version of this lookup.

        Whoever runs the projection may do so in another process. ProcessorBehind after `timeout` seconds;
        ProjectionOutdated if the maps are of a higher version.
        """
        self._portal.run(self._bound.wait_ready(timeout))

    def claim(self, key: str) -> AppendCondition:
        """The condition under which an aggregate may get a key that none has just now; KeyTaken if one has it.

            tags = [emails.tag(email)]
            condition = emails.of(db).claim(email)
            db.events.append([Event(CustomerJoined(email), aggregate=ref, version=1, tags=tags)], condition=condition)

        - Of those who claim a key at the same time, one alone can append: for the others it is AppendConditionFailed, and
          when they claim it again, KeyTaken.
        - It asks the log and not the maps, so there is no lag, and the projection need not even run.
        - **It knows of tagged events alone.** Every event by which an aggregate gets a key carries `tag(key)`, and so does
          every event by which it loses that key. One by which it changes from one key to another carries the tags of both.
        - The condition is about one key. To get several at once, unite them: `AppendCondition(a.query | b.query,
          min(a.after, b.after))`.
        """
        return self._portal.run(self._bound.claim(key))
