"""Snapshots, read models, checkpoints, leases and transactions: in memory and in a file, on every face and driver."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from goes_lite.backend import Backend
from goes_lite.blocking import connect
from goes_lite.checkpoint import Lease
from goes_lite.errors import (
    AppendConditionFailed,
    ConcurrencyError,
    GoesError,
    InvalidEventError,
    InvalidQueryError,
    LeaseHeld,
    LeaseLost,
    ModelConflict,
    ModelError,
    ModelNotFound,
    StoreError,
    StoreReadOnly,
    TransactionError,
)
from goes_lite.event import AggregateRef, Event
from goes_lite.query import EventQuery
from goes_lite.snapshot import Snapshot
from goes_lite.store import AppendCondition

if TYPE_CHECKING:
    from tests.backends.faces import Place, note, registry, story
else:
    from faces import Place, note, registry, story

NOON = datetime(2026, 3, 1, 12, 0, 0, 123_456, tzinfo=timezone.utc)
A, B = (AggregateRef("order", id) for id in "ab")


async def raises(
    error: type[BaseException] | tuple[type[BaseException], ...], calls: dict[str, Callable[[], Any]]
) -> None:
    """Each of the calls raises one of the errors."""
    for what, call in calls.items():
        try:
            await call()
        except error as raised:
            assert len(str(raised)) > 20, what
        except Exception as raised:
            raise AssertionError(f"{what}: {raised!r}") from raised
        else:
            raise AssertionError(f"{what}: accepted")


class FakeClock:
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self.time = NOON

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return (self.time - NOON).total_seconds()

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


# --- snapshots ----------------------------------------------------------------------------------------------------------


def snapshot(ref: AggregateRef, version: int, state: str | bytes = "{}", **fields: Any) -> Snapshot:
    return Snapshot(ref, version, NOON, fields.pop("schema", 1), fields.pop("encoding", "json"), state, **fields)


async def test_a_snapshot_comes_back_exactly(db: Backend) -> None:
    """Text as str, bytes as bytes, with the time to the microsecond, schema, encoding and deletion."""
    for version, one in enumerate(
        [
            snapshot(A, 1, '{"é": "\\u0000😀"}'),
            snapshot(A, 2, b"\x00\xff", encoding="msgpack", schema=2**63 - 1, deleted=True),
            snapshot(A, 3, ""),
            snapshot(A, 4, b""),
            snapshot(A, 5, "x" * 2_000_000),
        ],
        1,
    ):
        await db.snapshots.save(one)
        found = await db.snapshots.latest(A)
        assert found == one
        assert found is not None
        assert (type(found.state), found.version, found.time.tzinfo) == (type(one.state), version, timezone.utc)


async def test_the_latest_snapshot_has_the_highest_version(db: Backend) -> None:
    """Up to a version, if one is given; whatever the order of saving; one of the same version is replaced."""
    for version in (5, 1, 3):
        await db.snapshots.save(snapshot(A, version, f"{version}"))
    await db.snapshots.save(snapshot(B, 9))
    await db.snapshots.save(snapshot(A, 3, "again"))
    latest = db.snapshots.latest
    for upto, version in [(None, 5), (9, 5), (5, 5), (4, 3), (2, 1), (2**70, 5)]:
        found = await latest(A, upto=upto)
        assert found is not None
        assert found.version == version
    assert await latest(A, upto=0) is None
    assert await latest(AggregateRef("order", "c")) is None
    replaced = await latest(A, upto=3)
    assert replaced is not None
    assert replaced.state == "again"
    assert len(await db.snapshots.query(aggregate=A).list()) == 3


async def test_snapshots_are_listed_by_name_id_and_version(db: Backend) -> None:
    """All, of some names, or of one aggregate; across pages."""
    invoice = AggregateRef("invoice", "z")
    for ref, version in [(B, 1), (A, 10), (A, 9), (invoice, 2)]:
        await db.snapshots.save(snapshot(ref, version))
    for version in range(1, 200):
        await db.snapshots.save(snapshot(AggregateRef("many", "1"), version))

    async def listed(**which: Any) -> list[tuple[str, int]]:
        return [(one.aggregate.id, one.version) for one in await db.snapshots.query(**which).list()]

    assert await listed(names=["order"]) == [("a", 9), ("a", 10), ("b", 1)]
    assert await listed(names=["order", "invoice"]) == [("z", 2), ("a", 9), ("a", 10), ("b", 1)]
    assert await listed(aggregate=A) == [("a", 9), ("a", 10)]
    assert await listed(names=["invoice"], aggregate=A) == []
    assert await listed(names=["many"]) == [("1", version) for version in range(1, 200)]
    assert len(await listed()) == 203


async def test_snapshots_can_be_deleted(db: Backend) -> None:
    """One version, or all of an aggregate; the answer is how many there were."""
    for ref, version in [(A, 1), (A, 2), (A, 3), (B, 1)]:
        await db.snapshots.save(snapshot(ref, version))
    assert await db.snapshots.delete(A, version=2) == 1
    assert await db.snapshots.delete(A, version=2) == 0
    assert await db.snapshots.delete(A) == 2
    assert await db.snapshots.delete(A) == 0
    assert [one.aggregate for one in await db.snapshots.query().list()] == [B]


async def test_pruning_keeps_the_newest(db: Backend) -> None:
    """So many of each aggregate, or of one; never fewer than one."""
    for ref in (A, B):
        for version in (1, 2, 3, 4):
            await db.snapshots.save(snapshot(ref, version))
    assert await db.snapshots.prune(keep=3, aggregate=A) == 1
    assert await db.snapshots.prune(keep=2) == 3
    assert await db.snapshots.prune(keep=2**70) == 0
    assert await db.snapshots.prune() == 2
    assert [(one.aggregate.id, one.version) for one in await db.snapshots.query().list()] == [("a", 4), ("b", 4)]
    assert await db.snapshots.prune() == 0


async def test_bad_arguments_of_the_snapshot_store(db: Backend) -> None:
    """Typed errors, and nothing changes."""
    await db.snapshots.save(snapshot(A, 1))
    good = snapshot(A, 2)
    store = db.snapshots
    calls: dict[str, Callable[[], Any]] = {
        "no snapshot": lambda: store.save(cast(Any, "x")),
        "version 0": lambda: store.save(good._replace(version=0)),
        "version a string": lambda: store.save(good._replace(version=cast(Any, "1"))),
        "version too large": lambda: store.save(good._replace(version=2**63)),
        "schema a string": lambda: store.save(good._replace(schema=cast(Any, "1"))),
        "state an object": lambda: store.save(good._replace(state=cast(Any, {}))),
        "encoding None": lambda: store.save(good._replace(encoding=cast(Any, None))),
        "naive time": lambda: store.save(good._replace(time=NOON.replace(tzinfo=None))),
        "aggregate a string": lambda: store.save(good._replace(aggregate=cast(Any, "ab"))),
        "latest of a string": lambda: store.latest(cast(Any, "ab")),
        "latest upto a string": lambda: store.latest(A, upto=cast(Any, "1")),
        "latest upto -1": lambda: store.latest(A, upto=-1),
        "query names a string": lambda: store.query(names="order").list(),
        "query names of numbers": lambda: store.query(names=[cast(Any, 5)]).list(),
        "query of a string": lambda: store.query(aggregate=cast(Any, "ab")).list(),
        "delete of None": lambda: store.delete(cast(Any, None)),
        "delete version a string": lambda: store.delete(A, version=cast(Any, "1")),
        "prune to none": lambda: store.prune(keep=0),
        "prune to a string": lambda: store.prune(keep=cast(Any, "1")),
        "prune of a string": lambda: store.prune(aggregate=cast(Any, "ab")),
    }
    await raises((InvalidQueryError, InvalidEventError), calls)
    assert await db.snapshots.query().list() == [snapshot(A, 1)]


# --- read models ----------------------------------------------------------------------------------------------------------


async def test_a_model_counts_its_writes(db: Backend) -> None:
    """Version 1 when it is new, then one more each time; collections do not share ids; deleted it begins again."""
    put, get = db.models.put, db.models.get
    assert await get("c", "1") is None
    assert [await put("c", "1", f"{n}") for n in range(3)] == [1, 2, 3]
    assert await put("d", "1", '"other"') == 1
    record = await get("c", "1")
    assert record is not None
    assert tuple(record) == ("c", "1", 3, "2")
    assert await db.models.delete("c", "1")
    assert not await db.models.delete("c", "1")
    assert await put("c", "1", "null") == 1
    assert await db.models.clear("c") == 1
    assert await db.models.clear("c") == 0
    assert await get("d", "1") is not None


async def test_a_model_is_written_at_the_expected_version_only(db: Backend) -> None:
    """ModelConflict with what was expected and what is there, and no write; 0 means: must not exist."""
    assert await db.models.put("c", "1", "1", expected=0) == 1
    assert await db.models.put("c", "1", "2", expected=1) == 2
    for expected in (0, 1, 3):
        with pytest.raises(ModelConflict) as caught:
            await db.models.put("c", "1", "9", expected=expected)
        assert (caught.value.collection, caught.value.id, caught.value.expected, caught.value.actual) == (
            "c",
            "1",
            expected,
            2,
        )
        with pytest.raises(ModelConflict):
            await db.models.delete("c", "1", expected=expected)
    record = await db.models.get("c", "1")
    assert record is not None
    assert (record.version, record.data) == (2, "2")
    assert await db.models.delete("c", "1", expected=2)
    assert not await db.models.delete("c", "1", expected=0)
    with pytest.raises(ModelConflict) as caught:
        await db.models.put("c", "1", "9", expected=2)
    assert caught.value.actual == 0


DOCUMENTS = {
    "absent": "{}", "null": '{"f": null}', "true": '{"f": true}', "false": '{"f": false}', "zero": '{"f": 0}',
    "one": '{"f": 1}', "one-float": '{"f": 1.0}', "half": '{"f": 0.5}', "large": '{"f": 9007199254740993}',
    "text-1": '{"f": "1"}', "text-a": '{"f": "a"}', "text-é": '{"f": "é"}', "empty": '{"f": ""}',
    "list": '{"f": [1]}', "list-text": '{"f": "[1]"}', "object": '{"f": {"g": 1, "h.i": 2}}', "nested-null": '{"f": {"g": null}}',
    "scalar": "5",
}  # fmt: skip


async def test_fields_are_compared_as_json(db: Backend) -> None:
    """A bool is no number, text that looks like something else is text; None also stands for what is not there."""
    for id, document in DOCUMENTS.items():
        await db.models.put("c", id, document)
    await db.models.put("other", "x", '{"f": 1}')

    async def ids(where: dict[str, Any]) -> set[str]:
        return {record.id for record in await db.models.query("c", where=where).list()}

    for value, expected in [
        (1, {"one", "one-float"}),
        (1.0, {"one", "one-float"}),
        (0, {"zero"}),
        (True, {"true"}),
        (False, {"false"}),
        (0.5, {"half"}),
        (9007199254740993, {"large"}),
        ("1", {"text-1"}),
        ("a", {"text-a"}),
        ("é", {"text-é"}),
        ("", {"empty"}),
        ("[1]", {"list-text"}),
        (None, {"absent", "null", "scalar"}),
        ("' OR 1=1 --", set[str]()),
    ]:
        assert await ids({"f": value}) == expected, value
    assert await ids({"f.g": 1}) == {"object"}
    assert await ids({"f": 1, "g": None}) == {"one", "one-float"}
    assert await ids({"f": 1, "g": 1}) == set()
    assert await ids({"f.g": None}) == set(DOCUMENTS) - {"object"}
    assert await ids({}) == set(DOCUMENTS)


async def test_models_are_ordered_by_a_field_and_the_id(db: Backend) -> None:
    """None first, then numbers, then text; reversed it is the exact reverse; the same order across pages."""
    values: list[Any] = ["null", "3", "-1", "2.5", '"b"', '"a"', '"B"', '"10"', "null", "3", "true"]
    for number in range(400):
        value = values[number % len(values)]
        await db.models.put("c", f"{number:03}", f'{{"f": {{"g": {value}}}}}' if number % 13 else "{}")

    def key(number: int) -> tuple[Any, ...]:
        value = values[number % len(values)] if number % 13 else "null"
        if value == "null":
            return (0, 0, number)
        if value.startswith('"'):
            return (2, value.strip('"'), number)
        return (1, 1.0 if value == "true" else float(value), number)

    expected = [f"{number:03}" for number in sorted(range(400), key=key)]
    for limit in (None, 0, 1, 63, 64, 65, 330, 500):
        for reverse in (False, True):
            found = [r.id for r in await db.models.query("c", order_by="f.g", reverse=reverse, limit=limit).list()]
            assert found == (expected[::-1] if reverse else expected)[:limit]
            by_id = [record.id for record in await db.models.query("c", reverse=reverse, limit=limit).list()]
            assert by_id == sorted(expected, reverse=reverse)[:limit]
    filtered = [r.id for r in await db.models.query("c", where={"f.g": 3}, order_by="f.g", reverse=True).list()]
    assert filtered == [id for id in expected[::-1] if key(int(id))[:2] == (1, 3.0)]


async def test_bad_arguments_of_the_model_store(db: Backend) -> None:
    """Typed errors, also for what is not JSON, and nothing changes."""
    await db.models.put("c", "1", "{}")
    m = db.models
    await raises(
        (InvalidQueryError, ModelError),
        {
            "not JSON": lambda: m.put("c", "2", "{"),
            "NaN": lambda: m.put("c", "2", "NaN"),
            "empty": lambda: m.put("c", "2", ""),
            "two values": lambda: m.put("c", "2", "1 2"),
            "an object": lambda: m.put("c", "2", cast(Any, {})),
            "bytes": lambda: m.put("c", "2", cast(Any, b"{}")),
            "no id": lambda: m.put("c", "", "{}"),
            "id a number": lambda: m.put("c", cast(Any, 1), "{}"),
            "id of surrogates": lambda: m.put("c", "\ud800", "{}"),
            "id with NUL": lambda: m.put("c", "a\0b", "{}"),
            "id too long": lambda: m.put("c", "x" * 1025, "{}"),
            "no collection": lambda: m.put("", "1", "{}"),
            "collection None": lambda: m.get(cast(Any, None), "1"),
            "get bytes": lambda: m.get("c", cast(Any, b"1")),
            "expected a string": lambda: m.put("c", "1", "{}", expected=cast(Any, "1")),
            "expected -1": lambda: m.delete("c", "1", expected=-1),
            "where a list": lambda: m.query("c", where=cast(Any, [1])).list(),
            "where a list value": lambda: m.query("c", where={"f": [1]}).list(),
            "where a large int": lambda: m.query("c", where={"f": 2**70}).list(),
            "where surrogates": lambda: m.query("c", where={"f": "\ud800"}).list(),
            "empty field": lambda: m.query("c", where={"": 1}).list(),
            "empty part": lambda: m.query("c", where={"a..b": 1}).list(),
            "quoted field": lambda: m.query("c", where={'a"': 1}).list(),
            "field of surrogates": lambda: m.query("c", order_by="\ud800").list(),
            "order by a number": lambda: m.query("c", order_by=cast(Any, 5)).list(),
            "limit -1": lambda: m.query("c", limit=-1).list(),
            "limit a string": lambda: m.query("c", limit=cast(Any, "1")).list(),
            "clear None": lambda: m.clear(cast(Any, None)),
        },
    )
    assert [record.id for record in await m.query("c").list()] == ["1"]


@dataclass
class Summary:
    total: int = 0
    words: list[str] = field(default_factory=list[str])


async def test_models_of_a_type(db: Backend) -> None:
    """Values of one type in and out; ModelNotFound where there is none."""
    summaries = db.models_of("summary", Summary)
    assert await summaries.find("1") is None
    with pytest.raises(ModelNotFound) as caught:
        await summaries.get("1")
    assert (caught.value.collection, caught.value.id) == ("summary", "1")
    assert isinstance(caught.value, LookupError)
    assert await summaries.put("1", Summary(3, ["é"])) == 1
    assert await summaries.put("2", Summary(1), expected=0) == 1
    with pytest.raises(ModelConflict):
        await summaries.put("2", Summary(2), expected=0)
    assert await summaries.get("1") == Summary(3, ["é"])
    assert await summaries.query(order_by="total").list() == [Summary(1), Summary(3, ["é"])]
    assert await summaries.query(where={"total": 3}).list() == [Summary(3, ["é"])]
    assert await summaries.delete("1")
    assert await summaries.clear() == 1


async def test_use_changes_a_model(db: Backend) -> None:
    """By answering a new one, or in place; a missing one begins as the default, which never changes itself."""
    summaries = db.models_of("summary", Summary)
    default = Summary()
    with pytest.raises(ModelNotFound):
        await summaries.use("1", lambda s: s)
    assert await summaries.use("1", lambda s: s.words.append("a"), default=default) == Summary(0, ["a"])
    assert await summaries.use("1", lambda s: replace(s, total=5), default=default) == Summary(5, ["a"])
    assert default == Summary()
    assert await summaries.get("1") == Summary(5, ["a"])
    with pytest.raises(ZeroDivisionError):
        await summaries.use("1", lambda s: s.words.append(str(1 // 0)))
    assert await summaries.get("1") == Summary(5, ["a"])


async def test_use_tries_again_on_what_is_stored_by_then(loop_place: Place) -> None:
    """Each time on a fresh instance; ModelConflict when the tries are used up."""
    async with loop_place.open() as db:
        summaries = db.models_of("summary", Summary)
        await summaries.put("1", Summary())
        seen: list[Summary] = []

        async def disturbed(summary: Summary) -> Summary:
            seen.append(replace(summary))
            await summaries.put("1", Summary(summary.total + 10))
            return replace(summary, total=summary.total + 1)

        with pytest.raises(ModelConflict):
            await summaries.use("1", disturbed, tries=3)
        assert [summary.total for summary in seen] == [0, 10, 20]
        assert await summaries.get("1") == Summary(30)


async def test_use_under_contention_loses_no_change(loop_place: Place) -> None:
    """Of tasks that count in one model at once each counts."""
    async with loop_place.open() as db:
        counters = db.models_of("counter", Summary)

        def more(summary: Summary) -> Summary:
            return replace(summary, total=summary.total + 1)

        await asyncio.gather(*(counters.use("1", more, default=Summary(), tries=60) for _ in range(20)))
        assert await counters.get("1") == Summary(20)


# --- checkpoints and leases -------------------------------------------------------------------------------------------


async def test_a_checkpoint_is_remembered(place: Place) -> None:
    """With position, time and the identity of its store; each name has its own; all are listed by name."""
    clock = FakeClock()
    async with place.open(clock=clock) as db:
        assert await db.checkpoints.get("p") is None
        await db.checkpoints.save("p", 7)
        clock.advance(1)
        await db.checkpoints.save("a", 0)
        first = await db.checkpoints.get("p")
        assert first is not None
        assert (first.name, first.position, first.time) == ("p", 7, NOON)
        await db.checkpoints.save("p", 3)
        listed = await db.checkpoints.all()
        assert [(one.name, one.position, one.time) for one in listed] == [
            ("a", 0, NOON + timedelta(seconds=1)),
            ("p", 3, NOON + timedelta(seconds=1)),
        ]
        assert {one.store for one in listed} == {first.store}
        assert await db.checkpoints.delete("p")
        assert not await db.checkpoints.delete("p")
        assert await db.checkpoints.get("p") is None


async def test_the_identity_of_a_store_outlives_its_handles(file: Place) -> None:
    """A checkpoint of the same file names the same store, another file is another."""
    async with file.open() as db:
        await db.checkpoints.save("p", 1)
        before = await db.checkpoints.get("p")
    async with file.open() as db:
        await db.checkpoints.save("q", 1)
        after = await db.checkpoints.get("q")
    async with file._replace(path=file.path + ".other").open() as db:
        await db.checkpoints.save("p", 1)
        other = await db.checkpoints.get("p")
    assert before is not None
    assert after is not None
    assert other is not None
    assert before.store == after.store != other.store


async def test_a_lease_has_one_owner(place: Place) -> None:
    """LeaseHeld for others until it expires or is released; the owner keeps it, with the same token."""
    clock = FakeClock()
    async with place.open(clock=clock) as db:
        assert await db.leases.get("job") is None
        first = await db.leases.acquire("job", "ann", 10)
        assert first == Lease("job", "ann", first.token, NOON + timedelta(seconds=10))
        assert await db.leases.get("job") == first
        with pytest.raises(LeaseHeld) as caught:
            await db.leases.acquire("job", "bob", 10)
        assert (caught.value.name, caught.value.owner, caught.value.expires) == ("job", "ann", first.expires)
        assert (await db.leases.acquire("other", "bob", 10)).owner == "bob"
        clock.advance(5)
        again = await db.leases.acquire("job", "ann", 10)
        assert (again.token, again.expires) == (first.token, NOON + timedelta(seconds=15))
        assert await db.leases.renew(first, 20) == again._replace(expires=NOON + timedelta(seconds=25))
        clock.advance(20)  # to the very moment of its end
        assert await db.leases.get("job") is None
        second = await db.leases.acquire("job", "bob", 10)
        assert second.token > first.token
        with pytest.raises(LeaseLost) as lost:
            await db.leases.renew(first, 10)
        assert (lost.value.token, lost.value.current, lost.value.owner) == (first.token, second.token, "bob")
        assert not await db.leases.release(first)
        assert await db.leases.get("job") == second


async def test_a_released_lease_is_free(place: Place) -> None:
    """At once; it cannot be renewed, and the next token is higher, also for the same owner."""
    clock = FakeClock()
    async with place.open(clock=clock) as db:
        first = await db.leases.acquire("job", "ann", 10)
        assert await db.leases.release(first)
        assert not await db.leases.release(first)
        assert await db.leases.get("job") is None
        with pytest.raises(LeaseLost):
            await db.leases.renew(first, 10)
        second = await db.leases.acquire("job", "ann", 10)
        assert second.token > first.token
        clock.advance(60)
        assert (await db.leases.renew(second, 10)).token == second.token  # expired, but nobody took it
        clock.advance(60)
        assert (await db.leases.acquire("job", "ann", 10)).token > second.token  # taken anew


async def test_a_checkpoint_under_a_lost_lease_is_refused(place: Place) -> None:
    """Fencing: LeaseLost, and the checkpoint of the successor stays as it is."""
    clock = FakeClock()
    async with place.open(clock=clock) as db:
        old = await db.leases.acquire("job", "ann", 10)
        await db.checkpoints.save("p", 1, lease=old)
        clock.advance(11)
        await db.checkpoints.save("p", 2, lease=old)  # expired, but nobody took it
        new = await db.leases.acquire("job", "bob", 10)
        await db.checkpoints.save("p", 9, lease=new)
        with pytest.raises(LeaseLost):
            await db.checkpoints.save("p", 3, lease=old)
        await db.leases.release(new)
        with pytest.raises(LeaseLost):
            await db.checkpoints.save("p", 3, lease=new)
        checkpoint = await db.checkpoints.get("p")
        assert checkpoint is not None
        assert checkpoint.position == 9


async def test_bad_arguments_of_checkpoints_and_leases(db: Backend) -> None:
    """Typed errors, and nothing changes; nobody can pose as the empty owner of a released lease."""
    lease = await db.leases.acquire("job", "ann", 10)
    c, leases = db.checkpoints, db.leases
    await raises(
        InvalidQueryError,
        {
            "position -1": lambda: c.save("p", -1),
            "position a string": lambda: c.save("p", cast(Any, "1")),
            "position a bool": lambda: c.save("p", True),
            "no name": lambda: c.save("", 1),
            "name a number": lambda: c.save(cast(Any, 5), 1),
            "name of surrogates": lambda: c.save("\ud800", 1),
            "lease a name": lambda: c.save("p", 1, lease=cast(Any, "job")),
            "get None": lambda: c.get(cast(Any, None)),
            "delete bytes": lambda: c.delete(cast(Any, b"p")),
            "lease of nothing": lambda: leases.acquire("", "ann", 1),
            "owner empty": lambda: leases.acquire("job2", "", 1),
            "owner None": lambda: leases.acquire("job2", cast(Any, None), 1),
            "ttl 0": lambda: leases.acquire("job2", "ann", 0),
            "ttl negative": lambda: leases.acquire("job2", "ann", -1),
            "ttl nan": lambda: leases.acquire("job2", "ann", float("nan")),
            "ttl inf": lambda: leases.acquire("job2", "ann", float("inf")),
            "ttl a string": lambda: leases.acquire("job2", "ann", cast(Any, "1")),
            "renew a string": lambda: leases.renew(cast(Any, "job"), 1),
            "renew for nothing": lambda: leases.renew(lease, 0),
            "release None": lambda: leases.release(cast(Any, None)),
            "get a number": lambda: leases.get(cast(Any, 5)),
        },
    )
    assert await c.all() == []
    assert await leases.get("job2") is None
    assert (await leases.renew(lease, 5)).token == lease.token


# --- transactions ---------------------------------------------------------------------------------------------------------


async def table(db: Backend) -> None:
    """A table of the user's own."""
    async with db.transaction() as tx:
        await tx.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT UNIQUE NOT NULL)")


