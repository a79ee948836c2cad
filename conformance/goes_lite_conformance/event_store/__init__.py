"""What every EventStore must do: one rule for each promise of `goes_lite.contract.event_store`."""

from __future__ import annotations

from goes_lite_conformance.event_store.aggregates import AggregateRules
from goes_lite_conformance.event_store.append import AppendRules
from goes_lite_conformance.event_store.conditions import ConditionRules
from goes_lite_conformance.event_store.data import DataRules
from goes_lite_conformance.event_store.data_fields import FieldDataRules
from goes_lite_conformance.event_store.delete import DeleteRules
from goes_lite_conformance.event_store.follow import FollowRules
from goes_lite_conformance.event_store.follow_together import FollowTogetherRules
from goes_lite_conformance.event_store.importing import ImportRules
from goes_lite_conformance.event_store.load import LoadRules
from goes_lite_conformance.event_store.query import QueryRules
from goes_lite_conformance.event_store.refusals import RefusalRules
from goes_lite_conformance.event_store.retry import RetryRules
from goes_lite_conformance.event_store.stored import StoredRules

__all__ = ["EventStoreTests"]


class EventStoreTests(
    AppendRules,
    RetryRules,
    ConditionRules,
    RefusalRules,
    LoadRules,
    AggregateRules,
    QueryRules,
    StoredRules,
    FollowRules,
    FollowTogetherRules,
    DeleteRules,
    ImportRules,
    DataRules,
    FieldDataRules,
):
    """All rules about events: appending, reading, following, deleting and importing."""
