"""The base class of aggregates, and what a repository does with them.

Commands are ordinary methods that inspect the state and `record` what happened; appliers change the state. A recorded
event is applied exactly as it is when it is loaded, so the state in memory and the state after a reload cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from datetime import datetime
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from goes_lite.aggregate._definition import (
    Definition,
    check_applied,
    check_attributes,
    definition_of,
    own_slots,
    unapplied,
    uninitialised,
)
from goes_lite.errors import AggregateError, InvalidEventError
from goes_lite.errors.functions import check_result
from goes_lite.events.event import Event, RecordingClock, restore
from goes_lite.events.fields import AggregateRef, aggregate_id
from goes_lite.events.ids import new_id_text
from goes_lite.events.marks import EventKind
from goes_lite.events.registry import Registry, default_registry

D = TypeVar("D")


class Aggregate:
    """Base class of aggregates: their state is the sum of their events.

        class Order(goes.Aggregate, name="order"):
            status: str = "draft"

            def place(self, items: list[str], total: int) -> None:
                self.record(OrderPlaced(items, total))

            @goes.applies(OrderPlaced)
            def _placed(self, event: goes.Event[OrderPlaced]) -> None:
                self.status = "placed"

    Class arguments, all inherited
      name         of these aggregates in every store. A class without one is only a base of others.
      schema       version of the snapshots, for deciding yourself which ones fit: raise it whenever an applier changes. By
                   default a snapshot fits as long as the code that computes the state is the same.
      deleted_by   event type or types (or names) that delete the aggregate softly: `deleted` becomes true.
      restored_by  those that restore it.
      ignores      those that change nothing else. Every other event that it records needs an applier.
      registry     where its events are registered; the default registry by default.

    The appliers set the state. Attributes that are annotated in the class body are part of snapshots; their defaults must be
    immutable, mutable ones belong in an `__init__(self, id=None)` that calls `super().__init__(id)` first. A repository
    creates instances by calling the class with only the id.

    RegistrationError when the class is defined, for a name or default that would fail later.
    """

    # Slots, so that `vars(aggregate)` is only the state; the prefix leaves all other names to subclasses.
    __slots__ = (
        "__dict__", "__weakref__", "_goes_applying", "_goes_clock", "_goes_deleted", "_goes_last", "_goes_pending", "_goes_ref",
        "_goes_saved", "_goes_version",
    )  # fmt: skip

    _goes_ref: AggregateRef
    _goes_version: int
    _goes_pending: list[Event[Any]]
    _goes_deleted: bool
    _goes_last: Event[Any] | None
    _goes_saved: tuple[object, int] | None
    _goes_applying: bool
    _goes_clock: RecordingClock | None

    _goes_definition: ClassVar[Definition | None] = None

    snapshot_type: ClassVar[Any] = None
    """The type as which snapshots encode the result of `snapshot_state`. None: the annotated attributes, or plain JSON
    if `snapshot_state` is overridden."""

    def __init_subclass__(
        cls,
        *,
        name: str | None = None,
        schema: int | None = None,
        deleted_by: EventKind | Iterable[EventKind] = (),
        restored_by: EventKind | Iterable[EventKind] = (),
        ignores: EventKind | Iterable[EventKind] = (),
        registry: Registry | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init_subclass__(**kwargs)
        check_attributes(cls, _RESERVED)
        base = cls._goes_definition
        cls._goes_definition = Definition.of(
            cls,
            base,
            _switch_deleted,
            name=name,
            schema=schema,
            registry=registry if registry is not None else base.registry if base else default_registry,
            deleted_by=deleted_by,
            restored_by=restored_by,
            ignores=ignores,
        )

    def __init__(self, id: str | UUID | None = None) -> None:
        name = definition_of(type(self)).name
        # The name was checked when the class was defined.
        self._goes_ref = AggregateRef._make((name, new_id_text() if id is None else aggregate_id(id)))
        self._goes_version = 0
        self._goes_pending = []
        self._goes_deleted = False
        self._goes_last = None
        self._goes_saved = None
        self._goes_applying = False
        self._goes_clock = None

    # --- what it is -------------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """Its id, unique among the aggregates of its name."""
        try:
            return self._goes_ref.id
        except AttributeError:
            raise uninitialised(type(self)) from None

    @property
    def ref(self) -> AggregateRef:
        """Its name and id. RegistrationError if its `__init__` did not call that of Aggregate."""
        try:
            return self._goes_ref
        except AttributeError:
            raise uninitialised(type(self)) from None

    @property
    def version(self) -> int:
        """The number of its events, including those that are not saved yet."""
        return self._goes_version

    @property
    def committed_version(self) -> int:
        """The version that it was loaded or saved at; 0 if it never was."""
        return self._goes_version - len(self._goes_pending)

    @property
    def pending(self) -> tuple[Event[Any], ...]:
        """The recorded events that are not saved yet, in order."""
        return tuple(self._goes_pending)

    @property
    def is_new(self) -> bool:
        """Whether none of its events was ever saved."""
        return self._goes_version == len(self._goes_pending)

    @property
    def deleted(self) -> bool:
        """Whether it is softly deleted: the last of the events that delete or restore it was one that deletes."""
        return self._goes_deleted

    @property
    def last_event_id(self) -> UUID | None:
        """The id of its newest event, saved or not; None without any."""
        return self._goes_last.id if self._goes_last else None

    @property
    def last_event_time(self) -> datetime | None:
        """The time of its newest event, saved or not; None without any."""
        return self._goes_last.time if self._goes_last else None

    # --- how it changes ---------------------------------------------------------------------------------------------

    def record(
        self,
        data: D,
        *,
        name: str | None = None,
        id: UUID | None = None,
        time: datetime | None = None,
        metadata: Mapping[str, str] | None = None,
        tags: Iterable[str] = (),
    ) -> Event[D]:
        """Create the next event of this aggregate, apply it, keep it pending and return it.

        - Its version is that of the aggregate plus one; the arguments are those of `Event`. (With an `id` derived from the
          input, an import can run twice with the effect of one.)
        - The metadata of the current `Context` is added; values given here take precedence.
        - The data is captured: later changes to it, or to state built from it, change no event.
        - If the event cannot be created, or its applier raises, the error propagates and neither the version nor the
          pending events change. (What the applier did before it raised is not undone: an applier decides nothing.)
        - AggregateError inside an applier, which must not record events; and for an event that the class does not apply
          (`applies`, `deleted_by`, `restored_by`) or name in `ignores`. A class with neither appliers nor attributes
          records any event.
        """
        try:
            applying = self._goes_applying
        except AttributeError:
            raise uninitialised(type(self)) from None
        if applying:
            raise AggregateError(
                self._goes_ref,
                f"{self._goes_ref}: an applier must not record events, because it runs again at every load: "
                "record them in the method that recorded the first event",
            )
        definition = definition_of(type(self))
        if time is None and self._goes_clock is not None:
            time = self._goes_clock.now()
        event = Event(
            data,
            name=name,
            aggregate=self._goes_ref,
            version=self._goes_version + 1,
            id=id,
            time=time,
            metadata=metadata,
            tags=tags,
            registry=definition.registry,
        )
        applier = definition.appliers[event.name]
        if applier is unapplied:
            check_applied(self, event)
        self._goes_applying = True
        try:
            result = applier(self, event if event.data is data else _twin(event, definition.registry))
            if result is not None:
                check_result(f"the applier of {event.name!r}", result)
        finally:
            self._goes_applying = False
        self._goes_pending.append(event)
        self._goes_version += 1
        self._goes_last = event
        return event

    def replay(self, events: Iterable[Event[Any]]) -> None:
        """Apply stored events that continue from its version.

        InvalidEventError for an event of another aggregate or with a version other than the next: the events before it are
        applied, it is not. AggregateError if there are pending events, whose versions these would take.
        """
        if self._goes_pending:
            raise AggregateError(
                self._goes_ref,
                f"{self._goes_ref} has {len(self._goes_pending)} pending event(s), so stored events cannot be applied: "
                "fetch a fresh instance (and record nothing in __init__)",
            )
        ref = self._goes_ref
        appliers = definition_of(type(self)).appliers
        expected = self._goes_version + 1
        last = self._goes_last
        self._goes_applying = True
        try:
            for event in events:
                # The fields, not the properties: four calls for each event of a load would be more than all others.
                if event._version != expected or (event._aggregate is not ref and event._aggregate != ref):
                    raise _misfit(ref, expected, event)
                if (result := appliers[event._name](self, event)) is not None:
                    check_result(f"the applier of {event._name!r}", result)
                self._goes_version = expected
                expected += 1
                last = event
        finally:
            self._goes_applying = False
            self._goes_last = last

    # --- snapshots --------------------------------------------------------------------------------------------------

    def snapshot_state(self) -> Any:
        """Return what a snapshot stores: by default the annotated attributes that are set, as a dict.

        Override it together with `restore_state` and `snapshot_type` to store something else.
        """
        from goes_lite.aggregate._state import attributes

        return attributes(self, type(self), Aggregate)

    def restore_state(self, state: Any) -> None:
        """Restore what `snapshot_state` of the same schema returned; by default, set the attributes.

        An error means that the snapshot does not fit: it is ignored and the events are replayed.
        """
        for name, value in state.items():
            setattr(self, name, value)

    # --- the rest ---------------------------------------------------------------------------------------------------

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """Return an independent copy, pending events included; the events themselves are immutable and shared."""
        copy = object.__new__(type(self))
        memo[id(self)] = copy
        for event in self._goes_pending:
            memo[id(event)] = event
        memo[id(self._goes_last)] = self._goes_last
        # One by one: a loop over the names would dominate the cost of copying a small aggregate.
        copy._goes_ref = self._goes_ref
        copy._goes_version = self._goes_version
        copy._goes_pending = list(self._goes_pending)
        copy._goes_deleted = self._goes_deleted
        copy._goes_last = self._goes_last
        copy._goes_saved = self._goes_saved
        copy._goes_applying = self._goes_applying
        copy._goes_clock = self._goes_clock
        state = vars(copy)
        for name, value in vars(self).items():
            state[name] = value if type(value) in _ATOMIC else deepcopy(value, memo)
        for name in own_slots(type(self), Aggregate):
            if hasattr(self, name):
                setattr(copy, name, deepcopy(getattr(self, name), memo))
        return copy

    def __repr__(self) -> str:
        pending = f", {len(self._goes_pending)} pending" if self._goes_pending else ""
        deleted = ", deleted" if self._goes_deleted else ""
        state = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        if len(state) > 200:
            state = state[:199] + "…"
        return f"<{type(self).__name__} {self._goes_ref} v{self._goes_version}{pending}{deleted}: {state}>"


_ATOMIC = frozenset((bool, bytes, complex, float, int, str, type(None)))
"""Types that a deep copy shares; asking it per attribute would dominate the cost of copying a small aggregate."""

_RESERVED = tuple(
    name
    for name in vars(Aggregate)
    if not name.startswith("__") and name not in ("snapshot_type", "snapshot_state", "restore_state")
)


# --- for repositories: functions, because methods would take names that subclasses may want ---------------------------


def resume(aggregate: Aggregate, event: Event[Any], deleted: bool) -> None:
    """Note that the state, which was restored from a snapshot, is the one right after this stored event."""
    aggregate._goes_version = event.version
    aggregate._goes_last = event
    aggregate._goes_deleted = deleted


def set_clock(aggregate: Aggregate, clock: RecordingClock) -> None:
    """Let the events that it records have the times of a clock."""
    aggregate._goes_clock = clock


def last_event(aggregate: Aggregate) -> Event[Any] | None:
    """Return its newest event; None without any."""
    return aggregate._goes_last


def unsaved(aggregate: Aggregate, transaction: object | None) -> tuple[Event[Any], ...]:
    """Return the pending events, without those already saved in this transaction, which has not ended yet."""
    if transaction is None or aggregate._goes_saved is None or aggregate._goes_saved[0] is not transaction:
        return aggregate.pending
    upto = aggregate._goes_saved[1]
    return tuple(event for event in aggregate._goes_pending if event.version > upto)


def mark_saved(aggregate: Aggregate, transaction: object, version: int) -> None:
    """Note that the events up to `version` were saved in a transaction that has not ended yet."""
    aggregate._goes_saved = (transaction, version)


def mark_committed(aggregate: Aggregate, version: int) -> None:
    """Note that the events up to `version` are committed: they are no longer pending."""
    aggregate._goes_pending = [event for event in aggregate._goes_pending if event.version > version]
    if aggregate._goes_saved is not None and aggregate._goes_saved[1] <= version:
        aggregate._goes_saved = None


def _switch_deleted(aggregate: Aggregate, deleted: bool) -> None:
    aggregate._goes_deleted = deleted


def _twin(event: Event[D], registry: Registry) -> Event[D]:
    # An applier may store a list of the event in the state, and a later one append to it. The pending event keeps its own
    # data, or hooks and the bus would see what never happened.
    encoding, schema, payload = event.encoded
    data: Any = registry.decode(event.name, encoding, schema, payload)
    return restore(
        event.id, event.name, data, event.time, event.aggregate, event.version, event.metadata, event.tags, 0,
        encoding, schema, payload,
    )  # fmt: skip


def _misfit(ref: AggregateRef, expected: int, event: Event[Any]) -> InvalidEventError:
    if event.aggregate != ref:
        return InvalidEventError(f"{event!r} is not an event of {ref}")
    return InvalidEventError(
        f"{ref}: expected its event of version {expected}, got version {event.version} at position {event.position}: "
        "an aggregate needs all of its events, in order (if some have unknown names, read them with "
        'unknown="raw", not "skip")'
    )
