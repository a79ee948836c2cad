"""Lookups: which aggregate has a key, such as a customer's email address, and which key an aggregate has.

Rule of this file: the two maps state the same fact. They are written together, for each aggregate separately; so a change of
one aggregate's key never affects another aggregate with an equal key. The maps may lag behind the log. A claim does not use
them: it reads the log itself, by tag, so no two aggregates can get the same key however late the maps are.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar, cast
from urllib.parse import unquote

from goes_lite.contract.backend import Backend, Transaction
from goes_lite.contract.event_store import AppendCondition
from goes_lite.contract.own_collections import REBUILD
from goes_lite.errors import (
    ConfigError,
    InvalidQueryError,
    KeyTaken,
    ProcessorBehind,
    ProjectionOutdated,
    RegistrationError,
    TransactionError,
)
from goes_lite.errors.functions import both_faces, check_function, check_result, failure
from goes_lite.events.event import Event
from goes_lite.events.fields import MAX_ID_BYTES, AggregateRef, aggregate_ref, check_name
from goes_lite.events.marks import EventKind, check_kinds
from goes_lite.events.query import EventQuery, check_for_query
from goes_lite.events.registry import Registry
from goes_lite.processor import Processor, Target
from goes_lite.processor.target import HandlerFailed
from goes_lite.projection._models import _async
from goes_lite.projection._projection import Projection
from goes_lite.projection._record import projection_records
from goes_lite.runtime import Signal
from goes_lite.runtime.face import AsyncFace, Face, call

B = TypeVar("B")
B_co = TypeVar("B_co", covariant=True)

KeyOf: TypeAlias = Callable[[Event[Any]], str | None]
"""Returns the key of the event's aggregate from then on; None for no key."""

MAX_NAME = 150
"""The maximum length of the name of a lookup, in bytes: it is part of other names, and of tags."""


class LookupHost(Protocol[B_co]):
    """A handle on either face, which binds a lookup to its store."""

    def lookup(self, lookup: Lookup, /) -> B_co: ...


