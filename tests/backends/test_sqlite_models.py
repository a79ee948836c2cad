"""Read models, in memory and in a file, on every face and driver."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from goes_lite.backend import Backend
from goes_lite.errors import InvalidQueryError, ModelConflict, ModelError, ModelNotFound

if TYPE_CHECKING:
    from tests.backends.faces import Place
    from tests.backends.stores_kit import raises
else:
    from stores_kit import raises


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
