"""What deleting an aggregate leaves in the tables."""

from __future__ import annotations

from goes_lite_conformance.harness.samples import A, B, note, registry, story

from goes_lite.blocking import connect
from goes_lite.events.fields import AggregateRef


def test_deleting_leaves_no_tags_behind(driver: str) -> None:
    """The table of tags has those of the events that are left, and no others."""
    with connect(":memory:", driver=driver, registry=registry) as db:
        mine = story(A, 3, tags=["color:red", "size:1"])
        db.events.append([*mine[:2], note("x", tags=["color:red"]), *story(B, 2, tags=["color:red"]), mine[2]])
        assert db.events.delete(AggregateRef("order", "a")) == 3
        with db.transaction() as tx:
            rows = tx.execute("SELECT position, tag FROM event_tags ORDER BY position")
        assert rows == [(position, "color:red") for position in (3, 4, 5)]