class Lookup(Projection):
    """A map of keys to aggregates, and of aggregates to their keys, kept by a projection.

        emails = goes.Lookup("customer-emails", {
            CustomerJoined: lambda event: event.data.email,
            EmailChanged: lambda event: event.data.new,
            CustomerLeft: None,
        })

        async with db.projection(emails):
            ...
            customer = await emails.of(db).find("ada@example.org")

    Arguments
      name       its name in the store, without a colon. Each lookup has maps of its own.
      keys       by kind of event (a registered type or name): a function that returns the key of the event's aggregate from
                 then on, or None for no key; None instead of a function for a kind that removes the key.
      version    an int ≥ 1; raise it to rebuild the maps, see `Database.projection`.

    - Keys are str, any text, compared exactly: let the function return `str(number)`, `email.lower()`. Another type is
      InvalidQueryError: in a lookup, and when the projection finds it in an event.
    - An aggregate has at most one key, the newest; several aggregates may share a key. The aggregates of one key are stored in
      one record, so a few of them may share a key, not thousands.
    - Events without an aggregate are ignored. Erasing an aggregate (`delete`) is no event: its key stays until the maps are
      rebuilt, so first record an event that removes the key.
    - It runs like any projection (`Database.projection`, `Database.inline`), and is reset and rebuilt like one.

    Claim a key that only one aggregate may have: see `BoundLookup.claim`. RegistrationError for an invalid argument.
    """

    def __init__(self, name: str, keys: Mapping[EventKind, KeyOf | None], *, version: int = 1) -> None:
        check_name(name, "the name of a lookup")
        if ":" in name or len(name.encode()) > MAX_NAME:
            raise RegistrationError(
                f"the name of a lookup must have no colon and at most {MAX_NAME} bytes: {name!r:.80}"
            )
        if type(version) is not int or version < 1:
            raise RegistrationError(f"a version must be an int ≥ 1, not {version!r:.80}")
        if not isinstance(keys, Mapping):
            raise RegistrationError(f"keys must be a mapping of kinds of events to functions, not {keys!r:.80}")
        check_kinds("Lookup", tuple(keys))
        for kind, function in keys.items():
            if function is not None and not callable(function):
                raise RegistrationError(
                    f"the key for {kind!r:.80} must be a function of the event, or None, not {function!r:.80}"
                )
            if function is not None:
                check_function(f"the key for {kind!r:.80}", function, error=RegistrationError)
        self._keys = dict(keys)
        vars(self).update(name=name, version=version)  # class attributes of other projections

    def tag(self, key: str) -> str:
        """Return the tag of events by which an aggregate gets or loses this key: `customer-emails:ada@example.org`.

        Characters that a tag cannot hold are percent-encoded, and a key that is too long for a tag becomes its SHA-256.
        """
        return f"{self.name}:{_bounded(self.check_key(key), MAX_ID_BYTES - len(self.name.encode()) - 1)}"

    def of(self, db: LookupHost[B]) -> B:
        """Return the lookup in the store of this handle: a `BoundLookup`, on the face of the handle."""
        return db.lookup(self)

    def check_key(self, key: object) -> str:
        """InvalidQueryError unless it is a key."""
        if not isinstance(key, str):
            check_result(f"a key of {self.name!r}", key)
            raise InvalidQueryError(f"a key of {self.name!r} must be a str, not {type(key).__name__}: {key!r:.80}")
        return key

    # --- as a projection -----------------------------------------------------------------------------------------------

    def methods(self, registry: Registry) -> dict[str, KeyOf]:
        """Return the functions by the names of their events. UnregisteredTypeError; RegistrationError for a duplicate."""
        found: dict[str, KeyOf] = {}
        for kind, function in self._keys.items():
            for name in registry.names_of(kind):
                if name in found:
                    raise RegistrationError(f"the lookup {self.name!r} has two keys for {name!r}: keep one of them")
                found[name] = _no_key if function is None else function
        return found

    def target(self, registry: Registry, face: Face) -> Target:
        return LookupTarget(self, registry, face)

    @property
    def places(self) -> tuple[str, str]:
        """The collections to which it currently writes: by aggregate, and by key."""
        prefix = REBUILD if self.suffix else ""
        return f"{prefix}{self.name}:aggregates", f"{prefix}{self.name}:keys"

    @both_faces
    async def clear(self, tx: Any) -> None:
        for place in self.places:
            await _async(tx).models.clear(place)

    @both_faces
    async def switch(self, tx: Any) -> None:
        for place in self.places:
            await _async(tx).models.rename(place, place.removeprefix(REBUILD))

    @both_faces
    async def rows(self, tx: Any) -> AsyncIterator[tuple[str, str]]:
        for place in self.places:
            async for record in _async(tx).models.query(place):
                yield f"{place.rpartition(':')[2]}: {record.id}", record.data