async def notes(db: Backend) -> list[Any]:
    async with db.transaction() as tx:
        return [row[0] for row in await tx.execute("SELECT text FROM notes ORDER BY id")]


async def test_everything_in_a_transaction_commits_together(db: Backend) -> None:
    """Events, snapshots, models, checkpoints and the user's own SQL."""
    await table(db)
    async with db.transaction() as tx:
        assert (await tx.events.append(story("a", 2))).positions == (1, 2)
        assert (await tx.events.append([note("loose", tags=["t:1"])])).positions == (3,)
        await tx.snapshots.save(snapshot(A, 2))
        assert await tx.models.put("c", "1", "{}") == 1
        await tx.checkpoints.save("p", 3)
        assert await tx.execute("INSERT INTO notes (text) VALUES (?) RETURNING id", ("é",)) == [(1,)]
    assert [event.version for event in await db.events.load(A)] == [1, 2]
    assert await db.events.head() == 3
    assert await db.snapshots.latest(A) == snapshot(A, 2)
    assert await db.models.get("c", "1") is not None
    checkpoint = await db.checkpoints.get("p")
    assert checkpoint is not None
    assert checkpoint.position == 3
    assert await notes(db) == ["é"]


async def test_an_exception_rolls_everything_back(db: Backend) -> None:
    """It passes through, and nothing of the block is there; positions, versions and keys are as if it had never been."""
    await table(db)
    with pytest.raises(ZeroDivisionError):
        async with db.transaction() as tx:
            await tx.events.append([*story("a", 2), note("x", tags=["t:1"])])
            await tx.snapshots.save(snapshot(A, 2))
            await tx.models.put("c", "1", "{}")
            await tx.checkpoints.save("p", 3)
            await tx.execute("INSERT INTO notes (text) VALUES ('x')")
            raise ZeroDivisionError
    assert await db.events.head() == 0
    assert await db.events.load(A) == []
    assert await db.events.count(EventQuery(tags=["t:1"])) == 0
    assert await db.snapshots.latest(A) is None
    assert await db.models.get("c", "1") is None
    assert await db.checkpoints.all() == []
    assert await notes(db) == []
    assert (await db.events.append(story("a", 1))).positions == (1,)


