"""`Models` over a store: values of one type, and `use`, which changes one under concurrency."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, cast

import pytest

from goes_lite.contract.backend import PROCESSES, Backend
from goes_lite.errors import EncodeError, InvalidQueryError, ModelConflict, ModelNotFound
from goes_lite_conformance.harness.asserts import refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.samples import NOON
from goes_lite_conformance.rule import needs, only


@dataclass
class Summary:
    """A read model with one field of each kind."""

    total: int = 0
    words: list[str] = field(default_factory=list[str])
    time: datetime | None = None


@dataclass
class Bill:
    """A read model with fields that JSON orders in another way, or cannot order."""

    due: Decimal
    at: datetime
    took: timedelta
    paid: Decimal | None = None
    lines: list[int] = field(default_factory=list[int])


def bills() -> dict[str, Bill]:
    """Return bills whose ids are in the order of each of their fields."""
    zone = timezone(timedelta(hours=2))
    return {
        "a": Bill(Decimal(-10), NOON, timedelta(seconds=-3)),
        "b": Bill(Decimal("9.00"), NOON.astimezone(zone) + timedelta(milliseconds=500), timedelta(seconds=9)),
        "c": Bill(Decimal("9.5"), NOON + timedelta(seconds=1), timedelta(seconds=10), Decimal("9.00")),
        "d": Bill(Decimal("1E+1"), NOON.astimezone(zone) + timedelta(hours=1), timedelta(days=1), Decimal("10.00")),
    }


def more(summary: Summary) -> Summary:
    """Return the summary with its total one higher."""
    return replace(summary, total=summary.total + 1)


class ModelsRules(Contract):
    """Rules MS-TYPED."""

    async def test_values_of_a_type_come_back(self, db: Backend) -> None:
        """MS-TYPED-001: `get` and `find` return what `put` wrote, as an equal value of the type."""
        summaries = db.models_of("summary", Summary)
        written = Summary(3, ["é", "\0😀", ""], NOON)
        assert await summaries.put("1", written) == 1
        assert await summaries.get("1") == written
        assert await summaries.find("1") == written

    async def test_a_missing_model(self, db: Backend) -> None:
        """MS-TYPED-002: For a missing model, `get` raises ModelNotFound with its collection and id; `find` returns None."""
        summaries = db.models_of("summary", Summary)
        with refused(ModelNotFound, collection="summary", id="1"):
            await summaries.get("1")
        assert await summaries.find("1") is None

    async def test_writes_may_expect_a_version(self, db: Backend) -> None:
        """MS-TYPED-003: `put` and `delete` accept an expected version and return the same as those of the store."""
        summaries = db.models_of("summary", Summary)
        assert await summaries.put("1", Summary(1), expected=0) == 1
        with refused(ModelConflict, collection="summary", id="1", expected=0, actual=1):
            await summaries.put("1", Summary(2), expected=0)
        with refused(ModelConflict, collection="summary", id="1", expected=2, actual=1):
            await summaries.delete("1", expected=2)
        assert await summaries.get("1") == Summary(1)
        assert await summaries.delete("1", expected=1) is True
        assert await summaries.delete("1") is False

    async def test_values_are_found_by_their_fields(self, db: Backend) -> None:
        """MS-TYPED-004: `query` returns values, selected and ordered by their fields; `clear` removes them all."""
        summaries = db.models_of("summary", Summary)
        for id, total in (("a", 2), ("b", 1), ("c", 2)):
            await summaries.put(id, Summary(total, [id]))
        assert await summaries.query(where={"total": 2}).list() == [Summary(2, ["a"]), Summary(2, ["c"])]
        assert await summaries.query(order_by="total", limit=2).list() == [Summary(1, ["b"]), Summary(2, ["a"])]
        assert [summary.words async for summary in summaries.query(reverse=True)] == [["c"], ["b"], ["a"]]
        assert await summaries.clear() == 3

    async def test_many_at_once(self, db: Backend) -> None:
        """MS-TYPED-005: `put_many` writes values and removes those that are None; `find_many` returns those that exist, by id."""
        summaries = db.models_of("summary", Summary)
        written = {"1": Summary(1, ["é", "\0😀"], NOON), "2": Summary(2), "3": Summary(3)}
        await summaries.put_many(written)
        assert await summaries.find_many(["3", "1", "4"]) == {"3": written["3"], "1": written["1"]}
        await summaries.put_many({"1": None, "2": Summary(5)})
        assert await summaries.find_many([*"1234"]) == {"2": Summary(5), "3": Summary(3)}
        assert await summaries.put("2", Summary(6), expected=2) == 3
        assert await summaries.find_many([]) == {}

    async def test_a_value_of_another_type_is_refused_with_all_the_rest(self, db: Backend) -> None:
        """MS-TYPED-006: If a value of `put_many` does not fit the type, EncodeError is raised, and nothing is written."""
        summaries = db.models_of("summary", Summary)
        await summaries.put_many({"1": Summary(1), "2": Summary(2)})
        wrong = Summary(cast("Any", "many"))
        with refused(EncodeError):
            await summaries.put_many({"1": Summary(5), "2": None, "3": wrong})
        assert await summaries.find_many([*"123"]) == {"1": Summary(1), "2": Summary(2)}

    async def test_values_are_ordered_as_such(self, db: Backend) -> None:
        """MS-TYPED-007: `query` orders by values as their type does, not by their JSON: Decimal, datetime, timedelta."""
        typed, written = db.models_of("bill", Bill), bills()
        await typed.put_many(dict(reversed(written.items())))
        for name in ("due", "at", "took", "paid"):
            assert await typed.query(order_by=name).list() == [*written.values()], name
            assert await typed.query(order_by=name, reverse=True, limit=3).list() == [*written.values()][:0:-1], name
            assert await typed.query(order_by=name, where={"paid": None}, limit=5).list() == [
                written[id] for id in "ab"
            ]

    async def test_values_are_found_as_such(self, db: Backend) -> None:
        """MS-TYPED-008: `query` finds equal values however they are written: 9 is 9.00, an instant is itself in any zone."""
        typed, written = db.models_of("bill", Bill), bills()
        await typed.put_many({**written})
        assert await typed.query(where={"due": Decimal(9)}).list() == [written["b"]]
        assert await typed.query(where={"at": NOON + timedelta(hours=1), "due": Decimal(10)}).list() == [written["d"]]
        assert await typed.query(where={"took": timedelta(days=1)}, order_by="due").list() == [written["d"]]
        assert await typed.query(where={"paid": None}, limit=1).list() == [written["a"]]

    async def test_a_field_has_to_exist(self, db: Backend) -> None:
        """MS-TYPED-009: A field that the type does not have, and one without an order, raise InvalidQueryError."""
        typed = db.models_of("bill", Bill)
        for where, order_by in (
            ({"dew": 1}, None),
            (None, "dew"),
            ({"due.x": 1}, None),
            (None, "lines"),
            ({"due": "x"}, None),
        ):
            with refused(InvalidQueryError):
                await typed.query(where=where, order_by=order_by).list()


class UseRules(Contract):
    """Rules MS-USE."""

    async def test_use_writes_the_result(self, db: Backend) -> None:
        """MS-USE-001: `use` passes the model to the function, writes its result, and returns it."""
        summaries = db.models_of("summary", Summary)
        await summaries.put("1", Summary(5, ["a"]))
        assert await summaries.use("1", more) == Summary(6, ["a"])
        assert await summaries.get("1") == Summary(6, ["a"])

    async def test_use_writes_a_change_in_place(self, db: Backend) -> None:
        """MS-USE-002: If the function returns None, the model as it was changed in place is written and returned."""
        summaries = db.models_of("summary", Summary)
        await summaries.put("1", Summary(5, ["a"]))
        assert await summaries.use("1", lambda summary: summary.words.append("b")) == Summary(5, ["a", "b"])
        assert await summaries.get("1") == Summary(5, ["a", "b"])

    async def test_a_missing_model_begins_as_the_default(self, db: Backend) -> None:
        """MS-USE-003: A missing model begins as a copy of the default, which itself never changes."""
        summaries = db.models_of("summary", Summary)
        default = Summary(1)
        for id in "12":
            assert await summaries.use(id, lambda summary: summary.words.append("a"), default=default) == Summary(
                1, ["a"]
            )
        assert await summaries.use("1", more, default=default) == Summary(2, ["a"])
        assert default == Summary(1)

    async def test_without_a_default_a_model_has_to_exist(self, db: Backend) -> None:
        """MS-USE-004: Without a default, a missing model raises ModelNotFound, and the function is not called."""
        summaries = db.models_of("summary", Summary)
        called: list[Summary] = []
        with refused(ModelNotFound, collection="summary", id="1"):
            await summaries.use("1", called.append)
        assert called == []

    async def test_a_failed_change_writes_nothing(self, db: Backend) -> None:
        """MS-USE-005: If the function raises, the exception propagates, and the model and its version are unchanged."""
        summaries = db.models_of("summary", Summary)
        await summaries.put("1", Summary(5))
        with pytest.raises(ZeroDivisionError):
            await summaries.use("1", lambda summary: summary.words.append(str(1 // 0)))
        assert await summaries.put("1", Summary(5), expected=1) == 2

    @only("async")
    async def test_use_tries_again_on_what_is_stored_by_then(self, db: Backend) -> None:
        """MS-USE-006: After a conflict, the function is called again, with a fresh instance of the stored model."""
        summaries = db.models_of("summary", Summary)
        await summaries.put("1", Summary())
        seen: list[Summary] = []

        async def disturbed(summary: Summary) -> None:
            seen.append(replace(summary, words=[*summary.words]))
            summary.words.append("mine")
            if len(seen) < 4:
                await summaries.put("1", Summary(10 * len(seen)))

        assert await summaries.use("1", disturbed) == Summary(30, ["mine"])
        assert seen == [Summary(0), Summary(10), Summary(20), Summary(30)]
        assert await summaries.get("1") == Summary(30, ["mine"])

    @only("async")
    async def test_use_gives_up_after_so_many_tries(self, db: Backend) -> None:
        """MS-USE-007: When the tries are used up, the last ModelConflict propagates, and nothing is written."""
        summaries = db.models_of("summary", Summary)
        await summaries.put("1", Summary())

        async def disturbed(summary: Summary) -> Summary:
            await summaries.put("1", Summary(summary.total + 10))
            return more(summary)

        with refused(ModelConflict, collection="summary", id="1", expected=3, actual=4):
            await summaries.use("1", disturbed, tries=3)
        assert await summaries.get("1") == Summary(30)

    async def test_no_change_is_lost(self, place: Place, db: Backend) -> None:
        """MS-USE-008: Every concurrent change counts, including the first one, which creates the model."""
        counters = db.models_of("counter", Summary)
        await place.together(*(counters.use("1", more, default=Summary(), tries=1000) for _ in range(12)))
        assert await counters.get("1") == Summary(12)

    @needs(PROCESSES)
    async def test_no_change_of_several_handles_is_lost(self, place: Place, db: Backend) -> None:
        """MS-USE-009: Every concurrent change counts, even if they are made through several handles."""
        async with place.open() as other:
            both = [handle.models_of("counter", Summary) for handle in (db, other)]
            changes = [counters.use("1", more, default=Summary(), tries=1000) for counters in both * 6]
            assert not [error for error in await place.together(*changes) if isinstance(error, BaseException)]
            assert [await counters.get("1") for counters in both] == [Summary(12)] * 2