class BoundLookup:
    """A lookup in the store of a handle. Create it with `Lookup.of(db)`; there is nothing to close."""

    def __init__(self, lookup: Lookup, backend: Backend) -> None:
        if not isinstance(lookup, Lookup):
            raise ConfigError(f"lookup() takes a Lookup, not {lookup!r:.80}")
        self.lookup = lookup
        """The lookup itself, bound to no store."""
        self._backend = backend

    def __repr__(self) -> str:
        return f"<{self.lookup!r} of {self._backend!r}>"

    async def find(self, key: str) -> AggregateRef | None:
        """Return the aggregate that has the key, of several the one that got it first; None if none has it."""
        return next(iter(await self.all(key)), None)

    async def all(self, key: str) -> list[AggregateRef]:
        """Return the aggregates that have the key, in the order in which they got it."""
        id = _key_id(self.lookup.check_key(key))
        _, place = self.lookup.places
        return list(_decode_keys(await self._backend.models.get_many(place, [id])).get(key, ()))

    async def key_of(self, aggregate: AggregateRef | tuple[str, str]) -> str | None:
        """Return the key of the aggregate; None if it has none."""
        ref = check_for_query(aggregate_ref, aggregate)
        place, _ = self.lookup.places
        return _decode_aggregates(await self._backend.models.get_many(place, [_aggregate_id(ref)])).get(ref)

    async def wait_ready(self, timeout: float | None = None) -> None:
        """Wait until the maps contain everything that is stored now, and have the version of this lookup.

        The projection may run in another process. ProcessorBehind after `timeout` seconds; ProjectionOutdated if the maps
        have a higher version.
        """
        backend, lookup = self._backend, self.lookup
        query = lookup.query(backend.registry)
        newest = await backend.events.query(query, upto=await backend.events.head(), reverse=True, limit=1).list()
        if not newest:
            return
        position = newest[0].position
        processor = Processor(backend, lookup.name, lookup.target(backend.registry, AsyncFace()))
        clock = backend.runtime.clock
        deadline = None if timeout is None else clock.monotonic() + timeout
        changed = Signal()
        with backend.commits.watch(changed):
            while True:
                seen = changed.count
                record = await projection_records(backend.models, backend.runtime).find(lookup.name)
                if record is not None and record.version > lookup.version:
                    raise ProjectionOutdated(lookup.name, record.version, lookup.version)
                of_this_version = record is not None and record.version == lookup.version
                reached = await processor._reached() if of_this_version else 0
                if reached >= position:
                    return
                left = None if deadline is None else deadline - clock.monotonic()
                if left is not None and left <= 0:
                    raise ProcessorBehind(lookup.name, position, reached)
                await backend.runtime.wait(changed, seen, left)

    async def claim(self, key: str) -> AppendCondition:
        """Return the condition for appending an event that gives an aggregate an unused key; KeyTaken if it is in use.

            tags = [emails.tag(email)]
            condition = await emails.of(db).claim(email)
            await db.events.append([Event(CustomerJoined(email), aggregate=ref, version=1, tags=tags)], condition=condition)

        - Of several concurrent claims of a key, only one can append: the others get AppendConditionFailed, and KeyTaken when
          they claim it again.
        - It reads the log and not the maps, so there is no lag, and the projection need not even run.
        - **It only sees tagged events.** Every event that gives an aggregate a key must have `tag(key)`, and so must every
          event that removes that key. An event that changes one key to another has the tags of both.
        - The condition is about one key. To claim several at once, unite them: `AppendCondition(a.query | b.query,
          min(a.after, b.after))`.
        """
        lookup, events = self.lookup, self._backend.events
        lookup.check_key(key)
        functions = lookup.methods(self._backend.registry)
        query = EventQuery(tags=[lookup.tag(key)])
        head = await events.head()
        holders: dict[AggregateRef, None] = {}
        async for event in events.query(query, upto=head):
            function = functions.get(event.name)
            if event.aggregate is None or function is None:
                continue
            if _key_after(lookup, function, event) == key:
                holders.setdefault(event.aggregate)
            else:
                holders.pop(event.aggregate, None)
        for holder in holders:
            raise KeyTaken(lookup.name, key, holder)
        return AppendCondition(query, head)