async def test_a_transaction_sees_its_own_writes(db: Backend) -> None:
    """Through each of its stores, by every way of reading; following is refused."""
    async with db.transaction() as tx:
        events = [*story("a", 70), note("x", tags=["t:1"])]
        await tx.events.append(events)
        assert await tx.events.load(A) == events[:70]
        assert await tx.events.query().list() == events
        assert await tx.events.query(EventQuery(tags=["t:1"])).list() == events[70:]
        assert await tx.events.find(events[0].id) == events[0]
        assert (await tx.events.head(), await tx.events.count()) == (71, 71)
        assert [info.version for info in await tx.events.aggregates().list()] == [70]
        await tx.models.put("c", "1", '{"f": 1}')
        assert [record.id for record in await tx.models.query("c", where={"f": 1}).list()] == ["1"]
        await tx.snapshots.save(snapshot(A, 3))
        assert await tx.snapshots.latest(A) == snapshot(A, 3)
        await tx.checkpoints.save("p", 5)
        assert len(await tx.checkpoints.all()) == 1
        assert await tx.events.delete(A) == 70
        assert await tx.events.load(A) == []
        with pytest.raises(TransactionError, match="follow"):
            await anext(tx.events.follow(after=71))
    assert await db.events.query().list() == events[70:]


async def test_others_see_nothing_before_the_commit(file: Place) -> None:
    """Neither another handle, nor the readers of the same backend."""
    async with file.open() as db:
        with file.second() as other:
            async with db.transaction() as tx:
                await tx.events.append(story("a", 1))
                await tx.models.put("c", "1", "{}")
                assert other.events.head() == await db.events.head() == 0
                assert other.events.query().list() == await db.events.load(A) == []
                assert other.models.get("c", "1") is None
            assert other.events.head() == await db.events.head() == 1


