"""The stores that tests of the explorer look at: something of everything, and something hostile everywhere."""

from __future__ import annotations

from pathlib import Path

import goes_lite as goes
from tests.explorer import hostile_shop as hostile


def test_the_tea_shop_has_something_of_everything(tea_shop: Path) -> None:
    with goes.blocking.connect(tea_shop, registry=goes.Registry(), unknown="raw", read_only=True) as db:
        events = db.events.query().list()
        commands = [*db.commands.accepted(), *db.commands.accepted(failed=True)]

        assert {command.state for command in commands} == {"waiting", "failed"}
        assert {instance.status for instance in db.workflows.list("fulfilment")} == {
            "running", "completed", "failed", "suspended",
        }  # fmt: skip
        assert any(instance.timers for instance in db.workflows.list("fulfilment"))
        assert {stats.name for stats in db.processors()} == {"letters", "sales", "workflow:fulfilment"}
        assert all(stats.lag for stats in db.processors())
        assert db.models.query("sales").list()
        assert any(db.snapshots.latest(goes.AggregateRef("order", f"2026-000{digit}")) for digit in range(2, 6))
        assert {event.metadata.get("causation") for event in events} & {str(event.id) for event in events}
        assert {event.data.schema for event in events if event.name == "order.paid"} == {1, 2}


def test_the_hostile_shop_has_each_text_as_id_tag_metadata_and_payload(hostile_shop: Path) -> None:
    with goes.blocking.connect(hostile_shop, registry=hostile.registry, read_only=True) as db:
        events = [event for event in db.events.query() if not event.name.startswith("goes.")]

        assert {event.name for event in events} >= set(hostile.NAMES)
        assert {event.aggregate.id for event in events if event.aggregate} == set(hostile.TEXTS)
        assert {f"tag:{text}" for text in hostile.TEXTS} <= {tag for event in events for tag in event.tags}
        assert set(hostile.TEXTS) <= {key for event in events for key in event.metadata}
        assert set(db.models.collections()) >= {*hostile.TEXTS[:12]}
        assert set(hostile.NAMES[:6]) <= set(db.workflows.names())
