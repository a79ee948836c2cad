"""Saving snapshots: what is kept exactly, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any, cast

from goes_lite.contract.backend import PERSISTENT, PROCESSES, Backend
from goes_lite.errors import InvalidEventError, InvalidQueryError
from goes_lite.events.fields import AggregateRef
from goes_lite_conformance.harness.asserts import each_refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.samples import CONFUSABLE, NOON, A, B, snapshot
from goes_lite_conformance.rule import needs

AWKWARD_TEXTS = (
    "", " ", "\0", "a\0b", "null", "é", "e\u0301", "\u2028\r\n\t", "\ufeff", "😀\U0010ffff", "'\"\\;--%_$", "{}",
)  # fmt: skip


class SaveRules(Contract):
    """Rules SS-SAVE."""

    async def test_a_snapshot_comes_back_as_it_was_saved(self, db: Backend) -> None:
        """SS-SAVE-001: Every field of a snapshot is read back equal and with the same type."""
        saved = snapshot(A, 7, '{"total": 450}', schema=3, encoding="msgpack")
        await db.snapshots.save(saved)
        found = await db.snapshots.latest(A)
        assert found == saved
        assert found is not None
        assert [type(value) for value in found] == [type(value) for value in saved]

    async def test_text_comes_back_exactly(self, db: Backend) -> None:
        """SS-SAVE-002: A str state is read back exactly: empty, with NUL, in any script, not normalized."""
        for version, state in enumerate(AWKWARD_TEXTS, 1):
            await db.snapshots.save(snapshot(A, version, state))
        assert [found.state for found in await db.snapshots.query(aggregate=A).list()] == [*AWKWARD_TEXTS]

    async def test_bytes_come_back_exactly(self, db: Backend) -> None:
        """SS-SAVE-003: A bytes state is read back exactly, as bytes even if it is valid text."""
        states = (b"", b"\0", b"{}", bytes(range(256)), "é".encode("latin-1"))
        for version, state in enumerate(states, 1):
            await db.snapshots.save(snapshot(A, version, state))
        assert [found.state for found in await db.snapshots.query(aggregate=A).list()] == [*states]

    async def test_a_state_may_be_large(self, db: Backend) -> None:
        """SS-SAVE-004: A state of two megabytes is kept whole, as text and as bytes."""
        await db.snapshots.save(snapshot(A, 1, "é" * 1_000_000))
        await db.snapshots.save(snapshot(B, 1, b"\xff" * 2_000_000))
        text, data = await db.snapshots.latest(A), await db.snapshots.latest(B)
        assert text is not None
        assert data is not None
        assert (text.state == "é" * 1_000_000, data.state == b"\xff" * 2_000_000) == (True, True)

    async def test_times_are_kept_to_the_microsecond(self, db: Backend) -> None:
        """SS-SAVE-005: The time is read back as the same instant, to the microsecond, in UTC, for any year and zone."""
        far = timezone(timedelta(hours=5, minutes=45))
        times = [
            datetime.min.replace(tzinfo=timezone.utc),
            datetime(1969, 12, 31, 23, 59, 59, 999_999, timezone.utc),
            NOON.astimezone(far),
            datetime.max.replace(tzinfo=timezone.utc),
        ]
        for version, time in enumerate(times, 1):
            await db.snapshots.save(snapshot(A, version, time=time))
        found = [one.time for one in await db.snapshots.query(aggregate=A).list()]
        assert found == times
        assert [time.utcoffset() for time in found] == [timedelta(0)] * 4

    async def test_versions_and_schemas_have_64_bits(self, db: Backend) -> None:
        """SS-SAVE-006: The version and the schema may be any int from 1 to 2**63 - 1."""
        for version, schema in ((1, 2**63 - 1), (2**53 + 1, 2**53 + 1), (2**63 - 1, 1)):
            await db.snapshots.save(snapshot(A, version, schema=schema))
        found = [(one.version, one.schema) for one in await db.snapshots.query(aggregate=A).list()]
        assert found == [(1, 2**63 - 1), (2**53 + 1, 2**53 + 1), (2**63 - 1, 1)]

    async def test_a_soft_deletion_is_kept(self, db: Backend) -> None:
        """SS-SAVE-007: Whether the aggregate was deleted is kept, as a bool."""
        await db.snapshots.save(snapshot(A, 1, deleted=True))
        await db.snapshots.save(snapshot(A, 2))
        assert [found.deleted for found in await db.snapshots.query().list()] == [True, False]

    async def test_a_snapshot_of_the_same_version_is_replaced(self, db: Backend) -> None:
        """SS-SAVE-008: Saving a snapshot of the same aggregate and version replaces it, in every field."""
        await db.snapshots.save(snapshot(A, 3, b"\xff", schema=1, encoding="msgpack", deleted=True))
        later = snapshot(A, 3, "again", schema=2, time=NOON + timedelta(1))
        await db.snapshots.save(later)
        assert await db.snapshots.query().list() == [later]

    async def test_snapshots_are_kept_next_to_each_other(self, db: Backend) -> None:
        """SS-SAVE-009: Saving replaces no snapshot of another version, another id, or another aggregate name."""
        saved = [snapshot(AggregateRef("invoice", "a"), 1), snapshot(A, 1), snapshot(A, 2), snapshot(B, 1)]
        for one in saved:
            await db.snapshots.save(one)
        assert await db.snapshots.query().list() == saved

    async def test_ids_are_not_altered(self, db: Backend) -> None:
        """SS-SAVE-010: Ids that differ at all are different aggregates, whatever the collation."""
        refs = [AggregateRef("order", id) for id in (*CONFUSABLE, "x" * 1024)]
        for number, ref in enumerate(refs, 1):
            await db.snapshots.save(snapshot(ref, number))
        found = [await db.snapshots.latest(ref) for ref in refs]
        assert [one and (one.aggregate, one.version) for one in found] == [(ref, n) for n, ref in enumerate(refs, 1)]

    @needs(PERSISTENT)
    async def test_snapshots_survive_closing(self, place: Place) -> None:
        """SS-SAVE-011: Saved snapshots are still there after closing and reopening."""
        saved = snapshot(A, 3, b"\0\xff", deleted=True)
        async with place.open() as db:
            await db.snapshots.save(saved)
        async with place.open() as db:
            assert await db.snapshots.latest(A) == saved

    @needs(PROCESSES)
    async def test_other_handles_see_a_snapshot(self, place: Place, db: Backend) -> None:
        """SS-SAVE-012: Once `save` has returned, every other handle finds the snapshot."""
        async with place.open() as other:
            assert await other.snapshots.latest(A) is None
            await db.snapshots.save(snapshot(A, 1))
            assert await other.snapshots.latest(A) == snapshot(A, 1)


class SaveManyRules(Contract):
    """Rules SS-MANY."""

    async def test_all_are_saved(self, db: Backend) -> None:
        """SS-MANY-001: `save_many` saves every snapshot as `save` does, of any aggregates, text and bytes."""
        saved = [snapshot(AggregateRef("order", id), version) for id in ("a", "b", "é") for version in range(1, 60)]
        saved += [snapshot(A, 61, b"\0", schema=7, encoding="msgpack", deleted=True), snapshot(B, 61, "\0")]
        await db.snapshots.save_many(reversed(saved))
        assert await db.snapshots.query().list() == sorted(saved, key=lambda one: (one.aggregate, one.version))
        await db.snapshots.save_many([])

    async def test_existing_ones_are_replaced(self, db: Backend) -> None:
        """SS-MANY-002: A snapshot replaces one of the same aggregate and version, the last of a batch those before it."""
        await db.snapshots.save(snapshot(A, 1, "old"))
        await db.snapshots.save_many([snapshot(A, 1, "older"), snapshot(B, 1), snapshot(A, 1, "new")])
        assert await db.snapshots.query().list() == [snapshot(A, 1, "new"), snapshot(B, 1)]

    async def test_all_or_none(self, db: Backend) -> None:
        """SS-MANY-003: If one of them is refused, none is saved."""
        bad: dict[str, Any] = {
            "version 0": [snapshot(A, 1), snapshot(B, 0)],
            "no snapshot": [snapshot(A, 1), "x"],
            "one snapshot": snapshot(A, 1),
            "no collection": 7,
        }
        calls = {what: partial(db.snapshots.save_many, value) for what, value in bad.items()}
        await each_refused(InvalidEventError, calls)
        assert await db.snapshots.query().list() == []


class SnapshotRefusalRules(Contract):
    """Rules SS-BAD."""

    async def test_a_snapshot_that_cannot_be_kept_is_refused(self, db: Backend) -> None:
        """SS-BAD-001: A snapshot with an invalid field raises InvalidEventError, and the stored snapshots are unchanged."""
        good = snapshot(A, 2)
        save = db.snapshots.save
        await save(snapshot(A, 1))
        wrong: dict[str, Any] = {
            "no snapshot": "x",
            "a tuple": tuple(good),
            "version 0": good._replace(version=0),
            "version a string": good._replace(version=cast("Any", "1")),
            "version a bool": good._replace(version=True),
            "version too large": good._replace(version=2**63),
            "schema 0": good._replace(schema=0),
            "schema a string": good._replace(schema=cast("Any", "1")),
            "schema too large": good._replace(schema=2**63),
            "state an object": good._replace(state=cast("Any", {})),
            "state None": good._replace(state=cast("Any", None)),
            "state with a lone surrogate": good._replace(state="\ud800"),
            "encoding None": good._replace(encoding=cast("Any", None)),
            "encoding empty": good._replace(encoding=""),
            "naive time": good._replace(time=NOON.replace(tzinfo=None)),
            "time a number": good._replace(time=cast("Any", 1.5)),
            "deleted a string": good._replace(deleted=cast("Any", "yes")),
            "aggregate a string": good._replace(aggregate=cast("Any", "ab")),
            "aggregate without an id": good._replace(aggregate=cast("Any", ("order", ""))),
        }
        await each_refused(InvalidEventError, {what: _saving(db, one) for what, one in wrong.items()})
        assert await db.snapshots.query().list() == [snapshot(A, 1)]

    async def test_what_is_no_aggregate_is_refused(self, db: Backend) -> None:
        """SS-BAD-002: Anything but an AggregateRef in place of one aggregate raises InvalidEventError."""
        store, text = db.snapshots, cast("Any", "ab")
        calls: dict[str, Callable[[], Any]] = {
            "latest": lambda: store.latest(text),
            "delete": lambda: store.delete(text),
            "delete None": lambda: store.delete(cast("Any", None)),
            "prune": lambda: store.prune(aggregate=text),
            "an empty id": lambda: store.latest(cast("Any", ("order", ""))),
        }
        await each_refused(InvalidEventError, calls)

    async def test_wrong_bounds_and_names_are_refused(self, db: Backend) -> None:
        """SS-BAD-003: An invalid bound, number or name raises InvalidQueryError, and nothing is removed."""
        store = db.snapshots
        await store.save(snapshot(A, 1))
        calls: dict[str, Callable[[], Any]] = {
            "upto a string": lambda: store.latest(A, upto=cast("Any", "1")),
            "upto -1": lambda: store.latest(A, upto=-1),
            "upto a bool": lambda: store.latest(A, upto=True),
            "names a string": lambda: store.query(names="order").list(),
            "names None": lambda: store.query(names=cast("Any", None)).list(),
            "names of numbers": lambda: store.query(names=[cast("Any", 5)]).list(),
            "query of a string": lambda: store.query(aggregate=cast("Any", "ab")).list(),
            "version a string": lambda: store.delete(A, version=cast("Any", "1")),
            "version -1": lambda: store.delete(A, version=-1),
            "keep 0": lambda: store.prune(keep=0),
            "keep -1": lambda: store.prune(keep=-1),
            "keep a string": lambda: store.prune(keep=cast("Any", "1")),
            "keep a bool": lambda: store.prune(keep=True),
        }
        await each_refused(InvalidQueryError, calls)
        assert await store.query().list() == [snapshot(A, 1)]


def _saving(db: Backend, what: Any) -> Callable[[], Any]:
    return lambda: db.snapshots.save(what)
