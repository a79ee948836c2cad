"""One pass over the log, as it is stored, in memory that does not grow with it.

Rule of this file: every event passes through `LogPass._look`, at two microseconds each: one loop, which calls a method only for
what it sees for the first time, or what is wrong. What needs a look-up in the store is done for some events only, see `lookups`.

**Versions.** To check that each aggregate has the versions 1, 2, 3, … a dictionary of all aggregates would do, but not in
constant memory. Instead, sums of hashes are compared: each event adds the hash of its aggregate and version, and subtracts
that of the version before. If no version is missing or there twice, only the last one of each aggregate remains, and the sum
is that of the versions that the store lists. Of an aggregate that was seen lately, nothing has to be added until it is forgotten.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from operator import attrgetter
from typing import Any
from uuid import UUID

from goes_lite.codec import codec as find_codec
from goes_lite.contract.event_store import EventStore
from goes_lite.errors import CodecError, ConfigError, GoesError, StoreDamaged, UnknownEventError
from goes_lite.events.event import Event, metadata_json, tags_json, time_micros
from goes_lite.events.fields import AggregateRef, check_name, check_tag, to_micros
from goes_lite.events.query import EventQuery
from goes_lite.events.registry import Raw, Registry
from goes_lite.operations.reporting import Report

BITS = 27
"""Ids are marked in a table of 2 ** BITS bits (16 MiB); one whose bit is marked already is looked up."""
MASK = (1 << BITS - 3) - 1
FIRST, LAST = (to_micros(datetime.fromisoformat(end)) for end in ("0001-01-01T00:00Z", "9999-12-31T23:59:59.999999Z"))
"""The range of times, in microseconds."""
RECENT = 50_000
"""How many aggregates are remembered with their last version, to name the event where a version is wrong."""
TEXTS = 10_000
"""How many texts of metadata and tags that are sound are remembered."""
NAMES = 1000
"""The maximum number of event names whose events are counted."""
IDS = 100
"""How many ids are looked up at once."""

Decode = Callable[[Any], object]

_name: Callable[[Event[Raw]], str] = attrgetter("_name")


def _look_at(payload: object) -> None:
    """Stand for a decoder that was not looked for yet."""


class LogPass:
    """What was seen of the log so far; `events` is that of a view."""

    def __init__(self, events: EventStore, registry: Registry, report: Report, *, strict: bool) -> None:
        self._events = events
        self._registry = registry
        self._report = report
        self._strict = strict
        self.last = 0
        """The last position that was read."""
        self.firsts = 0
        """The sum of the hashes of the aggregates' first times."""
        self.of_aggregates = 0
        self.names: Counter[str] = Counter()
        self.unreadable = 0
        self._decoders: dict[tuple[str, str, int], Decode | None] = {}
        self._versions = 0
        self._recent: dict[int, int] = {}
        """The last versions of aggregates that were seen lately, by the hash of each."""
        self._sound: set[str | None] = set()
        self._marks = bytearray((1 << BITS) // 8)
        self._suspects: list[UUID] = []

    async def read(self, upto: int, lookup: Callable[[Sequence[Event[Raw]]], Any] | None = None) -> None:
        """Read on, up to a position; an event that cannot be read is a finding, and the others are read all the same."""
        while self.last < upto:
            try:
                pages = self._events.stored(after=self.last, upto=upto)
                while page := await pages.next_page():
                    self._look(page)
                    if lookup is not None:
                        await lookup(page)
                    if len(self._suspects) >= IDS:
                        await self._look_up()
                    self._report.counts["events"] += len(page)
                    self._report.progressed()
                break
            except (CodecError, StoreDamaged) as error:
                position = await self._unreadable(upto, error)
                self.unreadable += 1
                self.last = position
                self._report.wrong(
                    "event-unreadable",
                    f"the event at position {position} cannot be read: {type(error).__name__}: {error}",
                )
        await self._look_up()

    async def _unreadable(self, upto: int, error: Exception) -> int:
        """Return the position of the first event that cannot be read; raise the error if all can be read now."""
        low, high = self.last, upto
        while high - low > 1:
            middle = (low + high) // 2
            if await self._fails(middle):
                high = middle
            else:
                low = middle
        if not await self._fails(high):
            raise error
        return high

    async def _fails(self, upto: int) -> bool:
        try:
            pages = self._events.stored(after=self.last, upto=upto)
            while await pages.next_page():
                pass
        except (CodecError, StoreDamaged):
            return True
        return False

    def _look(self, page: Sequence[Event[Raw]]) -> None:
        wrong, decoders, recent, sound, marks = (
            self._report.wrong, self._decoders, self._recent, self._sound, self._marks,
        )  # fmt: skip
        self._positions([event._position for event in page])
        of_aggregates = 0
        for event in page:
            position, ref, version = event._position, event._aggregate, event._version
            if ref is None:
                if version:
                    wrong("version-alone", f"the event at position {position} has version {version} of no aggregate")
            elif version < 1:
                wrong("version-wrong", f"the event at position {position} has version {version} of {ref}")
            else:
                of_aggregates += 1
                of = hash(ref)
                if recent.get(of) != version - 1:
                    self._begins(event, ref, of)
                recent[of] = version
            id, time, metadata, tags = event._id, event._time, event._metadata, event._tags
            try:
                if type(id) is not bytes or type(time) is not int or len(id) != 16 or not FIRST <= time <= LAST:
                    id = event.id.bytes  # which say what is wrong, if something is
                    _ = event.time
                number = hash(id)
                at, bit = (number >> 3) & MASK, 1 << (number & 7)
                if marks[at] & bit:
                    self._suspects.append(UUID(bytes=id))
                else:
                    marks[at] |= bit
                if metadata is not None and (type(metadata) is not str or metadata not in sound):
                    self._metadata(event)
                if tags is not None and (type(tags) is not str or tags not in sound):
                    self._tags(event)
            except (GoesError, ValueError, TypeError, AttributeError) as error:
                what = f"the event at position {position} cannot be read: {type(error).__name__}: {error}"
                wrong("field-unreadable", what)
            try:
                key = (event._name, event._encoding, event._schema)
                decode = decoders.get(key, _look_at)
                if decode is _look_at:
                    decode = self._decoder(event)
                if decode is not None:
                    decode(event._payload)
            except Exception as error:  # noqa: BLE001 - upcasters are code of the program
                of_what = f" of {event._aggregate}" if event._aggregate else ""
                what = f"the event {event._name!r}{of_what} at position {position} cannot be decoded"
                wrong("payload-unreadable", f"{what}: {type(error).__name__}: {error}")
        self.of_aggregates += of_aggregates
        self.names.update(map(_name, page))

    def _positions(self, positions: list[int]) -> None:
        if positions[0] <= self.last or positions != sorted({*positions}):
            for position in positions:
                if position <= self.last:
                    self._report.wrong("position-order", f"position {position} follows position {self.last}")
                self.last = max(self.last, position)
        self.last = max(self.last, positions[-1])

    def _begins(self, event: Event[Raw], ref: AggregateRef, of: int) -> None:
        """Take up an aggregate that was not seen lately, or whose version is not the next one."""
        before, version = self._recent.get(of), event._version
        if before is not None:
            what = f"version {version} of {ref} is at position {event._position}, after version {before}"
            self._report.wrong("version-order", what)
            self._versions += hash((of, before))
        elif len(self._recent) >= RECENT:
            self._versions += self._of_recent()
            self._recent.clear()
        if version > 1:
            self._versions -= hash((of, version - 1))
        else:
            with suppress(GoesError, TypeError):  # a time that cannot be, which is a finding of its own
                self.firsts += hash((of, time_micros(event)))

    @property
    def versions(self) -> int:
        """The sum of the hashes of the aggregates' last versions."""
        return self._versions + self._of_recent()

    def _of_recent(self) -> int:
        return sum([hash(last) for last in self._recent.items()])

    def _metadata(self, event: Event[Raw]) -> None:
        metadata = event.metadata
        text = metadata_json(event)
        self._canonical(event, "metadata", text, dict(metadata))
        if not all(isinstance(key, str) and key for key in metadata):
            raise ValueError(f"metadata with the keys {[*metadata]!r:.80}")
        self._remember(text)

    def _tags(self, event: Event[Raw]) -> None:
        for tag in event.tags:
            check_tag(tag)
        text = tags_json(event)
        self._canonical(event, "tags", text, sorted(event.tags))
        self._remember(text)

    def _canonical(self, event: Event[Raw], field: str, text: str | None, value: object) -> None:
        if text is not None and text != json.dumps(value, sort_keys=True, ensure_ascii=False):
            self._report.wrong(
                "field-form",
                f"the {field} of the event at position {event.position} are not in canonical form: {text!r:.120}",
            )

    def _remember(self, text: str | None) -> None:
        if len(self._sound) >= TEXTS:
            self._sound.clear()
        self._sound.add(text)

    def _decoder(self, event: Event[Raw]) -> Decode | None:
        """Return what decodes such events: into today's type if it is registered, else as plain data, if that is possible."""
        name, (encoding, schema, _) = event.name, event.encoded
        key = (name, encoding, schema)
        decode: Decode | None
        try:
            decode = self._registry.decoder(name, encoding, schema)
        except UnknownEventError:
            decode = None
            if self._strict:
                self._report.wrong(
                    "event-unknown",
                    f"the event at position {event.position} has the name {name!r}, which is not registered",
                    "register its type, or make the name an alias of another",
                )
        except (ConfigError, ImportError) as error:
            decode = None
            self._report.note(f"payloads in the encoding {encoding!r} were not decoded: {error}")
        if decode is None:
            check_name(name, "an event name")
            try:
                decode = find_codec(encoding).plain
            except (ConfigError, ImportError) as error:
                self._report.note(f"payloads in the encoding {encoding!r} were not decoded: {error}")
        self._decoders[key] = decode
        return decode

    async def _look_up(self) -> None:
        """Look up ids that may be there twice: most of them only share some bits with another."""
        suspects, self._suspects = self._suspects, []
        for start in range(0, len(suspects), IDS):
            part = {*suspects[start : start + IDS]}
            count = await self._events.count(EventQuery(ids=part))
            if count == len(part) == len(suspects[start : start + IDS]):
                continue
            for id in sorted(part):
                number = await self._events.count(EventQuery(ids=[id]))
                if number != 1 or suspects.count(id) > 1:
                    self._report.wrong("id-twice", f"{max(number, 2)} events have the id {id}")
