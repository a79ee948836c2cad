"""A store in plain Python, with which stores are compared: a list of events, and everything else that it keeps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from goes_lite.contract.event_store import AggregateInfo, AppendCondition, Appended
from goes_lite.contract.model_store import ModelRecord
from goes_lite.contract.snapshot_store import Snapshot
from goes_lite.errors import AppendConditionFailed, ConcurrencyError, DuplicateEventError, GoesError, ModelConflict
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EVERYTHING, EventQuery


@dataclass
class Reference:
    """The contents of a store. `EventQuery.matches` defines what a query means; the protocols promise the rest."""

    log: list[Event[Any]] = field(default_factory=list[Event[Any]])
    """In ascending order of positions."""
    erased: list[Event[Any]] = field(default_factory=list[Event[Any]])
    """Deleted events: a follower may have fetched them before."""
    head: int = 0
    """The highest position that was ever used."""
    snapshots: dict[tuple[AggregateRef, int], Snapshot] = field(
        default_factory=dict[tuple[AggregateRef, int], Snapshot]
    )
    models: dict[str, ModelRecord] = field(default_factory=dict[str, ModelRecord])
    """The records of one collection, by id."""

    def copy(self) -> Reference:
        """Return a copy, which can be discarded if a transaction is rolled back."""
        return Reference(list(self.log), list(self.erased), self.head, dict(self.snapshots), deepcopy(self.models))

    # --- events ---------------------------------------------------------------------------------------------------

    def load(self, ref: AggregateRef, after: int = 0, upto: int | None = None) -> list[Event[Any]]:
        history = [event for event in self.log if event.aggregate == ref]
        return [event for event in history if after < event.version and (upto is None or event.version <= upto)]

    def version(self, ref: AggregateRef) -> int:
        return len(self.load(ref))

    def versions(self) -> dict[AggregateRef, int]:
        return {event.aggregate: event.version for event in self.log if event.aggregate is not None}

    def query(
        self,
        query: EventQuery = EVERYTHING,
        after: int = 0,
        upto: int | None = None,
        limit: int | None = None,
        *,
        reverse: bool = False,
    ) -> list[Event[Any]]:
        window = [event for event in self.log if after < event.position and (upto is None or event.position <= upto)]
        found = [event for event in window if query.matches(event)]
        return (found[::-1] if reverse else found)[:limit]

    def find(self, id: UUID) -> Event[Any] | None:
        return next((event for event in self.log if event.id == id), None)

    def aggregates(
        self, name: str | None = None, after: AggregateRef | None = None, limit: int | None = None
    ) -> list[AggregateInfo]:
        found: list[AggregateInfo] = []
        for ref in sorted(self.versions()):
            if (name is None or ref.name == name) and (after is None or ref > after):
                history = self.load(ref)
                found.append(AggregateInfo(ref, len(history), history[0].time, history[-1].time))
        return found[:limit]

    def answers(
        self, events: Sequence[Event[Any]], condition: AppendCondition | None = None
    ) -> list[Appended | GoesError]:
        """Return what a store may return for an append without changing; an empty list if it has to store the events."""
        if not events:
            return [Appended(())]
        stored = [(event, found) for event in events if (found := self.find(event.id)) is not None]
        if stored:
            altered = [(event, found) for event, found in stored if event != found]
            if not altered and len(stored) == len(events):
                return [Appended(tuple(found.position for _, found in stored), already_committed=True)]
            return [DuplicateEventError(event.id, found.position, "") for event, found in altered or stored]
        return [*self._conflicts(events), *self._failures(condition)]

    def _conflicts(self, events: Sequence[Event[Any]]) -> list[GoesError]:
        first = {event.aggregate: event.version - 1 for event in reversed(events) if event.aggregate is not None}
        return [
            ConcurrencyError(ref, expected, actual)
            for ref, expected in first.items()
            if (actual := self.version(ref)) != expected
        ]

    def _failures(self, condition: AppendCondition | None) -> list[GoesError]:
        if condition is None:
            return []
        return [AppendConditionFailed(condition, event.position) for event in self.query(*condition)]

    def add(self, events: Sequence[Event[Any]], positions: Sequence[int]) -> None:
        """Store the events, at these positions."""
        self.log += [event.at(position) for event, position in zip(events, positions, strict=True)]
        self.head = self.log[-1].position

    def delete(self, ref: AggregateRef) -> int:
        gone = self.load(ref)
        self.erased += gone
        self.log = [event for event in self.log if event.aggregate != ref]
        self.snapshots = {key: one for key, one in self.snapshots.items() if key[0] != ref}
        return len(gone)

    # --- snapshots ------------------------------------------------------------------------------------------------

    def save(self, snapshot: Snapshot) -> None:
        self.snapshots[snapshot.aggregate, snapshot.version] = snapshot

    def latest(self, ref: AggregateRef, upto: int | None = None) -> Snapshot | None:
        fitting = [v for of, v in self.snapshots if of == ref and (upto is None or v <= upto)]
        return self.snapshots[ref, max(fitting)] if fitting else None

    def all_snapshots(self) -> list[Snapshot]:
        return [self.snapshots[key] for key in sorted(self.snapshots)]

    def prune(self, keep: int, ref: AggregateRef | None = None) -> int:
        before = len(self.snapshots)
        for one in {of for of, _ in self.snapshots if ref in (None, of)}:
            for key in sorted(key for key in self.snapshots if key[0] == one)[:-keep]:
                del self.snapshots[key]
        return before - len(self.snapshots)

    # --- read models ----------------------------------------------------------------------------------------------

    def put(self, collection: str, id: str, data: str, expected: int | None = None) -> int | GoesError:
        actual = self.models[id].version if id in self.models else 0
        if expected not in (None, actual):
            return ModelConflict(collection, id, expected, actual)
        self.models[id] = ModelRecord(collection, id, actual + 1, data)
        return actual + 1

    def remove(self, collection: str, id: str, expected: int | None = None) -> bool | GoesError:
        actual = self.models[id].version if id in self.models else 0
        if expected not in (None, actual):
            return ModelConflict(collection, id, expected, actual)
        return self.models.pop(id, None) is not None

    def records(self, where: dict[str, Any], order_by: str | None, *, reverse: bool, limit: int | None) -> list[str]:
        """Return the ids of the records that match `where`, ordered by a field and the id, or by the id."""
        documents = {id: json.loads(record.data) for id, record in self.models.items()}

        def key(id: str) -> tuple[Any, ...]:
            value = None if order_by is None else documents[id].get(order_by)
            return (0, 0, id) if value is None else (2 if isinstance(value, str) else 1, value, id)

        found = [
            id for id, one in documents.items() if all(one.get(field) == wanted for field, wanted in where.items())
        ]
        return sorted(found, key=key, reverse=reverse)[:limit]
