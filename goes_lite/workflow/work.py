"""The unit of work: the instances that a transaction is about, in memory, and everything about them that it has to write.

Each kind of record is read and written in one go, so a batch of inputs takes a few statements, however many it has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from goes_lite.codec.json_of import json_of
from goes_lite.commands.accepting import accept_all
from goes_lite.contract.backend import Backend, Transaction
from goes_lite.errors import CodecError, ConcurrencyError, InvalidEventError, ModelConflict, ModelError
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.processor.target import Displaced
from goes_lite.workflow.definition import AGGREGATE
from goes_lite.workflow.inputs import Input
from goes_lite.workflow.instance import Instance
from goes_lite.workflow.stored import Associated, Stored, TimerRow, WaitingInput, rows_of, waiting_id
from goes_lite.workflow.transition import Accepted, Step, metadata_of

UNSTORABLE = (CodecError, ModelError, InvalidEventError)
"""Errors of a store that refuses what an instance does, whenever that is tried."""


class Work:
    """What one transaction does with the instances of a workflow."""

    def __init__(
        self, backend: Backend, tx: Transaction, workflow: str, now: datetime, *, careful: bool = False
    ) -> None:
        self.now = now
        self.stored = Stored(tx, workflow)
        self._backend = backend
        self._careful = careful
        """Whether nobody may have changed the record of an instance, even without an event: for those who hold no lease."""
        self._tx = tx
        self._aggregate = AGGREGATE + workflow
        self._before: dict[str, tuple[Instance | None, int]] = {}
        self._instances: dict[str, Instance | None] = {}
        self._unreadable: dict[str, CodecError] = {}
        self._associated: dict[str, list[str]] = {}
        self._events: list[Event[Any]] = []
        self._commands: list[Accepted] = []
        self._stale: set[str] = set()
        self._waiting: dict[str, dict[str, WaitingInput | None]] = {}

    # --- reading ----------------------------------------------------------------------------------------------------

    async def load(self, keys: Iterable[str]) -> None:
        """Load instances that are not loaded yet."""
        missing = [key for key in keys if key not in self._before]
        if not missing:
            return
        models = self.stored.instances
        decode = json_of(Instance).decode
        records = await models.store.get_many(models.collection, missing)
        for key in missing:
            record = records.get(key)
            try:
                instance = None if record is None else decode(record.data)
            except CodecError as exc:  # written by another tool, or by a newer version
                self._unreadable[key], instance = exc, None
            self._before[key] = instance, 0 if record is None else record.version
            self._instances[key] = instance

    async def load_associated(self, keys: Iterable[str]) -> None:
        """Load which instances these keys concern, and those instances. They are the truth, where the index disagrees."""
        missing = [key for key in keys if key not in self._associated]
        if not missing:
            return
        found = await self.stored.associations.find_many(missing)
        listed = {key: found[key].keys if key in found else [] for key in missing}
        await self.load(one for key in missing for one in listed[key])
        for key in missing:
            self._associated[key] = [one for one in listed[key] if self._has(one, key)]

    def _has(self, key: str, association: str) -> bool:
        """Whether a loaded instance has an association; True if its record cannot be read, which is told where it is used."""
        instance = self._instances[key]
        return key in self._unreadable or (instance is not None and association in instance.associations)

    def has(self, key: str) -> bool:
        """Return whether an instance was loaded, existing or not."""
        return key in self._instances

    def get(self, key: str) -> Instance | None:
        """Return a loaded instance as it is now. CodecError if its record cannot be read."""
        if key in self._unreadable:
            raise self._unreadable[key]
        return self._instances[key]

    def associated(self, key: str) -> list[str]:
        """Return the instances that a key concerns as an association, as it is now."""
        return self._associated.get(key, [])

    # --- changing ---------------------------------------------------------------------------------------------------

    def step(self, step: Step, input: Input | None) -> None:
        """Carry out what an input made of an instance."""
        instance = step.instance
        if step.events:
            version = instance.events - len(step.events)
            metadata = metadata_of(instance, input)
            ref = AggregateRef(self._aggregate, instance.key)
            for number, (data, tags) in enumerate(step.events, start=version + 1):
                self._events.append(
                    Event(
                        data,
                        aggregate=ref,
                        version=number,
                        metadata=metadata,
                        tags=tags,
                        registry=self._backend.registry,
                    )
                )
        self._commands += step.commands
        self.put(instance)

    def put(self, instance: Instance) -> None:
        """Note how an instance is now."""
        before = self._instances[instance.key]
        old = set(before.associations) if before is not None and not before.ended else set[str]()
        for key in {*instance.associations} ^ old:
            if key in self._associated:
                others = [one for one in self._associated[key] if one != instance.key]
                self._associated[key] = [*others, instance.key] if key in instance.associations else others
        self._instances[instance.key] = instance

    def wait(self, key: str, event: Event[Any]) -> None:
        """Let an event wait until its instance is ready."""
        row = WaitingInput(event.position, event.name, str(event.id))
        self._waiting.setdefault(key, {})[waiting_id(event.position)] = row

    def told(self, key: str, position: int) -> None:
        """Note that an input does not wait any more."""
        self._waiting.setdefault(key, {})[waiting_id(position)] = None

    def stale(self, row: str) -> None:
        """Remove a row of the timers that belongs to no instance as it is now."""
        self._stale.add(row)

    # --- writing ----------------------------------------------------------------------------------------------------

    async def save(self) -> None:
        """Write everything. Displaced if somebody else has changed one of the instances in the meantime."""
        changed = {
            key: one for key, one in self._instances.items() if one is not None and one is not self._before[key][0]
        }
        try:
            if self._events:
                await self._tx.events.append(self._events)
            await self._save_instances(changed)
        except (ConcurrencyError, ModelConflict):
            raise Displaced from None
        await self._save_timers(changed)
        await self._save_associations(changed)
        await accept_all(self._backend, self._tx, self._commands)
        for key, instance in changed.items():
            before, _ = self._before[key]
            if before is not None and before.run != instance.run:  # what still waited for the run before
                await self.stored.waiting(key).clear()
        for key, rows in self._waiting.items():
            await self.stored.waiting(key).put_many(rows)

    async def _save_instances(self, changed: Mapping[str, Instance]) -> None:
        """Those with new events are guarded by the versions of these, the others by the versions of their records."""
        recorded = {event.aggregate.id for event in self._events if event.aggregate is not None}
        models = self.stored.instances
        guarded = {} if self._careful else {key: one for key, one in changed.items() if key in recorded}
        if guarded:
            await models.put_many(guarded)
        for key, one in changed.items():
            if key not in guarded:
                await models.put(key, one, expected=self._before[key][1])

    async def _save_timers(self, changed: Mapping[str, Instance]) -> None:
        rows: dict[str, TimerRow | None] = dict.fromkeys(self._stale)
        for key, instance in changed.items():
            before, after = rows_of(self._before[key][0]), rows_of(instance)
            rows |= dict.fromkeys(before.keys() - after.keys())
            rows |= {id: row for id, row in after.items() if id not in before or id in self._stale}
        if rows:
            await self.stored.timers.put_many(rows)

    async def _save_associations(self, changed: Mapping[str, Instance]) -> None:
        gone: dict[str, set[str]] = {}
        added: dict[str, set[str]] = {}
        for key, instance in changed.items():
            stored = self._before[key][0]
            before = set(stored.associations) if stored is not None else set[str]()
            after = set(instance.associations)
            for other in before - after:
                gone.setdefault(other, set()).add(key)
            for other in after - before:
                added.setdefault(other, set()).add(key)
        touched = gone.keys() | added.keys()
        if not touched:
            return
        models = self.stored.associations
        found = await models.find_many(sorted(touched))
        rows: dict[str, Associated | None] = {}
        for other in touched:
            keys = found[other].keys if other in found else []
            left = [one for one in keys if one not in gone.get(other, ()) and one not in added.get(other, ())]
            left += sorted(added.get(other, ()))
            rows[other] = Associated(left) if left else None
        await models.put_many(rows)