async def test_a_failed_operation_leaves_the_transaction_usable(db: Backend) -> None:
    """What it wrote is undone and nothing else: conflicts, conditions, duplicates, the user's own constraints."""
    await table(db)
    async with db.transaction() as tx:
        first = note("first")
        await tx.events.append([first])
        with pytest.raises(ConcurrencyError):
            await tx.events.append(story("a", 1, after=4))
        with pytest.raises(AppendConditionFailed):
            await tx.events.append([note("x")], condition=AppendCondition(EventQuery()))
        with pytest.raises(GoesError):
            await tx.events.append([*story("a", 2), note("dup", A, 3, id=first.id)])
        with pytest.raises(ModelConflict):
            await tx.models.put("c", "1", "{}", expected=4)
        await tx.execute("INSERT INTO notes (text) VALUES ('one')")
        with pytest.raises(StoreError):
            await tx.execute("INSERT INTO notes (text) VALUES ('two'), ('one')")
        with pytest.raises(StoreError):
            await tx.execute("SELECT nothing FROM nowhere")
        await tx.events.append(story("a", 1))
    assert [event.data.text for event in await db.events.query().list()] == ["first", "a-1"]
    assert await notes(db) == ["one"]


@pytest.mark.parametrize(
    "sql",
    [
        "BEGIN", "COMMIT", "commit;", "  END", "ROLLBACK", "SAVEPOINT x", "RELEASE operation", "ROLLBACK TO operation",
        "/* a comment */ COMMIT", "-- a comment\nCOMMIT", ";COMMIT", "INSERT INTO notes (text) VALUES ('x'); COMMIT",
        "BEGIN IMMEDIATE", "END TRANSACTION",
    ],
)  # fmt: skip
async def test_a_transaction_cannot_be_ended_by_sql(db: Backend, sql: str) -> None:
    """BEGIN, COMMIT and their like are refused in whatever disguise, and what was written stays undecided."""
    await table(db)
    with pytest.raises(ZeroDivisionError):
        async with db.transaction() as tx:
            await tx.events.append([note("x")])
            for _ in range(2):
                with pytest.raises((TransactionError, StoreError)):
                    await tx.execute(sql)
            await tx.events.append([note("y")])
            raise ZeroDivisionError
    assert await db.events.head() == 0
    assert await notes(db) == []


