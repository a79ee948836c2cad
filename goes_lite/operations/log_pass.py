"""One pass over the log, as it is stored, in memory that does not grow with it.

Rule of this file: every event passes through `LogPass._look`, at a few microseconds each. What needs a look-up in the store is
done for some events only, see `lookups`.

**Versions.** To check that each aggregate has the versions 1, 2, 3, … a dictionary of all aggregates would do, but not in
constant memory. Instead, sums of hashes are compared: each event adds the hash of its aggregate and version, and subtracts
that of the version before. If no version is missing or there twice, only the last one of each aggregate remains, and the sum
is that of the versions that the store lists.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from goes_lite.codec import codec as find_codec
from goes_lite.contract.backend import Backend
from goes_lite.errors import CodecError, ConfigError, GoesError, StoreDamaged, UnknownEventError
from goes_lite.events.event import Event, metadata_json, tags_json, time_micros
from goes_lite.events.fields import AggregateRef, check_name, check_tag, to_micros
from goes_lite.events.query import EventQuery
from goes_lite.events.registry import Raw, Registry
from goes_lite.operations.reporting import Report

BITS = 27
"""Ids are marked in a table of 2 ** BITS bits (16 MiB); one whose bit is marked already is looked up."""
MASK = (1 << BITS) - 1
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


class LogPass:
    """What was seen of the log so far."""

    def __init__(self, db: Backend, report: Report, *, strict: bool) -> None:
        self._db = db
        self._report = report
        self._strict = strict
        self.last = 0
        """The last position that was read."""
        self.versions = 0
        """The sum of the hashes of the aggregates' last versions."""
        self.firsts = 0
        """The sum of the hashes of the aggregates' first times."""
        self.of_aggregates = 0
        self.names: Counter[str] = Counter()
        self.unreadable = 0
        self._decoders: dict[tuple[str, str, int], Decode | None] = {}
        self._recent: dict[AggregateRef, int] = {}
        self._sound: set[str | None] = {None}
        self._marks = bytearray((1 << BITS) // 8)
        self._suspects: list[UUID] = []

    async def read(self, upto: int, lookup: Callable[[Sequence[Event[Raw]]], Any] | None = None) -> None:
        """Read on, up to a position; an event that cannot be read is a finding, and the others are read all the same."""
        while self.last < upto:
            try:
                pages = self._db.events.stored(after=self.last, upto=upto)
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
            pages = self._db.events.stored(after=self.last, upto=upto)
            while await pages.next_page():
                pass
        except (CodecError, StoreDamaged):
            return True
        return False

    def _look(self, page: Sequence[Event[Raw]]) -> None:
        wrong = self._report.wrong
        for event in page:
            position = event._position
            if position <= self.last:
                wrong("position-order", f"position {position} follows position {self.last}")
            else:
                self.last = position
            if event._aggregate is not None:
                self._version(event, event._aggregate)
            elif event._version:
                wrong("version-alone", f"the event at position {position} has version {event._version} of no aggregate")
            try:
                self._fields(event)
            except (GoesError, ValueError, TypeError, AttributeError) as error:
                what = f"the event at position {position} cannot be read: {type(error).__name__}: {error}"
                wrong("field-unreadable", what)
            key = (event._name, event._encoding, event._schema)
            self.names[event._name] += 1
            try:
                decode = self._decoders[key] if key in self._decoders else self._decoder(event)
                if decode is not None:
                    decode(event._payload)
            except Exception as error:  # noqa: BLE001 - upcasters are code of the program
                of = f" of {event._aggregate}" if event._aggregate else ""
                what = f"the event {event._name!r}{of} at position {position} cannot be decoded"
                wrong("payload-unreadable", f"{what}: {type(error).__name__}: {error}")

    def _version(self, event: Event[Raw], ref: AggregateRef) -> None:
        version, recent = event._version, self._recent
        if version < 1:
            what = f"the event at position {event._position} has version {version} of {ref}"
            self._report.wrong("version-wrong", what)
            return
        of = hash(ref)
        before = recent.get(ref)
        self.of_aggregates += 1
        if version > 1:
            self.versions += hash((of, version)) - hash((of, version - 1))
        else:
            self.versions += hash((of, 1))
            self.firsts += hash((of, time_micros(event)))
        if before is not None and version != before + 1:
            what = f"version {version} of {ref} is at position {event._position}, after version {before}"
            self._report.wrong("version-order", what)
        elif len(recent) >= RECENT:
            recent.clear()
        recent[ref] = version

    def _fields(self, event: Event[Raw]) -> None:
        id, time, marks = event._id, event._time, self._marks
        if type(id) is not bytes or type(time) is not int or len(id) != 16 or not FIRST <= time <= LAST:
            id = event.id.bytes  # which say what is wrong, if something is
            _ = event.time
        number = int.from_bytes(id[-4:], "big") & MASK
        at, bit = number >> 3, 1 << (number & 7)
        if marks[at] & bit:
            self._suspects.append(UUID(bytes=id))
        else:
            marks[at] |= bit
        metadata, tags, sound = event._metadata, event._tags, self._sound
        if metadata is not None and (type(metadata) is not str or metadata not in sound):
            self._metadata(event)
        if tags is not None and (type(tags) is not str or tags not in sound):
            self._tags(event)

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
            self._sound = {None}
        self._sound.add(text)

    def _decoder(self, event: Event[Raw]) -> Decode | None:
        """Return what decodes such events: into today's type if it is registered, else as plain data, if that is possible."""
        name, (encoding, schema, _) = event.name, event.encoded
        key = (name, encoding, schema)
        registry: Registry = self._db.registry
        decode: Decode | None
        try:
            decode = registry.decoder(name, encoding, schema)
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
            count = await self._db.events.count(EventQuery(ids=part))
            if count == len(part) == len(suspects[start : start + IDS]):
                continue
            for id in sorted(part):
                number = await self._db.events.count(EventQuery(ids=[id]))
                if number != 1 or suspects.count(id) > 1:
                    self._report.wrong("id-twice", f"{max(number, 2)} events have the id {id}")
