"""Reading by key: an aggregate, one event, the head."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from goes_lite.contract.backend import Backend
from goes_lite.events.fields import AggregateRef
from goes_lite_conformance.harness.asserts import same
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.samples import NOON, A, B, note, story


class LoadRules(Contract):
    """Rules ES-LOAD, ES-FIND and ES-HEAD."""

    # --- load -------------------------------------------------------------------------------------------------------

    async def test_load_gives_one_aggregate_in_version_order(self, db: Backend) -> None:
        """ES-LOAD-001: `load` returns all events of one aggregate in version order, and none of any other."""
        await db.events.append([note("noise"), *story(A, 2), *story(B, 2)])
        await db.events.append([*story(B, 1, after=2), *story(A, 2, after=2)])
        loaded = await db.events.load(A)
        assert [(event.version, event.data.text) for event in loaded] == [
            (1, "a-1"), (2, "a-2"), (3, "a-3"), (4, "a-4"),
        ]  # fmt: skip

    async def test_loaded_events_are_complete(self, db: Backend) -> None:
        """ES-LOAD-002: Loaded events have every field that was appended, and the positions that the append returned."""
        events = story(A, 3, metadata={"by": "me"}, tags=["color:red", "size:1"], time=NOON)
        await db.events.append([note("noise")])
        appended = await db.events.append(events)
        loaded = await db.events.load(A)
        same(loaded, events)
        assert tuple(event.position for event in loaded) == appended.positions

    async def test_load_within_a_window(self, db: Backend) -> None:
        """ES-LOAD-003: `after` and `upto` select after < version ≤ upto."""
        await db.events.append([*story(B, 2), *story(A, 5)])
        windows = [
            ({"after": 2}, [3, 4, 5]),
            ({"upto": 2}, [1, 2]),
            ({"after": 1, "upto": 3}, [2, 3]),
            ({"after": 2, "upto": 3}, [3]),
        ]
        for window, versions in windows:
            assert [event.version for event in await db.events.load(A, **window)] == versions, window

    async def test_load_windows_beyond_the_history(self, db: Backend) -> None:
        """ES-LOAD-004: A window may be empty or lie beyond the history, however far; it selects what there is."""
        await db.events.append(story(A, 3))
        empty = [
            {"after": 3}, {"after": 9}, {"after": 2**70}, {"upto": 0}, {"after": 2, "upto": 2}, {"after": 2, "upto": 1},
        ]  # fmt: skip
        for window in empty:
            assert await db.events.load(A, **window) == [], window
        assert [event.version for event in await db.events.load(A, upto=2**70)] == [1, 2, 3]

    async def test_an_unknown_aggregate_has_no_events(self, db: Backend) -> None:
        """ES-LOAD-005: Loading an unknown aggregate returns no events, even if another one has its name or its id."""
        await db.events.append(story(A, 2))
        for unknown in (("order", "nobody"), ("invoice", "a"), ("nothing", "nobody")):
            assert await db.events.load(AggregateRef(*unknown)) == [], unknown

    async def test_a_long_history_is_loaded_whole(self, db: Backend) -> None:
        """ES-LOAD-006: A history of thousands of events is loaded whole, and so is its end."""
        await db.events.append(story(A, 2500))
        assert [event.version for event in await db.events.load(A)] == list(range(1, 2501))
        assert [event.version for event in await db.events.load(A, after=2400)] == list(range(2401, 2501))

    # --- find -------------------------------------------------------------------------------------------------------

    async def test_find_gives_the_event_of_an_id(self, db: Backend) -> None:
        """ES-FIND-001: `find` returns the event with this id, complete with its position, of an aggregate or of none."""
        fields: dict[str, Any] = {"metadata": {"by": "me"}, "tags": ["color:red"], "time": NOON}
        events = [note("first"), note("of an aggregate", A, 1, **fields), note("of none", **fields), note("last")]
        appended = await db.events.append(events)
        for event, position in zip(events, appended.positions, strict=True):
            found = await db.events.find(event.id)
            assert found is not None
            same([found], [event])
            assert found.position == position

    async def test_find_gives_nothing_for_an_unknown_id(self, db: Backend) -> None:
        """ES-FIND-002: `find` returns None for an id that no event has."""
        assert await db.events.find(uuid4()) is None
        events = story(A, 2)
        await db.events.append(events)
        neighbours = [UUID(int=event.id.int ^ 1) for event in events]
        for unknown in (uuid4(), UUID(int=0), UUID(int=2**128 - 1), *neighbours):
            assert await db.events.find(unknown) is None

    # --- head -------------------------------------------------------------------------------------------------------

    async def test_the_head_of_an_empty_store_is_0(self, db: Backend) -> None:
        """ES-HEAD-001: The head of an empty store is 0."""
        assert await db.events.head() == 0

    async def test_the_head_is_the_position_of_the_last_event(self, db: Backend) -> None:
        """ES-HEAD-002: After each append, the head is the position of its last event."""
        for batch in (story(A, 3), [note("of none")], story(A, 2, after=3)):
            appended = await db.events.append(batch)
            assert await db.events.head() == appended.position