async def test_words_that_only_look_like_it_are_fine(db: Backend) -> None:
    """COMMIT as a value, as a column, or in a comment; the same statement as often as one likes."""
    async with db.transaction() as tx:
        await tx.execute('CREATE TABLE "begin" ("commit" TEXT)')
        for _ in range(3):
            await tx.execute('INSERT INTO "begin" VALUES (?)', ("COMMIT",))
        assert (
            await tx.execute('SELECT "commit" FROM "begin" -- COMMIT\n WHERE "commit" = \'COMMIT\'')
            == [("COMMIT",)] * 3
        )
        with pytest.raises(TransactionError):
            await tx.execute(cast(Any, 5))


async def test_a_transaction_that_sqlite_rolled_back_stays_so(db: Backend) -> None:
    """INSERT OR ROLLBACK ends it: every further use and the commit itself are TransactionError, nothing is stored."""
    await table(db)
    with pytest.raises(TransactionError, match="rolled back"):
        async with db.transaction() as tx:
            await tx.events.append([note("x")])
            await tx.execute("INSERT INTO notes (text) VALUES ('one')")
            with pytest.raises(StoreError):
                await tx.execute("INSERT OR ROLLBACK INTO notes (text) VALUES ('one')")
            with pytest.raises(TransactionError, match="rolled back"):
                await tx.events.append([note("y")])
            with pytest.raises(TransactionError, match="rolled back"):
                await tx.events.head()
    assert await db.events.head() == 0
    assert await notes(db) == []
    await db.events.append([note("z")])


