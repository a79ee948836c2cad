"""Awkward data: whatever an event holds is read back unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from goes_lite.codec import FunctionCodec
from goes_lite.contract.backend import PERSISTENT, Backend
from goes_lite.events.event import Event
from goes_lite.events.registry import Registry
from goes_lite_conformance.harness.asserts import same
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.samples import CONFUSABLE, NOON, A, Closed, count, note, registry
from goes_lite_conformance.rule import needs

TEXTS = (
    "", " ", "é", "e\u0301", "日本語", "שלום, עולם", "مرحبا", "ไทย", "Ⅷ①²", "😀", "👩‍👩‍👧‍👦", "🇪🇺", "𝒳𐍈𝄞",
    "\u202e\u200b\u200d\u2066", "\ufeff", "\ud7ff\ue000\ufffd\ufffe\uffff\U0010ffff",
    "\u2028\u2029\x85", "\\u0000", "x" * 10_000, *CONFUSABLE,
)  # fmt: skip
CONTROLS = ("\0", "a\0b", *map(chr, range(1, 32)), "\x7f", "\x80", "\x9f", "\r\n", "\n\r", "a\n", "\ta")

BINARY = FunctionCodec("binary", bytes, lambda payload, _: bytes(payload))
WIDE = FunctionCodec("wide", lambda text: text.encode("utf-16"), lambda payload, _: bytes(payload).decode("utf-16"))
REVERSED = FunctionCodec("reversed", lambda text: text[::-1], lambda payload, _: payload[::-1], text=True)
VERBATIM = FunctionCodec("json", str, lambda payload, _: payload, text=True)


async def kept(db: Backend, events: Sequence[Event[Any]]) -> None:
    """Check that events stored together are read back with every field and the identical payload."""
    await db.events.append(events)
    stored = await db.events.query().list()
    same(stored, events)
    assert [event.encoded for event in stored] == [event.encoded for event in events]


class DataRules(Contract):
    """Rules ES-DATA about the data of events."""

    # --- text -------------------------------------------------------------------------------------------------------

    async def test_texts_are_kept(self, db: Backend) -> None:
        """ES-DATA-001: Text in the data is kept character by character, in every script and every form of Unicode."""
        await kept(db, [note(text) for text in TEXTS])

    async def test_control_characters_are_kept(self, db: Backend) -> None:
        """ES-DATA-002: NUL and all other control characters are kept, in data and in metadata."""
        await kept(db, [note(text, metadata={text: text, "other": f"{text}x{text}"}) for text in CONTROLS])

    async def test_nothing_is_kept(self, db: Backend) -> None:
        """ES-DATA-003: An event may have no data, no metadata and no tags, and is read back with all of them empty."""
        empty = Event(Closed(), registry=registry)
        await kept(db, [empty, note("")])
        found = await db.events.find(empty.id)
        assert found is not None
        assert (found.data, dict(found.metadata), found.tags) == (Closed(), {}, frozenset())

    # --- sizes ------------------------------------------------------------------------------------------------------

    async def test_large_data_is_kept(self, db: Backend) -> None:
        """ES-DATA-004: An event of several megabytes is kept, and so are its small neighbours."""
        await kept(db, [note("small"), note("€" + "x" * 5_000_000, metadata={"by": "me"}), note("small")])

    async def test_large_batches_are_kept(self, db: Backend) -> None:
        """ES-DATA-005: A batch of thousands of events of many aggregates is stored in order."""
        await kept(db, [note(str(n), ("order", str(n % 700)), n // 700 + 1, tags=[f"n:{n}"]) for n in range(4900)])

    # --- numbers ----------------------------------------------------------------------------------------------------

    async def test_integers_are_kept(self, db: Backend) -> None:
        """ES-DATA-006: Integers in the data are kept exactly: to the limits of 32, 53 and 64 bits, and beyond."""
        edges = (0, 1, -1, 2**31 - 1, -(2**31), 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, 2**64, 10**30, -(10**30))
        await kept(db, [count(number) for number in edges])

    async def test_floats_are_kept(self, place: Place) -> None:
        """ES-DATA-007: Finite floats in the data are kept to the last bit, including the sign of zero."""
        own = Registry()
        own.register("sample.measured", float)
        values = (0.0, -0.0, 0.1 + 0.2, 1e16, 5e-324, -2.2250738585072014e-308, 1.7976931348623157e308, 1 / 3)
        async with place.open(registry=own) as db:
            await kept(db, [Event(value, name="sample.measured", registry=own) for value in values])
            assert [repr(event.data) for event in await db.events.query().list()] == [repr(value) for value in values]

    # --- payloads ---------------------------------------------------------------------------------------------------

    async def test_payloads_are_kept_byte_for_byte(self, place: Place) -> None:
        """ES-DATA-008: A payload is kept exactly as it was encoded: a JSON text keeps its spaces, order, numbers and escapes.

        A database that parses and rewrites JSON would change what a retry is compared with.
        """
        payloads = (
            '{"b":1,"a":2}', '{"a":1,"a":2}', ' { "a" : 1.0 } ', "[1e2,100,1.10]", r'"\u00e9\/\u0000"', '"\u00e9"', "null",
            "12345678901234567890.123456789", '{"":{}}', '{"$oid":"x","$date":0,"a.b":1}', "-0",
        )  # fmt: skip
        own = Registry(codec=VERBATIM)
        own.register("sample.verbatim", str)
        async with place.open(registry=own) as db:
            await kept(db, [Event(payload, name="sample.verbatim", registry=own) for payload in payloads])

    async def test_binary_payloads_are_kept(self, place: Place) -> None:
        """ES-DATA-009: Binary payloads are kept as bytes, of any value and length, including none."""
        own = Registry(codec=BINARY)
        own.register("sample.blob", bytes)
        payloads = (bytes(range(256)), b"", b"\0", b"\xff\xfe\x00\x00", b'{"a":1}', b"\x80" * 100_000)
        async with place.open(registry=own) as db:
            await kept(db, [Event(payload, name="sample.blob", registry=own) for payload in payloads])
            assert {type(event.encoded.payload) for event in await db.events.query().list()} == {bytes}

    async def test_encodings_are_kept(self, place: Place) -> None:
        """ES-DATA-010: An aggregate, and so the log, may hold several encodings; each event is decoded with its own."""
        reader = Registry(codec=WIDE)
        reader.codec = REVERSED  # it still knows the other one
        writers = [Registry(codec=codec) for codec in ("json", WIDE, REVERSED)]
        for one in (reader, *writers):
            one.register("sample.said", str)
        events = [
            Event(f"{n}é\0", name="sample.said", aggregate=A, version=n + 1, registry=writers[n % 3]) for n in range(6)
        ]
        async with place.open(registry=reader) as db:
            await kept(db, events)
            loaded = await db.events.load(A)
            assert [event.encoded.encoding for event in loaded] == ["json", "wide", "reversed"] * 2
            assert [type(event.encoded.payload) for event in loaded] == [str, bytes, str] * 2
            assert [event.data for event in loaded] == [f"{n}é\0" for n in range(6)]

    async def test_schema_versions_are_kept(self, place: Place) -> None:
        """ES-DATA-011: Each event keeps the schema version that it was written in, and is upcast to today's when read."""
        today = Registry()
        today.register("sample.said", str, schema=3)
        today.register("sample.ripe", str, schema=1_000_000)

        @today.upcast("sample.said", 1)
        def second(plain: Any) -> str:
            return f"{plain} > 2"

        @today.upcast("sample.said", 2)
        def third(plain: Any) -> str:
            return f"{plain} > 3"

        schemas = [("sample.said", 1), ("sample.said", 2), ("sample.said", 3), ("sample.ripe", 1_000_000)]
        events: list[Event[Any]] = []
        for name, schema in schemas:
            writer = Registry()
            writer.register(name, str, schema=schema)
            events.append(Event("x", name=name, registry=writer))
        async with place.open(registry=today) as db:
            await db.events.append(events)
            stored = await db.events.query().list()
            assert [(event.name, event.encoded.schema) for event in stored] == schemas
            assert [event.data for event in stored] == ["x > 2 > 3", "x > 3", "x", "x"]

    # --- all ways ---------------------------------------------------------------------------------------------------

    async def test_every_way_of_reading_gives_the_same(self, db: Backend) -> None:
        """ES-DATA-012: An event is the same, at the same position, whether it is loaded, queried, found or followed."""
        event = note("é\0😀", A, 1, metadata={"k": "\0", "é": ""}, tags=["k:é", "k:😀"], time=NOON)
        await db.events.append([note("noise"), event])
        found = await db.events.find(event.id)
        assert found is not None
        ways = [
            *await db.events.load(A), *await db.events.query(limit=1, reverse=True).list(), found,
            await anext(db.events.follow(after=found.position - 1)),
        ]  # fmt: skip
        for way in ways:
            same([way], [event])
            assert (way.position, way.encoded) == (found.position, event.encoded)
        assert len(ways) == 4

    async def test_awkward_events_are_recognised_again(self, db: Backend) -> None:
        """ES-DATA-013: Awkward events that are read and appended again are recognised as a retry."""
        awkward = [note(text, metadata={text: text} if text else None) for text in (*TEXTS, *CONTROLS)]
        appended = await db.events.append(awkward)
        again = await db.events.append(await db.events.query().list())
        assert again == appended._replace(already_committed=True)
        assert await db.events.append(awkward) == again

    @needs(PERSISTENT)
    async def test_another_handle_reads_the_same(self, place: Place) -> None:
        """ES-DATA-014: After closing and reopening, the store returns the same events."""
        events = [
            note(text, metadata={"k": text}, tags=["k:é", f"n:{n}"], time=NOON)
            for n, text in enumerate(TEXTS + CONTROLS)
        ]
        async with place.open() as db:
            await db.events.append(events)
        async with place.open() as db:
            stored = await db.events.query().list()
            same(stored, events)
            assert [event.encoded for event in stored] == [event.encoded for event in events]