class LookupTarget:
    """Reads the records of a batch, changes them in memory, and writes them."""

    def __init__(self, lookup: Lookup, registry: Registry, face: Face) -> None:
        self._lookup = lookup
        self._functions = lookup.methods(registry)
        # The user's functions run for a whole batch at a time: in a thread where they would block an event loop.
        self._find = face.function(self._find_changes, "a key of a lookup")

    async def apply(self, events: Sequence[Event[Any]], tx: Transaction | None) -> None:
        if tx is None:
            raise TransactionError(
                "a lookup writes in a transaction, and got none: run it on a backend with transactions"
            )
        changes = cast("list[tuple[AggregateRef, str | None]]", await call(self._find, events))
        if not changes:
            return
        models = tx.models
        of_aggregates, of_keys = self._lookup.places
        keys: dict[AggregateRef, str | None] = dict.fromkeys(ref for ref, _ in changes)
        keys.update(_decode_aggregates(await models.get_many(of_aggregates, map(_aggregate_id, keys))))
        touched = dict.fromkeys(key for key in (*keys.values(), *(key for _, key in changes)) if key is not None)
        holders: dict[str, dict[AggregateRef, None]] = {key: {} for key in touched}
        holders.update(_decode_keys(await models.get_many(of_keys, map(_key_id, touched))))
        for ref, key in changes:
            before = keys[ref]
            if key != before:
                if before is not None:
                    holders[before].pop(ref, None)
                if key is not None:
                    holders[key][ref] = None
                keys[ref] = key
        await models.put_many(
            of_aggregates, {_aggregate_id(ref): _encode_aggregate(ref, key) for ref, key in keys.items()}
        )
        await models.put_many(of_keys, {_key_id(key): _encode_key(key, refs) for key, refs in holders.items()})

    def _find_changes(self, events: Sequence[Event[Any]]) -> list[tuple[AggregateRef, str | None]]:
        """Return the key of each aggregate after each of the events."""
        changes: list[tuple[AggregateRef, str | None]] = []
        for index, event in enumerate(events):
            function = self._functions.get(event.name)
            if event.aggregate is None or function is None:
                continue
            try:
                changes.append((event.aggregate, _key_after(self._lookup, function, event)))
            except BaseException as exc:
                raise HandlerFailed(failure(exc), index) from exc
        return changes


def _no_key(event: Event[Any]) -> None:
    """The function of events that remove the key."""


def _key_after(lookup: Lookup, function: KeyOf, event: Event[Any]) -> str | None:
    key = function(event)
    return None if key is None else lookup.check_key(key)


# --- what is stored ---------------------------------------------------------------------------------------------------

_AWKWARD = re.compile("[%\0\ud800-\udfff]")


def _text(key: str) -> str:
    """Return the key as reversible text that every backend can store: `%`, NUL and lone surrogates are encoded."""
    encoded = _AWKWARD.sub(lambda found: "".join(f"%{b:02X}" for b in found[0].encode("utf-8", "surrogatepass")), key)
    return encoded or "%"  # which is the text of no other key


def _from_text(text: str) -> str:
    return "" if text == "%" else unquote(text, errors="surrogatepass")


def _bounded(key: str, room: int) -> str:
    """Return the text of a key, or its hash where the text is too long: no key has that as its text."""
    return _fitting(_text(key), room)


def _fitting(text: str, room: int = MAX_ID_BYTES) -> str:
    encoded = text.encode()
    return text if len(encoded) <= room else f"%sha256-{hashlib.sha256(encoded).hexdigest()}"


def _key_id(key: str) -> str:
    return _bounded(key, MAX_ID_BYTES)


def _aggregate_id(ref: AggregateRef) -> str:
    return _fitting(f"{_text(ref.name).replace(':', '%3A')}:{_text(ref.id)}")


def _encode_aggregate(ref: AggregateRef, key: str | None) -> str | None:
    return None if key is None else json.dumps({"aggregate": ref, "key": _text(key)}, ensure_ascii=False)


def _encode_key(key: str, refs: Iterable[AggregateRef]) -> str | None:
    listed = list(refs)
    return json.dumps({"key": _text(key), "aggregates": listed}, ensure_ascii=False) if listed else None


def _decode_aggregates(records: Mapping[str, Any]) -> dict[AggregateRef, str]:
    documents = [json.loads(record.data) for record in records.values()]
    return {AggregateRef(*document["aggregate"]): _from_text(document["key"]) for document in documents}


def _decode_keys(records: Mapping[str, Any]) -> dict[str, dict[AggregateRef, None]]:
    documents = [json.loads(record.data) for record in records.values()]
    return {
        _from_text(document["key"]): dict.fromkeys(AggregateRef(*pair) for pair in document["aggregates"])
        for document in documents
    }
