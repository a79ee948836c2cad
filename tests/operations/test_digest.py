"""Digests: what a receipt says of a log, and which event is named when a log is no longer the one of the receipt."""

from __future__ import annotations

import json
import sqlite3
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from goes_lite_conformance.harness.samples import NOON, A, B, count, note, registry, story

import goes_lite as goes
from goes_lite import blocking
from goes_lite.blocking import operations
from goes_lite.errors import DecodeError, InvalidQueryError, InvalidReceipt
from goes_lite.operations import Receipt, check, digest, event_hash
from tests.conftest_kit import SQLitePlace

READ_ONLY: dict[str, Any] = {"read_only": True, "registry": goes.Registry()}


def by_hand(event: goes.Event[Any]) -> bytes:
    """The canonical form as docs/operations.md describes it, written without the code that is tested."""
    encoding, schema, payload = event.encoded
    ref = event.aggregate
    metadata = json.dumps(dict(sorted(event.metadata.items())), ensure_ascii=False) if event.metadata else ""
    tags = json.dumps(sorted(event.tags), ensure_ascii=False) if event.tags else ""
    contents = [
        text.encode() if isinstance(text, str) else text
        for text in (event.name, ref.name if ref else "", ref.id if ref else "", encoding, payload, metadata, tags)
    ]
    micros = round((event.time - NOON.replace(microsecond=0)).total_seconds() * 1_000_000)
    numbers = [micros + int(NOON.replace(microsecond=0).timestamp()) * 1_000_000, event.version, schema]
    form = b"\x01" + event.id.bytes
    form += b"".join(number.to_bytes(8, "big", signed=True) for number in numbers)
    form += b"\x01" if isinstance(payload, str) else b"\x00"
    form += b"".join(len(content).to_bytes(8, "big") for content in contents)
    return sha256(form + b"".join(contents)).digest()


def filled(path: Path, number: int = 2500) -> None:
    with blocking.connect(path, registry=registry, durability="normal") as db:
        db.events.append([
            note("é\0", A, 1, metadata={"b": "ü", "a": "1"}, tags=["k:2", "k:1"]),
            count(-1, B, 1, time=NOON),
            *story(A, 3, after=1),
            *(note(str(n)) for n in range(number - 5)),
        ])  # fmt: skip


def raw_edit(path: Path, *statements: str) -> None:
    """Change a closed store behind its back."""
    raw = sqlite3.connect(path)
    with raw:
        for statement in statements:
            raw.execute(statement)
    raw.close()


def receipt_of(path: Path) -> Receipt:
    with blocking.connect(path, **READ_ONLY) as db:
        return operations.digest(db)


def test_the_canonical_form_is_the_documented_one(tmp_path: Path) -> None:
    filled(tmp_path / "app.db")
    with blocking.connect(tmp_path / "app.db", registry=registry) as db:
        events = db.events.stored().list()
        receipt = operations.digest(db)
    assert [event_hash(event) for event in events] == [by_hand(event) for event in events]
    whole = b""
    for number, block in enumerate(receipt.blocks):
        part = events[number * 1000 : (number + 1) * 1000]
        inside = sha256(b"".join(one.position.to_bytes(8, "big") + by_hand(one) for one in part)).digest()
        assert (block.number, block.hash) == (number, inside)
        assert block.prints == b"".join(by_hand(event)[:3] for event in part)
        whole += number.to_bytes(8, "big") + inside
    assert receipt.hash == sha256(whole).digest()


def test_a_receipt_says_what_is_stored_on_each_face(world: SQLitePlace) -> None:
    async def test(db: Any) -> None:
        async def receipt() -> Receipt:
            return await digest(db) if world.face == "async" else operations.digest(db.target)

        empty = await receipt()
        assert (empty.head, empty.events, empty.blocks, empty.hash) == (0, 0, (), sha256().digest())
        await db.events.append([*story(A, 3), *story(B, 2), note("x")])
        found = await receipt()
        assert found[:2] == (db.identity, db.location)
        assert (found.head, found.upto, found.events, found.aggregates) == (6, 6, 6, 2)
        compared = await check(db, found) if world.face == "async" else operations.check(db.target, found)
        assert (compared.relation, compared.same_store, compared.checked) == ("same", True, 6)

    world.with_handle(test)


