"""Queries that are larger than one statement of SQLite likes."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from goes_lite_conformance.harness.samples import NOON, note, registry

from goes_lite.blocking import connect
from goes_lite.contract.event_store import AppendCondition
from goes_lite.errors import AppendConditionFailed
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import Between, EventQuery


def test_a_query_may_have_thousands_of_values(driver: str) -> None:
    """Values and alternatives beyond SQLite's limits for expressions and parameters work."""
    with connect(":memory:", driver=driver, registry=registry) as db:
        refs = [AggregateRef("order", str(number)) for number in range(1200)]
        db.events.append([note("x", ref, 1, tags=[f"n:{number}"]) for number, ref in enumerate(refs[:20])])
        times = [NOON + timedelta(seconds=number) for number in range(1200)]
        united = EventQuery.any_of(*(EventQuery(tags=[f"n:{number}"], versions=[1]) for number in range(1200)))
        for query, number in [
            (EventQuery(aggregates=refs), 20),
            (EventQuery(aggregate_ids=[ref.id for ref in refs]), 20),
            (EventQuery(versions=range(1200)), 20),
            (EventQuery(versions=[Between(2 * n, 2 * n + 1) for n in range(1200)]), 20),
            (EventQuery(times=times), 0),
            (EventQuery([f"name-{n}" for n in range(1200)]), 0),
            (EventQuery(ids=[uuid4() for _ in range(1200)]), 0),
            (united, 20),
        ]:
            assert db.events.count(query) == number
            assert len(db.events.query(query).list()) == number
        more = EventQuery(versions=range(40_000))  # than one statement has parameters
        assert db.events.count(more) == len(db.events.query(more).list()) == 20
        with pytest.raises(AppendConditionFailed):
            db.events.append([note("x")], condition=AppendCondition(more))
        assert db.events.head() == 20
