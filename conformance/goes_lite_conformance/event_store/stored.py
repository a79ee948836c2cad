"""Reading events as they are stored: for digests, verification and copies, which need no application code."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from hashlib import sha256
from typing import Any
from uuid import UUID

from goes_lite.codec import FunctionCodec
from goes_lite.contract.backend import PERSISTENT, TRANSACTIONS, Backend, Unknown
from goes_lite.errors import InvalidQueryError
from goes_lite.events.event import Event
from goes_lite.events.registry import Raw, Registry
from goes_lite.operations import event_hash
from goes_lite_conformance.harness.asserts import refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.samples import NOON, A, Noted, count, note, story
from goes_lite_conformance.rule import needs

BINARY = FunctionCodec("binary", bytes, lambda payload, _: bytes(payload))
POLICIES: tuple[Unknown, ...] = ("error", "skip", "raw")


def fields(events: Sequence[Event[Any]]) -> list[tuple[Any, ...]]:
    """Return everything that is stored of the events."""
    return [
        (
            one.position,
            one.id,
            one.name,
            one.encoded,
            one.time,
            one.aggregate,
            one.version,
            dict(one.metadata),
            one.tags,
        )
        for one in events
    ]


class StoredRules(Contract):
    """Rules ES-STORED."""

    async def test_every_field_is_returned_as_stored(self, db: Backend) -> None:
        """ES-STORED-001: All events are returned in position order with every field, their data as `Raw`."""
        await db.events.append([
            note("é\0", A, 1, metadata={"b": "2", "a": "é"}, tags=["k:2", "k:1"], time=NOON), count(7), note("", A, 2),
        ])  # fmt: skip
        found = await db.events.stored().list()
        assert fields(found) == fields(await db.events.query().list())
        for event in found:
            assert event.data == Raw(event.name, *event.encoded)

    async def test_nothing_is_decoded(self, place: Place) -> None:
        """ES-STORED-002: Payloads are returned byte for byte, whether or not they can be decoded, in any encoding."""
        own = Registry(codec=BINARY)
        own.register("sample.noted", bytes)
        broken = FunctionCodec("json", lambda _: '{"text": 5} ', lambda payload, _: Noted(str(payload)), text=True)
        wrong = Registry(codec=broken)
        wrong.register("sample.noted", Noted)
        events = [Event(b"\xff\0", registry=own, name="sample.noted"), Event(Noted(), registry=wrong), note("fine")]
        async with place.open() as db:
            await db.events.append(events)
            payloads = [event.encoded.payload for event in await db.events.stored().list()]
            assert payloads == [b"\xff\0", '{"text": 5} ', events[2].encoded.payload]

    @needs(PERSISTENT)
    async def test_the_registry_does_not_matter(self, place: Place) -> None:
        """ES-STORED-003: Names are those that were stored, whatever the registry says and however unknown names are treated."""
        async with place.open() as db:
            await db.events.append([note("1", A, 1), count(2), note("3", A, 2)])
            expected = fields(await db.events.stored().list())
        renamed = Registry()
        renamed.register("sample.written", Noted, aliases=["sample.noted"])
        for registry in (renamed, Registry()):
            for policy in POLICIES:
                async with place.open(registry=registry, unknown=policy) as db:
                    assert fields(await db.events.stored().list()) == expected
        assert [name for _, _, name, *_ in expected] == ["sample.noted", "sample.counted", "sample.noted"]

    async def test_windows_over_pages(self, db: Backend) -> None:
        """ES-STORED-004: It yields exactly the events with after < position ≤ upto, across all pages, in constant memory."""
        await db.events.append([note(str(n)) for n in range(2500)])
        at = [event.position for event in await db.events.query().list()]
        for after, upto in ((0, 2500), (0, 1), (63, 65), (1000, 2047), (2499, 2500), (7, 7), (9, 3)):
            low, high = at[after - 1] if after else 0, at[upto - 1]
            found = await db.events.stored(after=low, upto=high).list()
            assert [event.position for event in found] == at[after:upto]
        assert await db.events.stored(after=at[-1]).list() == []
        assert await db.events.stored(after=2**70).list() == []
        pages = db.events.stored()
        first = await pages.next_page()
        assert 0 < len(first) < 2500
        await db.events.append([note("later")])
        assert len(first) + len(await pages.list()) == 2500  # the end is the head as of the first page

    async def test_wrong_windows_are_refused(self, db: Backend) -> None:
        """ES-STORED-005: A window that is no pair of numbers ≥ 0 raises InvalidQueryError."""
        values: tuple[Any, ...] = (-1, 1.0, "1", True)
        for value in values:
            with refused(InvalidQueryError):
                await db.events.stored(after=value).list()
            with refused(InvalidQueryError):
                await db.events.stored(upto=value).list()

    @needs(TRANSACTIONS)
    async def test_inside_a_transaction(self, db: Backend) -> None:
        """ES-STORED-006: Inside a transaction it sees the transaction's own events, which nobody else does."""
        await db.events.append(story(A, 2))
        async with db.transaction() as tx:
            await tx.events.append(story(A, 1, after=2))
            assert [event.version for event in await tx.events.stored().list()] == [1, 2, 3]

    async def test_equal_events_have_one_hash(self, place: Place) -> None:
        """ES-STORED-007: The canonical hash of an event is the same on every backend, to the last bit of every field."""
        own = Registry(codec=BINARY)
        own.register("sample.blob", bytes)
        text = FunctionCodec("json", str, lambda payload, _: payload, text=True)
        verbatim = Registry(codec=text)
        verbatim.register("sample.verbatim", str)
        ids = iter(UUID(int=n) for n in range(1, 9))
        events = [
            note(
                "tea é\0😀",
                A,
                1,
                id=next(ids),
                time=NOON,
                metadata={"é": "2", "actor": "me\0", "B": ""},
                tags=["k:2", "k:1"],
            ),
            note("", A, 2, id=next(ids), time=datetime.min.replace(tzinfo=timezone.utc)),
            Event(bytes(range(256)), registry=own, name="sample.blob", id=next(ids), time=NOON, tags=["é:ß"]),
            Event(b"", registry=own, name="sample.blob", id=next(ids), time=datetime.max.replace(tzinfo=timezone.utc)),
            Event(
                ' {"b": 1.0, "a" : [1e2, "\\u00e9"]} ',
                registry=verbatim,
                name="sample.verbatim",
                id=next(ids),
                time=NOON,
            ),
            Event(
                "", registry=verbatim, name="sample.verbatim", aggregate=("é", "ß"), version=1, id=next(ids), time=NOON
            ),
        ]
        async with place.open() as db:
            await db.events.append(events)
            hashes = [event_hash(event) for event in await db.events.stored().list()]
        assert (
            sha256(b"".join(hashes)).hexdigest() == "f56d7681338aac39525017e47c06d083ac547431a565a908162ec5823a5840f8"
        )