def test_a_receipt_of_the_beginning(tmp_path: Path) -> None:
    filled(tmp_path / "app.db")
    seen: list[int] = []
    with blocking.connect(tmp_path / "app.db", **READ_ONLY) as db:
        part = operations.digest(db, upto=1500, progress=seen.append)
        whole = operations.digest(db, upto=99_999)
        assert seen == sorted(seen)
        assert seen[-1] == 1500
        assert (part.upto, part.head, part.events, whole.upto) == (1500, 2500, 1500, 2500)
        assert part.blocks[0] == whole.blocks[0]
        assert part.blocks[1] != whole.blocks[1]
        assert str(operations.check(db, part)) == (
            "the log begins with the one of the receipt, up to position 1500, and goes on to 2500"
        )
        with pytest.raises(InvalidQueryError):
            operations.digest(db, upto=-1)


def test_a_receipt_can_be_kept_as_json(tmp_path: Path) -> None:
    filled(tmp_path / "app.db")
    with blocking.connect(tmp_path / "app.db", registry=registry) as db:
        db.events.delete(A)  # positions with gaps
        receipt = operations.digest(db)
    text = receipt.to_json()
    assert Receipt.from_json(text) == Receipt.from_json(text.encode()) == receipt
    plain = json.loads(text)
    assert (plain["format"], plain["events"]) == ("goes_lite receipt", 2496)
    assert plain["blocks"][0]["at"] == [[2, 2], [6, 1000]]
    assert "at" not in plain["blocks"][1]
    assert all(len(line) < 6100 for line in text.splitlines())


HEADS: tuple[dict[str, Any], ...] = (
    {"version": 2}, {"format": "a receipt"}, {"hash": "00" * 32}, {"hash": "0x"}, {"events": 1}, {"head": -1}, {"upto": 3},
    {"time": "yesterday"}, {"time": "2026-01-01T00:00:00"}, {"store": None}, {"blocks": {}}, {"blocks": [5]},
)  # fmt: skip
BLOCKS: tuple[dict[str, Any], ...] = (
    {"prints": "AAAA"}, {"prints": "§"}, {"prints": 5}, {"events": 10**9}, {"events": 999}, {"block": 1}, {"hash": "ff" * 32},
    {"at": 5}, {"at": [[1, 999]]}, {"at": [[1, 500], [400, 899]]}, {"at": [[1]]}, {"at": [[2, 1001]]}, {"at": [[True, 1000]]},
)  # fmt: skip


@pytest.mark.parametrize("head", HEADS, ids=str)
def test_a_receipt_that_was_changed_is_refused(head: dict[str, Any], tmp_path: Path) -> None:
    filled(tmp_path / "app.db")
    plain = json.loads(receipt_of(tmp_path / "app.db").to_json())
    with pytest.raises(InvalidReceipt, match="no receipt of a store"):
        Receipt.from_json(json.dumps({**plain, **head}))


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_receipt_with_a_block_that_was_changed_is_refused(block: dict[str, Any], tmp_path: Path) -> None:
    filled(tmp_path / "app.db")
    plain = json.loads(receipt_of(tmp_path / "app.db").to_json())
    plain["blocks"][0].update(block)
    with pytest.raises(InvalidReceipt, match="no receipt of a store"):
        Receipt.from_json(json.dumps(plain))


@pytest.mark.parametrize("text", ["", "[]", "null", "[" * 100_000, b"\xff\xfe", '{"format": "goes_lite receipt"}'])
def test_what_is_no_receipt_is_refused(text: str | bytes) -> None:
    with pytest.raises(InvalidReceipt):
        Receipt.from_json(text)


FIELDS = (
    "id = randomblob(16)", "version = version + 1", "time = time + 1", "encoding = 'jsonx'", "schema = 2",
    "data = data || ' '", "data = CAST(data AS BLOB)", "metadata = '{\"a\": \"1\"}'", "tags = '[\"k:3\"]'",
    "name_key = (SELECT key FROM event_names WHERE name = 'sample.counted')",
    "aggregate_key = (SELECT key FROM aggregates WHERE id = 'b'), version = 7",
)  # fmt: skip


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_counts(field: str, tmp_path: Path) -> None:
    """The one event that differs is named, whichever field it is."""
    path = tmp_path / "app.db"
    filled(path)
    receipt = receipt_of(path)
    # of two values of the field, as most events have no aggregate
    at = 5 if "aggregate" in field or "version" in field else 1900
    raw_edit(path, f"UPDATE events SET {field} WHERE position = {at}")
    with blocking.connect(path, **READ_ONLY) as db:
        found = operations.check(db, receipt)
        changed = operations.digest(db)
    assert (found.relation, found.holds, found.same_store) == ("different", False, True)
    assert found.difference is not None
    assert found.difference[:2] == (at, "changed")
    assert found.difference.event is not None
    assert found.difference.event.position == at
    assert str(found) == f"the log is not the one of the receipt: the event at position {at} was changed"
    assert changed.hash != receipt.hash
    assert sum(one != two for one, two in zip(changed.blocks, receipt.blocks, strict=True)) == 1


