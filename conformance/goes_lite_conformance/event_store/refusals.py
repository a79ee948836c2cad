"""Bad input: a typed error, and an unchanged store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

from goes_lite.contract.backend import Backend
from goes_lite.contract.event_store import AppendCondition
from goes_lite.errors import InvalidEventError, InvalidQueryError, StoreClosed
from goes_lite.events.event import Event
from goes_lite.events.query import EventQuery
from goes_lite_conformance.harness.asserts import each_refused, refused, unchanged
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.samples import NOON, A, B, Noted, careless, note, story

NOT_NUMBERS: tuple[Any, ...] = (-1, -(2**70), 1.0, 0.5, float("nan"), "1", True, False, b"1", [1], NOON)
"""Values that are not valid as a position, version or limit."""
NOT_QUERIES: tuple[Any, ...] = ("sample.noted", 5, ["sample.noted"], {"names": ["sample.noted"]}, EventQuery, b"x")
NOT_REFS: tuple[Any, ...] = (
    "a", "order", 5, None, b"order", ("order",), ("order", "a", 1), ["order", "a"], ("order", ""), ("", "a"), ("order", 5),
    ("order", None), ("order", "\ud800"), ("order", "a\0b"), ("order", "x" * 100_000),
)  # fmt: skip


def each(call: Callable[[Any], Any], values: tuple[Any, ...], what: str) -> dict[str, Callable[[], Any]]:
    """Return a call for each value, named after it."""
    return {f"{what} {value!r:.40}": lambda value=value: call(value) for value in values}  # type: ignore[misc]


class RefusalRules(Contract):
    """Rules ES-BAD."""

    # --- appending --------------------------------------------------------------------------------------------------

    async def test_append_takes_a_collection(self, db: Backend) -> None:
        """ES-BAD-001: Appending anything but a collection of events raises InvalidEventError: a single event, a value, a str."""
        values = (note("x"), Noted("x"), Event, "sample.noted", b"x", 5, 0, True, False, None)
        async with unchanged(db):
            await each_refused(InvalidEventError, each(db.events.append, values, "append"))

    async def test_append_takes_events(self, db: Backend) -> None:
        """ES-BAD-002: Anything in a batch that is not an event, wherever it stands, raises InvalidEventError.

        The events before and after it are not written.
        """
        await db.events.append(story(A, 1))
        values: tuple[Any, ...] = (None, 5, "x", {}, Noted("x"), Event, [note("x")], (A, 1))
        async with unchanged(db):
            await each_refused(InvalidEventError, each(lambda bad: db.events.append([bad]), values, "append"))
            await each_refused(
                InvalidEventError,
                each(lambda bad: db.events.append([note("x"), *story(A, 1, after=1), bad, note("y")]), values, "among"),
            )

    async def test_versions_within_a_batch_are_contiguous(self, db: Backend) -> None:
        """ES-BAD-003: Versions of an aggregate that skip, repeat or go back within a batch raise InvalidEventError.

        This holds even if the first of them fits, and whatever stands between them: a retry can never help.
        """
        await db.events.append(story(A, 1))
        gaps = ((2, 4), (2, 2), (2, 1), (3, 2), (2, 3, 5), (2, 3, 4, 3), (2, 2**64))
        async with unchanged(db):
            for versions in gaps:
                with refused(InvalidEventError):
                    await db.events.append([note(str(version), A, version) for version in versions])
                between = [one for version in versions for one in (note(str(version), A, version), note("none"))]
                with refused(InvalidEventError):
                    await db.events.append([*story(B, 1), *between, *story(B, 1, after=1)])

    async def test_a_batch_that_raises(self, db: Backend) -> None:
        """ES-BAD-004: If iterating the batch raises, the exception propagates and nothing is written."""

        def broken() -> Iterator[Event[Any]]:
            yield note("x")
            raise ZeroDivisionError("a program's own error")

        async with unchanged(db):
            with refused(ZeroDivisionError):
                await db.events.append(cast("Any", broken()))
        await db.events.append([note("y")])

    async def test_a_payload_that_is_no_text(self, db: Backend) -> None:
        """ES-BAD-005: Text that a user's codec returns but that cannot be encoded raises InvalidEventError.

        Nothing of the batch is written, and the next append works.
        """
        async with unchanged(db):
            for batch in (
                [Event(Noted("\ud800"), registry=careless)],
                [note("fine"), *story(A, 1), Event(Noted("half \udfff"), registry=careless)],
            ):
                with refused(InvalidEventError):
                    await db.events.append(batch)
        await db.events.append([note("x")])

    async def test_a_condition_is_an_append_condition(self, db: Backend) -> None:
        """ES-BAD-006: A condition that is not an AppendCondition raises InvalidQueryError."""
        values: tuple[Any, ...] = (
            EventQuery(),
            (EventQuery(), 0),
            "sample.noted",
            5,
            0,
            True,
            False,
            "",
            [],
            AppendCondition,
        )
        async with unchanged(db):
            await each_refused(
                InvalidQueryError,
                each(lambda bad: db.events.append([note("x")], condition=bad), values, "condition"),
            )

    async def test_a_condition_holds_a_query(self, db: Backend) -> None:
        """ES-BAD-007: A condition whose query is not an EventQuery raises InvalidQueryError."""
        async with unchanged(db):
            await each_refused(
                InvalidQueryError,
                each(
                    lambda bad: db.events.append([note("x")], condition=AppendCondition(bad)),
                    (*NOT_QUERIES, None),
                    "query",
                ),
            )

    async def test_a_condition_holds_a_position(self, db: Backend) -> None:
        """ES-BAD-008: A condition whose `after` is not an int ≥ 0 raises InvalidQueryError; a bool is not an int here."""
        async with unchanged(db):
            await each_refused(
                InvalidQueryError,
                each(
                    lambda bad: db.events.append([note("x")], condition=AppendCondition(EventQuery(), bad)),
                    (*NOT_NUMBERS, None),
                    "after",
                ),
            )

    # --- reading and deleting ---------------------------------------------------------------------------------------

    async def test_load_of_what_is_no_aggregate(self, db: Backend) -> None:
        """ES-BAD-009: Loading anything but an AggregateRef or a valid (name, id) pair raises InvalidEventError."""
        await each_refused(InvalidEventError, each(db.events.load, NOT_REFS, "load"))

    async def test_load_between_what_are_no_versions(self, db: Backend) -> None:
        """ES-BAD-010: `after` and `upto` of `load` must be ints ≥ 0 (`upto` may be None), or InvalidQueryError is raised."""
        load = db.events.load
        await each_refused(InvalidQueryError, each(lambda bad: load(A, after=bad), (*NOT_NUMBERS, None), "after"))
        await each_refused(InvalidQueryError, each(lambda bad: load(A, upto=bad), NOT_NUMBERS, "upto"))

    async def test_a_query_of_what_is_none(self, db: Backend) -> None:
        """ES-BAD-011: Anything but an EventQuery in place of a query, including None, raises InvalidQueryError."""
        values = (*NOT_QUERIES, None)
        calls = {
            **each(lambda bad: db.events.query(bad).list(), values, "query"),
            **each(db.events.count, values, "count"),
            **each(lambda bad: anext(db.events.follow(bad, after=0)), values, "follow"),
        }
        await each_refused(InvalidQueryError, calls)

    async def test_a_query_between_what_are_no_positions(self, db: Backend) -> None:
        """ES-BAD-012: `after`, `upto` and `limit` of `query` must be ints ≥ 0, or InvalidQueryError is raised."""
        query = db.events.query
        calls = {
            **each(lambda bad: query(after=bad).list(), (*NOT_NUMBERS, None), "after"),
            **each(lambda bad: query(upto=bad).list(), NOT_NUMBERS, "upto"),
            **each(lambda bad: query(limit=bad).list(), NOT_NUMBERS, "limit"),
        }
        await each_refused(InvalidQueryError, calls)

    async def test_find_of_what_is_no_id(self, db: Backend) -> None:
        """ES-BAD-013: `find` takes a UUID; text, bytes and anything else raise InvalidQueryError."""
        event = note("x")
        await db.events.append([event])
        values = (str(event.id), event.id.bytes, event.id.int, None, event, "")
        await each_refused(InvalidQueryError, each(cast("Any", db.events.find), values, "find"))

    async def test_aggregates_of_what_is_no_name(self, db: Backend) -> None:
        """ES-BAD-014: Invalid arguments of `aggregates` (name, after, limit) raise InvalidQueryError."""
        list_ = db.events.aggregates
        names = (5, "", "\ud800", "a\0b", "with space", "or*", b"order", ["order"], "x" * 1000)
        calls = {
            **each(lambda bad: list_(bad).list(), names, "name"),
            **each(lambda bad: list_(after=bad).list(), tuple(ref for ref in NOT_REFS if ref is not None), "after"),
            **each(lambda bad: list_(limit=bad).list(), NOT_NUMBERS, "limit"),
        }
        await each_refused(InvalidQueryError, calls)

    async def test_follow_from_what_is_no_position(self, db: Backend) -> None:
        """ES-BAD-015: `after` of `follow` must be an int ≥ 0, or asking for an event, at the latest, raises InvalidQueryError."""
        calls = each(lambda bad: anext(db.events.follow(after=bad)), (*NOT_NUMBERS, None), "after")
        await each_refused(InvalidQueryError, calls)

    async def test_delete_of_what_is_no_aggregate(self, db: Backend) -> None:
        """ES-BAD-016: Deleting anything but an AggregateRef or a valid (name, id) pair raises InvalidEventError."""
        await db.events.append(story(A, 1))
        async with unchanged(db):
            await each_refused(InvalidEventError, each(db.events.delete, NOT_REFS, "delete"))

    async def test_appending_nothing_to_a_closed_store(self, db: Backend) -> None:
        """ES-BAD-017: Appending an empty batch to a closed store raises StoreClosed, as any other use does."""
        await db.close()
        with refused(StoreClosed, location=db.location):
            await db.events.append([])