async def test_writes_beside_the_transaction_are_refused(db: Backend) -> None:
    """TransactionError instead of a deadlock, for every store and for a nested transaction; afterwards they work."""
    async with db.transaction() as tx:
        await tx.events.append([note("x")])
        await raises(
            TransactionError,
            {
                "append": lambda: db.events.append([note("y")]),
                "delete": lambda: db.events.delete(A),
                "snapshot": lambda: db.snapshots.save(snapshot(A, 1)),
                "model": lambda: db.models.put("c", "1", "{}"),
                "checkpoint": lambda: db.checkpoints.save("p", 1),
                "lease": lambda: db.leases.acquire("job", "me", 1),
                "nested": lambda: db.transaction().__aenter__(),
                "close": db.close,
            },
        )
        await tx.events.append([note("z")])
    assert (await db.events.append([note("y")])).positions == (3,)


async def test_a_transaction_that_ended_is_of_no_use(db: Backend) -> None:
    """TransactionError for whatever is tried on it."""
    async with db.transaction() as tx:
        await tx.events.append([note("x")])
    await raises(
        TransactionError,
        {
            "append": lambda: tx.events.append([note("y")]),
            "head": tx.events.head,
            "execute": lambda: tx.execute("SELECT 1"),
            "model": lambda: tx.models.get("c", "1"),
        },
    )
    assert await db.events.head() == 1