@pytest.mark.parametrize(
    ("statement", "relation", "difference"),
    [
        ("DELETE FROM events WHERE position = 1700", "different", (1700, "missing")),
        ("DELETE FROM events WHERE position BETWEEN 1001 AND 2000", "different", (1001, "missing")),
        ("DELETE FROM events WHERE position > 1500", "shorter", (1501, "missing")),
        ("DELETE FROM events WHERE position > 2000", "shorter", (2001, "missing")),
        ("DELETE FROM events", "shorter", (1, "missing")),
        ("UPDATE events SET position = -1 WHERE position = 2", "different", (2, "missing")),
    ],
)
def test_missing_events_are_named(statement: str, relation: str, difference: tuple[int, str], tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    filled(path)
    receipt = receipt_of(path)
    raw_edit(path, statement)
    with blocking.connect(path, **READ_ONLY) as db:
        found = operations.check(db, receipt)
    assert found.difference is not None
    assert (found.relation, found.difference[:2]) == (relation, difference)


def test_added_events_are_named(tmp_path: Path) -> None:
    """Where the receipt has a gap, there is an event."""
    path, other = tmp_path / "app.db", tmp_path / "other.db"
    for one in (path, other):
        filled(one, 1500)
    raw_edit(path, "DELETE FROM events WHERE position IN (700, 701)")
    receipt = receipt_of(path)
    with blocking.connect(other, **READ_ONLY) as db:
        found = operations.check(db, receipt)
        assert found.difference is not None
        # the two stores were filled one after the other, so their first events differ already
        assert found.difference[:2] == (1, "changed")
        assert not found.same_store
        assert str(found).endswith("It is another store, or another epoch of it")
        later = operations.digest(db)
    raw_edit(other, "DELETE FROM events WHERE position IN (700, 701)")
    shorter = receipt_of(other)
    with blocking.connect(other, registry=registry) as db:
        db.events.append([note("longer")])
        assert operations.check(db, shorter).relation == "longer"
        found = operations.check(db, later)
        assert found.difference is not None
        assert found.difference[:2] == (700, "missing")
    raw_edit(other, "UPDATE events SET position = 700 WHERE position = 1501")
    with blocking.connect(other, registry=registry) as db:
        found = operations.check(db, shorter)
    assert found.difference is not None
    assert found.difference[:2] == (700, "added")
    assert str(found.difference) == "there is an event at position 700 that was not there"


def test_a_backup_has_the_same_digest(tmp_path: Path) -> None:
    """The copy is another store, with the same log."""
    filled(tmp_path / "app.db")
    with blocking.connect(tmp_path / "app.db", registry=registry) as db:
        receipt = operations.digest(db)
        db.backup(tmp_path / "copy.db")
    copy = receipt_of(tmp_path / "copy.db")
    assert (copy.hash, copy.blocks) == (receipt.hash, receipt.blocks)
    with blocking.connect(tmp_path / "copy.db", **READ_ONLY) as db:
        found = operations.check(db, receipt)
    assert (found.holds, found.same_store, found.checked) == (True, False, 2500)


def test_a_print_that_collides_still_leaves_the_thousand(tmp_path: Path) -> None:
    """Prints are short: if none differs, the hash of the block says that one of its events does."""
    filled(tmp_path / "app.db")
    receipt = receipt_of(tmp_path / "app.db")
    forged = receipt._replace(blocks=(receipt.blocks[0], receipt.blocks[1]._replace(hash=bytes(32)), receipt.blocks[2]))
    with blocking.connect(tmp_path / "app.db", **READ_ONLY) as db:
        found = operations.check(db, forged)
    assert found.difference is not None
    assert found.difference[:2] == (1001, "somewhere")
    assert "between position 1001 and 2000" in str(found)


def test_an_event_that_cannot_be_is_an_error(tmp_path: Path) -> None:
    """With its position: a digest of what cannot be read would say nothing."""
    path = tmp_path / "app.db"
    filled(path)
    raw_edit(
        path,
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET sql = replace(sql, ') STRICT', ')') WHERE name = 'events'",
    )
    raw_edit(path, "UPDATE events SET time = 'noon' WHERE position = 1234")
    raw_edit(
        path,
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET sql = sql || ' STRICT' WHERE name = 'events'",
    )
    with blocking.connect(path, **READ_ONLY) as db, pytest.raises(DecodeError, match="1234") as caught:
        operations.digest(db)
    assert caught.value.position == 1234
