"""Unknown names, aliases, old versions and encodings in a log, on every face and driver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pytest

from goes_lite.codec import FunctionCodec
from goes_lite.errors import (
    AppendConditionFailed,
    ConfigError,
    DecodeError,
    DriverMissing,
    InvalidQueryError,
    UnknownEventError,
)
from goes_lite.event import AggregateRef, Event
from goes_lite.query import EventQuery
from goes_lite.registry import Raw, Registry
from goes_lite.store import AppendCondition, Appended

if TYPE_CHECKING:
    from tests.backends.events_kit import A, take, texts
    from tests.backends.faces import Counted, Noted, Place, count, note
else:
    from events_kit import A, take, texts
    from faces import Counted, Noted, Place, count, note


async def unknown_among_known(place: Place) -> tuple[Registry, AggregateRef]:
    """A log of: known, unknown of A, known of A, unknown, known; and a registry that knows no `counted`."""
    async with place.open() as db:
        await db.events.append([
            note("1"), count(2, aggregate=A, version=1), note("3", A, 2), count(4), note("5"),
        ])  # fmt: skip
    poorer = Registry()
    poorer.register("noted", Noted)
    return poorer, A


async def test_unknown_names_are_errors_by_default(file: Place) -> None:
    """UnknownEventError names the event and its position; what lies before it is given out, wherever a page ends."""
    poorer, ref = await unknown_among_known(file)
    async with file.open(registry=poorer) as db:
        for attempt in (
            db.events.query().list,
            lambda: db.events.load(ref),
            lambda: db.events.query(reverse=True, upto=4).list(),
        ):
            with pytest.raises(UnknownEventError) as caught:
                await attempt()
            assert caught.value.name == "counted"
        for pages in (db.events.query(), db.events.follow(after=0)):
            assert (await anext(pages)).data == Noted("1")
            for _ in range(2):  # asking again does not skip it
                with pytest.raises(UnknownEventError) as caught:
                    await anext(pages)
                assert (caught.value.name, caught.value.position) == ("counted", 2)
        backwards = db.events.query(reverse=True)
        assert (await anext(backwards)).data == Noted("5")
        with pytest.raises(UnknownEventError) as caught:
            await anext(backwards)
        assert caught.value.position == 4
        with pytest.raises(UnknownEventError):
            await db.events.load(ref)
        assert await texts(db, EventQuery(["noted"])) == ["1", "3", "5"]
        with pytest.raises(UnknownEventError):
            await db.events.query(EventQuery(["counted"])).list()
        assert await db.events.count() == 5


async def test_unknown_names_can_be_skipped(file: Place) -> None:
    """Left out of queries, follow and find; `limit` counts what is given out; an aggregate keeps them as Raw."""
    poorer, ref = await unknown_among_known(file)
    async with file.open(registry=poorer, unknown="skip") as db:
        assert await texts(db) == ["1", "3", "5"]
        assert await texts(db, limit=2) == ["1", "3"]
        assert await texts(db, limit=2, reverse=True) == ["5", "3"]
        assert await texts(db, after=3, limit=1) == ["5"]
        following = db.events.follow(after=0)
        assert await take(following, 3) == ["1", "3", "5"]
        kinds = [(event.version, event.data.__class__.__name__) for event in await db.events.load(ref)]
        assert kinds == [(1, "Raw"), (2, "Noted")]
        with file.second() as other:
            unknown = other.events.query(EventQuery(["counted"])).list()
        assert await db.events.find(unknown[0].id) is None
        assert await db.events.query(EventQuery(["counted"])).list() == []


async def test_a_log_of_skipped_events_does_not_end_a_query(file: Place) -> None:
    """Pages with nothing but unknown events are read over, both ways and by followers."""
    async with file.open() as db:
        await db.events.append([note("first"), *(count(number) for number in range(2500)), note("last")])
    poorer = Registry()
    poorer.register("noted", Noted)
    async with file.open(registry=poorer, unknown="skip") as db:
        assert await texts(db) == ["first", "last"]
        assert await texts(db, reverse=True) == ["last", "first"]
        assert await texts(db, limit=2) == ["first", "last"]
        assert await take(db.events.follow(after=0), 2) == ["first", "last"]


async def test_unknown_names_can_be_read_raw(file: Place) -> None:
    """With Raw data: name, encoding, schema and payload as stored; what is raw can be appended again as a retry."""
    poorer, ref = await unknown_among_known(file)
    async with file.open(registry=poorer, unknown="raw") as db:
        log = await db.events.query().list()
        assert [event.name for event in log] == ["noted", "counted", "noted", "counted", "noted"]
        raw = cast(Raw, log[1].data)
        assert (raw.name, raw.encoding, raw.schema, raw.plain()) == ("counted", "json", 1, {"number": 2})
        assert (await db.events.load(ref))[0].data == raw
        assert await db.events.find(log[1].id) == log[1]
        following = db.events.follow(EventQuery(["counted"]), after=0)
        assert [(await anext(following)).position for _ in range(2)] == [2, 4]
        assert await db.events.append(log) == Appended((1, 2, 3, 4, 5), already_committed=True)


async def test_damaged_data_is_a_decode_error_with_its_position(place: Place) -> None:
    """It names the event and position, and comes behind what can be read."""
    strict = Registry()
    strict.register("noted", Noted)
    loose = Registry(
        codec=FunctionCodec("json", lambda _: '{"text": 5}', lambda payload, _: Noted(str(payload)), text=True)
    )
    loose.register("noted", Noted)
    async with place.open(registry=strict) as db:
        await db.events.append([note("x"), Event(Noted("broken"), registry=loose), note("y")])
        pages = db.events.query()
        assert (await anext(pages)).data == Noted("x")
        with pytest.raises(DecodeError) as caught:
            await anext(pages)
        assert (caught.value.name, caught.value.position) == ("noted", 2)
        assert await texts(db, after=2) == ["y"]


async def test_old_names_are_found_by_the_new_name(file: Place) -> None:
    """A renamed event is read, queried, counted, followed and guarded by conditions under its new name."""
    async with file.open() as db:
        await db.events.append([note("old", A, 1, tags=["t:1"]), count(1)])
    renamed = Registry()
    renamed.register("written-down", Noted, aliases=["noted"])
    renamed.register("counted", Counted)
    new = EventQuery(["written-down"])
    async with file.open(registry=renamed) as db:
        await db.events.append([Event(Noted("new"), aggregate=A, version=2, registry=renamed)])
        assert [event.name for event in await db.events.load(A)] == ["written-down", "written-down"]
        assert await texts(db, new) == ["old", "new"]
        assert await texts(db, new, reverse=True, limit=1) == ["new"]
        assert await texts(db, EventQuery(["written-down", "closed"])) == ["old", "new"]
        assert await texts(db, EventQuery(["written-down"], tags=["t:1"])) == ["old"]
        assert await db.events.count(new) == 2
        assert await take(db.events.follow(new, after=0), 2) == ["old", "new"]
        with pytest.raises(AppendConditionFailed) as caught:
            await db.events.append([Event(Counted(2), registry=renamed)], condition=AppendCondition(new, 1))
        assert caught.value.position == 3
        old = (await db.events.query(limit=1).list())[0]
        assert await db.events.append([old]) == Appended((1,), already_committed=True)
        former = EventQuery(["noted"])
        calls = (db.events.query(former).list, db.events.follow(former, after=0).next_page)
        for refused in (*calls, lambda: db.events.count(former)):
            with pytest.raises(InvalidQueryError, match="'noted' is a former name"):
                await refused()
        with pytest.raises(InvalidQueryError, match="'noted' is a former name"):
            await db.events.append([count(2)], condition=AppendCondition(former))


async def test_old_schemas_are_upcast_when_they_are_read(file: Place) -> None:
    """By load, query, find and follow; the stored bytes stay as they were."""

    @dataclass(frozen=True)
    class Written:
        text: str
        language: str

    async with file.open() as db:
        await db.events.append([note("hello", A, 1)])
    today = Registry()
    today.register("noted", Written, schema=2)

    @today.upcast("noted", 1)
    def add_language(plain: dict[str, Any]) -> dict[str, Any]:
        return {**plain, "language": "en"}

    expected = Written("hello", "en")
    async with file.open(registry=today) as db:
        event = (await db.events.load(A))[0]
        assert event.data == expected
        assert (await db.events.query().list())[0].data == expected
        found = await db.events.find(event.id)
        assert found is not None
        assert found.data == expected
        assert (await anext(db.events.follow(after=0))).data == expected
        assert event.encoded.schema == 1
        assert await db.events.append([event]) == Appended((1,), already_committed=True)
    with file.second() as other:
        assert other.events.load(A)[0].data == Noted("hello")


async def test_one_log_holds_several_encodings(place: Place) -> None:
    """json, msgpack and a codec of one's own, side by side, read by one registry; text stays text, bytes stay bytes."""
    own = FunctionCodec(
        "reversed", lambda value: value.text[::-1].encode(), lambda payload, _: Noted(bytes(payload).decode()[::-1])
    )
    mixed = Registry(codec=own)
    mixed.register("noted", Noted)
    codecs: list[Any] = ["json", own]
    try:
        Registry(codec="msgpack")
    except DriverMissing:
        pass
    else:
        codecs.insert(1, "msgpack")
    async with place.open(registry=mixed) as db:
        for codec in codecs:
            writer = Registry(codec=codec)
            writer.register("noted", Noted)
            await db.events.append([Event(Noted(f"{number}-é\0"), registry=writer) for number in range(3)])
        log = await db.events.query().list()
        assert [event.data.text for event in log] == [f"{number}-é\0" for number in range(3)] * len(codecs)
        encodings = [event.encoded.encoding for event in log[::3]]
        assert encodings == (["json", "msgpack", "reversed"] if len(codecs) == 3 else ["json", "reversed"])
        assert isinstance(log[0].encoded.payload, str)
        assert isinstance(log[-1].encoded.payload, bytes)
        assert (await db.events.append(log)).already_committed


async def test_an_unknown_policy_is_refused(place: Place) -> None:
    """ConfigError for anything but error, skip and raw."""
    with pytest.raises(ConfigError, match="unknown="):
        async with place.open(unknown="ignore"):
            raise AssertionError("opened")