async def test_on_commit_runs_after_the_commit_only(db: Backend) -> None:
    """In order, when the transaction is no longer open, so that it may write; never after a rollback."""
    done: list[str] = []

    async def write() -> None:
        done.append(f"head {await db.events.head()}")
        await db.events.append([note("from the action")])

    async def say() -> None:
        done.append("second")

    async with db.transaction() as tx:
        tx.on_commit(write)
        tx.on_commit(say)
        await tx.events.append([note("x")])
        assert done == []
    assert done == ["head 1", "second"]
    with contextlib.suppress(ZeroDivisionError):
        async with db.transaction() as tx:
            tx.on_commit(say)
            raise ZeroDivisionError
    assert done == ["head 1", "second"]
    assert await db.events.head() == 2


async def test_an_action_that_fails_after_the_commit(db: Backend, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged: the transaction is committed, and the actions behind it run."""
    done: list[str] = []

    async def fail() -> None:
        raise ZeroDivisionError

    async def say() -> None:
        done.append("second")

    async with db.transaction() as tx:
        tx.on_commit(fail)
        tx.on_commit(say)
        await tx.events.append([note("x")])
    assert done == ["second"]
    assert "an action after a commit failed" in caplog.text
    assert await db.events.head() == 1


async def test_names_of_a_rolled_back_transaction_are_forgotten(db: Backend) -> None:
    """A new event name whose key was rolled back does not give its name to the next one that gets the key."""
    with contextlib.suppress(ZeroDivisionError):
        async with db.transaction() as tx:
            await tx.events.append([note("x")])
            assert [event.name for event in await tx.events.query().list()] == ["noted"]
            raise ZeroDivisionError
    closed = registry.type_of("closed")()
    await db.events.append([Event(closed, registry=registry)])
    assert [(event.name, event.data) for event in await db.events.query().list()] == [("closed", closed)]


async def test_a_read_only_store_refuses_to_begin(file: Place) -> None:
    """StoreReadOnly for transactions and for every write; reading works."""
    async with file.open() as db:
        await db.events.append(story("a", 1))
    async with file.open(read_only=True) as db:
        await raises(
            StoreReadOnly,
            {
                "transaction": lambda: db.transaction().__aenter__(),
                "append": lambda: db.events.append([note("x")]),
                "delete": lambda: db.events.delete(A),
                "snapshot": lambda: db.snapshots.save(snapshot(A, 1)),
                "model": lambda: db.models.put("c", "1", "{}"),
                "checkpoint": lambda: db.checkpoints.save("p", 1),
                "lease": lambda: db.leases.acquire("job", "me", 1),
            },
        )
        assert len(await db.events.load(A)) == await db.events.head() == 1


async def test_a_cancelled_block_is_rolled_back(loop_place: Place) -> None:
    """Wherever it is cancelled: afterwards all of it is there or nothing, and the store goes on."""
    async with loop_place.open() as db:

        async def work(number: int) -> None:
            async with db.transaction() as tx:
                await tx.events.append([note(f"{number}-first", (f"n{number}", "1"), 1)])
                await asyncio.sleep(0)
                await tx.models.put("c", str(number), "{}")
                await tx.events.append([note(f"{number}-second", (f"n{number}", "1"), 2)])

        for number in range(40):
            task = asyncio.create_task(work(number))
            for _ in range(number):
                await asyncio.sleep(0.0001 * (number % 2))
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            events = await db.events.load(AggregateRef(f"n{number}", "1"))
            model = await db.models.get("c", str(number))
            assert (len(events), model is None) in ((0, True), (2, False))
        assert (await db.events.append([note("x")])).position == await db.events.count()


async def test_a_block_that_is_cancelled_while_it_commits_is_settled(loop_place: Place) -> None:
    """When it has ended everybody sees what became of it, although COMMIT cannot be called back."""
    async with loop_place.open() as db:
        writer = cast(Any, db).writer
        end = writer.end
        committing = threading.Event()

        def slowly(**options: Any) -> None:
            committing.set()
            time.sleep(0.05)
            end(**options)

        async def work() -> None:
            async with db.transaction() as tx:
                await tx.events.append([note("x")])
                writer.end = slowly

        task = asyncio.create_task(work())
        await asyncio.to_thread(committing.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        writer.end = end
        assert await db.events.head() == 1


async def test_a_task_that_outlives_the_transaction_may_write(loop_place: Place) -> None:
    """A task that was started inside is refused while it is open, and welcome afterwards."""
    async with loop_place.open() as db:
        ended = asyncio.Event()

        async def later() -> int:
            with pytest.raises(TransactionError):
                await db.events.append([note("too early")])
            await ended.wait()
            return (await db.events.append([note("later")])).position

        async with db.transaction() as tx:
            task = asyncio.create_task(later())
            await asyncio.sleep(0)
            await tx.events.append([note("x")])
        ended.set()
        assert await task == 2


async def test_other_tasks_wait_for_the_transaction(loop_place: Place) -> None:
    """Appends, reads and transactions of other tasks come before or behind it, never into it."""
    async with loop_place.open() as db:

        async def transact(number: int) -> tuple[int, ...]:
            positions: tuple[int, ...] = ()
            async with db.transaction() as tx:
                for _ in range(3):
                    positions += (await tx.events.append([note(f"tx {number}")])).positions
                    await asyncio.sleep(0.0005)
            return positions

        async def append(number: int) -> tuple[int, ...]:
            await asyncio.sleep(0.0005 * number)
            return (await db.events.append([note(f"plain {number}")])).positions

        results = await asyncio.gather(*(transact(n) for n in range(5)), *(append(n) for n in range(20)))
        for positions in results[:5]:
            assert positions == tuple(range(positions[0], positions[0] + 3))
        assert sorted(p for positions in results for p in positions) == list(range(1, 36))


def test_other_threads_wait_for_the_transaction(driver: str, tmp_path: Path) -> None:
    """On the blocking face the thread of the transaction has the store to itself until it ends."""
    with connect(tmp_path / "store.db", driver=driver, registry=registry, durability="normal") as db:
        inside = threading.Event()
        order: list[str] = []

        def write() -> None:
            inside.wait()
            db.events.append([note("other")])
            order.append("other")

        thread = threading.Thread(target=write)
        thread.start()
        with db.transaction() as tx:
            inside.set()
            for number in range(20):
                tx.events.append([note(str(number))])
            order.append("transaction")
        thread.join()
        assert order == ["transaction", "other"]
        assert [event.data.text for event in db.events.query()] == [*map(str, range(20)), "other"]


async def test_the_bus_hears_of_committed_events_only(loop_place: Place) -> None:
    """After the commit, in position order, with positions; never of what was rolled back or refused."""
    async with loop_place.open() as db, db.bus.subscribe(["noted"]) as subscription:
        await db.events.append([note("0")])
        with contextlib.suppress(ZeroDivisionError):
            async with db.transaction() as tx:
                await tx.events.append([note("rolled back")])
                raise ZeroDivisionError
        with pytest.raises(ConcurrencyError):
            await db.events.append([note("refused"), *story("a", 1, after=4)])
        async with db.transaction() as tx:
            await tx.events.append([note("1")])
            with contextlib.suppress(ConcurrencyError):
                await tx.events.append([note("refused"), *story("a", 1, after=4)])
            await tx.events.append([note("2"), note("3")])
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    seen_early = [(await anext(subscription)).event for _ in range(2)]
                    raise AssertionError(seen_early)
        retried = note("4")
        await db.events.append([retried])
        await db.events.append([retried])
        await db.events.append([note("5")])
        seen: list[tuple[str, int]] = []
        async with asyncio.timeout(10):
            while len(seen) < 5:
                delivery = await anext(subscription)
                seen.append((delivery.event.data.text, delivery.event.position))
                await delivery.ack()
        assert seen == [("1", 2), ("2", 3), ("3", 4), ("4", 5), ("5", 6)]
