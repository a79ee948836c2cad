"""Events that a program does not know, knows under another name or in another shape, or cannot decode."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from goes_lite.codec import FunctionCodec
from goes_lite.contract.backend import PERSISTENT, Backend
from goes_lite.contract.event_store import AppendCondition, Appended
from goes_lite.errors import AppendConditionFailed, DecodeError, DriverMissing, UnknownEventError
from goes_lite.events.event import Event
from goes_lite.events.query import EventQuery
from goes_lite.events.registry import Raw, Registry
from goes_lite_conformance.harness.asserts import refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.samples import A, B, Counted, Noted, count, note, take, texts
from goes_lite_conformance.rule import needs

COUNTED = EventQuery(["sample.counted"])

poorer = Registry()
"""Knows `sample.noted` only."""
poorer.register("sample.noted", Noted)

renamed = Registry()
"""Knows the same events, one of them under a newer name."""
renamed.register("sample.written", Noted, aliases=["sample.noted"])
renamed.register("sample.counted", Counted)


@dataclass(frozen=True)
class Written:
    """The later form of Noted."""

    text: str
    language: str


grown = Registry()
"""Knows `sample.noted` in its second schema."""
grown.register("sample.noted", Written, schema=2)


@grown.upcast("sample.noted", 1)
def add_language(plain: dict[str, Any]) -> dict[str, Any]:
    """Convert the first schema to the second."""
    return {**plain, "language": "en"}


broken = Registry(
    codec=FunctionCodec("json", lambda _: '{"text": 5}', lambda payload, _: Noted(str(payload)), text=True)
)
"""Writes what cannot be decoded: JSON that does not fit the type."""
broken.register("sample.noted", Noted)


@asynccontextmanager
async def unknown_among_known(place: Place, policy: str) -> AsyncGenerator[tuple[Backend, list[Event[Any]]]]:
    """Open a handle that does not know the second (of A) and the fourth of five events; yield it and the events as stored."""
    async with place.open() as db:
        await db.events.append([
            note("1"), count(2, A, 1), note("3", A, 2), count(4), note("5"),
        ])  # fmt: skip
        stored = await db.events.query().list()
    async with place.open(registry=poorer, unknown=policy) as db:
        yield db, stored


class UnknownEventRules(Contract):
    """Rules BE-UNKNOWN."""

    @needs(PERSISTENT)
    async def test_a_query_stops_at_an_unknown_event(self, place: Place) -> None:
        """BE-UNKNOWN-001: By default an unknown name is an error, which names the event and its position.

        It is raised after all events before it, in either direction, and asking again does not skip it.
        """
        async with unknown_among_known(place, "error") as (db, stored):
            for reverse, first, position in ((False, "1", stored[1].position), (True, "5", stored[3].position)):
                pages = db.events.query(reverse=reverse)
                assert await take(pages, 1) == [first]
                for _ in range(2):
                    with refused(UnknownEventError, name="sample.counted", position=position) as caught:
                        await anext(pages)
                    assert 'unknown="skip"' in str(caught.value)
            with refused(UnknownEventError, name="sample.counted", position=stored[1].position):
                await db.events.query(COUNTED).list()

    @needs(PERSISTENT)
    async def test_a_follower_stops_at_an_unknown_event(self, place: Place) -> None:
        """BE-UNKNOWN-002: A follower raises the same error at every call: it must not run past an event that it should handle."""
        async with unknown_among_known(place, "error") as (db, stored):
            following = db.events.follow(after=0)
            assert await take(following, 1) == ["1"]
            for _ in range(2):
                with refused(UnknownEventError, name="sample.counted", position=stored[1].position):
                    await anext(following)

    @needs(PERSISTENT)
    async def test_loading_and_finding_an_unknown_event(self, place: Place) -> None:
        """BE-UNKNOWN-003: Loading an aggregate with an unknown event, and finding one, raises the same error."""
        async with unknown_among_known(place, "error") as (db, stored):
            with refused(UnknownEventError, name="sample.counted", position=stored[1].position):
                await db.events.load(A)
            with refused(UnknownEventError, name="sample.counted", position=stored[3].position):
                await db.events.find(stored[3].id)
            assert [event.data for event in await db.events.load(A, after=1)] == [Noted("3")]

    @needs(PERSISTENT)
    async def test_there_is_a_way_round_an_unknown_event(self, place: Place) -> None:
        """BE-UNKNOWN-004: A reader that does not ask for the event, or starts after it, is not stopped."""
        async with unknown_among_known(place, "error") as (db, stored):
            assert await texts(db, EventQuery(["sample.noted"])) == ["1", "3", "5"]
            assert await texts(db, after=stored[3].position) == ["5"]
            assert await take(db.events.follow(EventQuery(["sample.noted"]), after=0), 3) == ["1", "3", "5"]

    @needs(PERSISTENT)
    async def test_counting_needs_no_types(self, place: Place) -> None:
        """BE-UNKNOWN-005: Counts, heads and versions are those of the store, whatever a reader knows and its policy."""
        async with place.open() as db:
            await db.events.append([note("1"), count(2, A, 1), note("3", A, 2), count(4)])
            head, aggregates = await db.events.head(), await db.events.aggregates().list()
        for policy in ("error", "skip", "raw"):
            async with place.open(registry=poorer, unknown=policy) as db:
                assert (await db.events.count(), await db.events.count(COUNTED)) == (4, 2)
                assert (await db.events.head(), await db.events.aggregates().list()) == (head, aggregates)

    @needs(PERSISTENT)
    async def test_queries_skip(self, place: Place) -> None:
        """BE-UNKNOWN-006: With "skip", a query leaves unknown events out; its limit counts the events that it returns."""
        async with unknown_among_known(place, "skip") as (db, stored):
            assert await texts(db) == ["1", "3", "5"]
            assert await texts(db, limit=2) == ["1", "3"]
            assert await texts(db, limit=2, reverse=True) == ["5", "3"]
            assert await texts(db, after=stored[2].position, limit=1) == ["5"]
            assert await db.events.query(COUNTED).list() == []

    @needs(PERSISTENT)
    async def test_finding_and_following_skip(self, place: Place) -> None:
        """BE-UNKNOWN-007: With "skip", `find` returns None for an unknown event, and followers run past it."""
        async with unknown_among_known(place, "skip") as (db, stored):
            assert await db.events.find(stored[1].id) is None
            assert await db.events.find(stored[2].id) == stored[2]
            following = db.events.follow(after=0)
            assert await take(following, 3) == ["1", "3", "5"]
            await db.events.append([note("6")])
            assert await take(following, 1) == ["6"]

    @needs(PERSISTENT)
    async def test_a_long_run_of_skipped_events_ends_nothing(self, place: Place) -> None:
        """BE-UNKNOWN-008: However many unknown events lie between two known ones, a reader that skips gets both.

        A page may be empty without being the last.
        """
        async with place.open() as db:
            await db.events.append([note("first"), *(count(number) for number in range(2500)), note("last")])
        async with place.open(registry=poorer, unknown="skip") as db:
            assert await texts(db) == ["first", "last"]
            assert await texts(db, reverse=True) == ["last", "first"]
            assert await texts(db, limit=2) == ["first", "last"]
            assert await take(db.events.follow(after=0), 2) == ["first", "last"]

    @needs(PERSISTENT)
    async def test_an_aggregate_has_no_gaps(self, place: Place) -> None:
        """BE-UNKNOWN-009: With "skip", an aggregate is still loaded whole, its unknown events with Raw data.

        With a gap in its versions it could never be saved again.
        """
        async with unknown_among_known(place, "skip") as (db, _):
            loaded = await db.events.load(A)
            assert [(event.version, type(event.data)) for event in loaded] == [(1, Raw), (2, Noted)]
            await db.events.append([note("next", A, 3)])

    @needs(PERSISTENT)
    async def test_unknown_events_can_be_read_raw(self, place: Place) -> None:
        """BE-UNKNOWN-010: With "raw", unknown events are read as stored, in every way: name, encoding, schema and payload."""
        async with unknown_among_known(place, "raw") as (db, stored):
            log = await db.events.query().list()
            assert [event.name for event in log] == [event.name for event in stored]
            raw = log[1].data
            assert isinstance(raw, Raw)
            assert (raw.name, raw.encoding, raw.schema) == ("sample.counted", "json", 1)
            assert raw.plain() == {"number": 2}
            assert (await db.events.load(A))[0].data == raw
            found = await db.events.find(stored[1].id)
            assert found is not None
            assert found.data == raw
            following = db.events.follow(COUNTED, after=0)
            assert [(await anext(following)).position for _ in range(2)] == [stored[1].position, stored[3].position]

    @needs(PERSISTENT)
    async def test_raw_events_are_the_same_events(self, place: Place) -> None:
        """BE-UNKNOWN-011: Appending events that were read raw is recognised as a retry.

        So a program that does not know the events of a log can copy it.
        """
        async with unknown_among_known(place, "raw") as (db, stored):
            positions = tuple(event.position for event in stored)
            assert await db.events.append(await db.events.query().list()) == Appended(positions, already_committed=True)

    @needs(PERSISTENT)
    async def test_a_renamed_event_is_read_under_its_new_name(self, place: Place) -> None:
        """BE-UNKNOWN-012: An event that is stored under an alias is read under its current name, by every way of reading."""
        async with place.open() as db:
            await db.events.append([note("old", A, 1)])
        async with place.open(registry=renamed) as db:
            event = (await db.events.load(A))[0]
            assert (event.name, event.data) == ("sample.written", Noted("old"))
            assert [one.name for one in await db.events.query().list()] == ["sample.written"]
            found = await db.events.find(event.id)
            assert found is not None
            assert found.name == "sample.written"
            assert (await anext(db.events.follow(after=0))).name == "sample.written"

    @needs(PERSISTENT)
    async def test_a_renamed_event_is_found_by_its_new_name(self, place: Place) -> None:
        """BE-UNKNOWN-013: Queries, counts, followers and conditions on the new name include events under the old one."""
        async with place.open() as db:
            await db.events.append([note("old", A, 1, tags=["t:1"]), count(1)])
        new = EventQuery(["sample.written"])
        async with place.open(registry=renamed) as db:
            newest = await db.events.append([Event(Noted("new"), aggregate=A, version=2, registry=renamed)])
            assert await texts(db, new) == ["old", "new"]
            assert await texts(db, new, reverse=True, limit=1) == ["new"]
            assert await texts(db, EventQuery(["sample.written"], tags=["t:1"])) == ["old"]
            assert await texts(db, EventQuery(["sample.written", "other.closed"])) == ["old", "new"]
            assert await db.events.count(new) == 2
            assert await take(db.events.follow(new, after=0), 2) == ["old", "new"]
            guarded = [Event(Counted(2), registry=renamed)]
            with refused(AppendConditionFailed, position=newest.position):
                await db.events.append(guarded, condition=AppendCondition(new, after=newest.position - 1))
        async with place.open(registry=renamed) as db:
            assert await db.events.delete(A) == 2
            await db.events.append([Event(Noted("only"), registry=poorer)])
            with refused(AppendConditionFailed):
                await db.events.append(guarded, condition=AppendCondition(new))

    @needs(PERSISTENT)
    async def test_old_schemas_are_upcast_when_they_are_read(self, place: Place) -> None:
        """BE-UNKNOWN-014: An event stored in an old schema is read as the current type, by every way of reading."""
        async with place.open() as db:
            await db.events.append([note("hello", A, 1)])
        expected = Written("hello", "en")
        async with place.open(registry=grown) as db:
            event = (await db.events.load(A))[0]
            found = await db.events.find(event.id)
            assert found is not None
            queried, followed = (await db.events.query().list())[0], await anext(db.events.follow(after=0))
            assert [one.data for one in (event, found, queried, followed)] == [expected] * 4

    @needs(PERSISTENT)
    async def test_reading_changes_nothing_that_is_stored(self, place: Place) -> None:
        """BE-UNKNOWN-015: Renaming and upcasting change nothing stored: retries are recognised, old programs still read it."""
        async with place.open() as db:
            first = await db.events.append([note("hello", A, 1)])
        for registry in (renamed, grown):
            async with place.open(registry=registry) as db:
                event = (await db.events.load(A))[0]
                assert event.encoded.schema == 1
                assert await db.events.append([event]) == Appended(first.positions, already_committed=True)
        async with place.open() as db:
            loaded = await db.events.load(A)
            assert [(event.name, event.data) for event in loaded] == [("sample.noted", Noted("hello"))]

    @needs(PERSISTENT)
    async def test_a_newer_schema_is_an_error(self, place: Place) -> None:
        """BE-UNKNOWN-016: An event that a newer program wrote in a schema unknown to this one raises DecodeError."""
        async with place.open(registry=grown) as db:
            written = Event(Written("hello", "en"), aggregate=A, version=1, registry=grown)
            position = (await db.events.append([written])).position
        async with place.open() as db:
            for read in (db.events.query().list, lambda: db.events.load(A)):
                with refused(DecodeError, name="sample.noted", position=position):
                    await read()

    async def test_what_cannot_be_decoded_is_an_error_with_its_position(self, db: Backend) -> None:
        """BE-UNKNOWN-017: A payload that does not fit its type raises DecodeError with name and position, however it is read.

        It is raised after all events before it, and asking again does not skip it.
        """
        bad = Event(Noted("bad"), aggregate=A, version=2, registry=broken)
        await db.events.append([note("x", A, 1)])
        position = (await db.events.append([bad])).position
        await db.events.append([note("y", A, 3)])
        for pages in (db.events.query(), db.events.follow(after=0)):
            assert await take(pages, 1) == ["x"]
            for _ in range(2):
                with refused(DecodeError, name="sample.noted", position=position):
                    await anext(pages)
        for read in (lambda: db.events.load(A), lambda: db.events.find(bad.id)):
            with refused(DecodeError, name="sample.noted", position=position):
                await read()

    async def test_there_is_a_way_round_what_cannot_be_decoded(self, db: Backend) -> None:
        """BE-UNKNOWN-018: Readers, followers and writers can continue after an event that cannot be decoded."""
        await db.events.append([note("x", A, 1)])
        bad = (await db.events.append([Event(Noted("bad"), aggregate=A, version=2, registry=broken)])).position
        await db.events.append([note("y", A, 3), note("z", B, 1)])
        assert await texts(db, after=bad) == ["y", "z"]
        assert await take(db.events.follow(after=bad), 2) == ["y", "z"]
        assert [event.version for event in await db.events.load(A, after=2)] == [3]
        assert await db.events.count() == 4

    async def test_one_log_holds_several_encodings(self, place: Place) -> None:
        """BE-UNKNOWN-019: Each event is decoded with the encoding that it was written in; text stays text, bytes stay bytes."""
        own = FunctionCodec(
            "reversed", lambda value: value.text[::-1].encode(), lambda payload, _: Noted(bytes(payload).decode()[::-1])
        )
        both, plain = Registry(codec=own), Registry()
        both.register("sample.noted", Noted)
        plain.register("sample.noted", Noted)
        writers = [plain, both, plain]
        try:
            writers.append(Registry(codec="msgpack"))
        except DriverMissing:
            pass  # it is optional
        else:
            writers[-1].register("sample.noted", Noted)
        async with place.open(registry=both) as db:
            for writer in writers:
                await db.events.append([Event(Noted("é\0-1"), registry=writer), Event(Noted("2"), registry=writer)])
            log = await db.events.query().list()
            assert [event.data.text for event in log] == ["é\0-1", "2"] * len(writers)
            assert [event.encoded.encoding for event in log[::2]] == [writer.codec.name for writer in writers]
            assert [type(event.encoded.payload) for event in log[:6:2]] == [str, bytes, str]
            assert (await db.events.append(log)).already_committed
