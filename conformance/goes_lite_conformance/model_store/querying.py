"""Finding read models: by their fields, in order, and limited."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from goes_lite.contract.backend import Backend
from goes_lite.contract.model_store import ModelQuery, ModelRecord
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.samples import CONFUSABLE

FIELDS: dict[str, Any] = {
    "absent": {}, "null": {"f": None}, "true": {"f": True}, "false": {"f": False}, "zero": {"f": 0}, "minus": {"f": -1},
    "one": {"f": 1}, "one-float": {"f": 1.0}, "half": {"f": 0.5}, "large": {"f": 2**53 + 1}, "large-less": {"f": 2**53},
    "longest": {"f": 2**63 - 1}, "text-1": {"f": "1"}, "text-true": {"f": "true"}, "text-null": {"f": "null"},
    "text-a": {"f": "a"}, "text-A": {"f": "A"}, "text-ab": {"f": "ab"}, "text-a-space": {"f": "a "}, "empty": {"f": ""},
    "list": {"f": [1]}, "list-text": {"f": "[1]"}, "list-a": {"f": ["a"]}, "empty-list": {"f": []}, "empty-object": {"f": {}},
    "scalar": 5, "array": [1], "nothing": None,
}  # fmt: skip

COMPARABLE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 1.0, 0.5, 2**53 + 1, 2**53, 2.0**53, 2**63 - 1, "", "1", "true", "null", "a", "A", "ab",
    "a ", "[1]", "0", "-1",
)  # fmt: skip


async def _filled(db: Backend, documents: Mapping[str, Any]) -> None:
    for id, document in documents.items():
        await db.models.put("c", id, json.dumps(document))


async def _ids(db: Backend, **options: Any) -> list[str]:
    return [record.id for record in await db.models.query("c", **options).list()]


class ModelQueryRules(Contract):
    """Rules MS-QUERY."""

    async def test_all_of_a_collection_come_by_id(self, db: Backend) -> None:
        """MS-QUERY-001: A query returns every record of the collection and no other, by id, by code point."""
        await _filled(db, dict.fromkeys((*CONFUSABLE, "\ufb00", "😀"), 5))
        await db.models.put("C", "1", "5")
        assert await _ids(db) == sorted({*CONFUSABLE, "\ufb00", "😀"})
        assert await db.models.query("unknown").list() == []

    async def test_whole_records_come(self, db: Backend) -> None:
        """MS-QUERY-002: Each record is returned as `get` does: with its collection, version and data."""
        await _filled(db, {"1": {"é": [1]}, "2": "x"})
        await db.models.put("c", "2", '"y"')
        found = await db.models.query("c").list()
        assert found == [await db.models.get("c", "1"), await db.models.get("c", "2")]
        assert {type(record) for record in found} == {ModelRecord}

    async def test_reversed_they_come_the_other_way_round(self, db: Backend) -> None:
        """MS-QUERY-003: `reverse` exactly reverses the order by id."""
        await _filled(db, dict.fromkeys("bcaBCA", 5))
        assert await _ids(db, reverse=True) == ["c", "b", "a", "C", "B", "A"]

    async def test_at_most_so_many_come(self, db: Backend) -> None:
        """MS-QUERY-004: `limit` returns at most that many records: the first in the order."""
        await _filled(db, {str(number): {"even": number % 2 == 0} for number in range(5)})
        limits = (0, 1, 4, 5, 6, 2**70)
        assert [len(await _ids(db, limit=limit)) for limit in limits] == [0, 1, 4, 5, 5, 5]
        assert await _ids(db, limit=2, reverse=True) == ["4", "3"]
        assert await _ids(db, limit=2, where={"even": True}) == ["0", "2"]

    async def test_a_long_list_is_whole(self, db: Backend) -> None:
        """MS-QUERY-005: Any number of records is returned in order, each once, in both directions, with any limit."""
        ids = [f"{number:04}" for number in range(400)]
        await _filled(db, dict.fromkeys(ids, 5))
        assert await _ids(db) == ids
        assert await _ids(db, reverse=True) == ids[::-1]
        for limit in (63, 64, 65, 319, 320, 321, 399, 400, 401):
            assert await _ids(db, limit=limit) == ids[:limit]


class WhereRules(Contract):
    """Rules MS-WHERE."""

    async def _where(self, db: Backend, value: Any) -> set[str]:
        await _filled(db, FIELDS)
        return {*await _ids(db, where={"f": value})}

    async def test_text_equals_the_same_text(self, db: Backend) -> None:
        """MS-WHERE-001: Text matches exactly the same text: no other case, no part, no pattern, no number."""
        assert await self._where(db, "a") == {"text-a"}
        assert await self._where(db, "1") == {"text-1"}
        assert await self._where(db, "") == {"empty"}
        assert await self._where(db, "[1]") == {"list-text"}
        for text in ("a%", "A*", "' OR 1=1 --", "$f"):
            assert await self._where(db, text) == set()

    async def test_any_text_is_told_from_any_other(self, db: Backend) -> None:
        """MS-WHERE-002: Texts that a collation or an escape might confuse are distinct."""
        await _filled(db, {text: {"f": text} for text in CONFUSABLE})
        for text in CONFUSABLE:
            assert await _ids(db, where={"f": text}) == [text]

    async def test_numbers_equal_numbers(self, db: Backend) -> None:
        """MS-WHERE-003: A number matches by value: 1 equals 1.0; 64-bit ints are exact."""
        assert await self._where(db, 1) == await self._where(db, 1.0) == {"one", "one-float"}
        assert await self._where(db, 0.5) == {"half"}
        assert await self._where(db, -1) == {"minus"}
        assert await self._where(db, 2**53 + 1) == {"large"}
        assert await self._where(db, 2**63 - 1) == {"longest"}

    async def test_true_is_no_number(self, db: Backend) -> None:
        """MS-WHERE-004: True and False match only themselves: neither 1 and 0 nor text."""
        assert await self._where(db, True) == {"true"}
        assert await self._where(db, False) == {"false"}
        assert await self._where(db, 0) == {"zero"}

    async def test_none_is_null_or_nothing(self, db: Backend) -> None:
        """MS-WHERE-005: None matches null and a missing field, but not empty text, 0, false, or an empty list."""
        assert await self._where(db, None) == {"absent", "null", "scalar", "array", "nothing"}

    async def test_a_path_leads_into_objects(self, db: Backend) -> None:
        """MS-WHERE-006: A dotted path leads into nested objects, to any depth; where it ends early, the field is missing."""
        await _filled(db, {"1": {"a": {"b": {"c": 5}}}, "2": {"a": {"b": 5}}, "3": {"a.b.c": 5}, "4": {"a": None}})
        assert await _ids(db, where={"a.b.c": 5}) == ["1"]
        assert await _ids(db, where={"a.b": 5}) == ["2"]
        assert await _ids(db, where={"a.b.c": None}) == ["2", "3", "4"]

    async def test_a_path_does_not_lead_into_lists(self, db: Backend) -> None:
        """MS-WHERE-007: A list does not match its items, and a number in a path is a field name, not an index."""
        await _filled(db, {"1": {"f": [5]}, "2": {"f": {"0": 5}}, "3": {"f": [{"g": 5}]}, "4": [5]})
        assert await _ids(db, where={"f": 5}) == []
        assert await _ids(db, where={"f.0": 5}) == ["2"]
        assert await _ids(db, where={"f.g": 5}) == []
        assert await _ids(db, where={"0": 5}) == []

    async def test_all_fields_have_to_equal(self, db: Backend) -> None:
        """MS-WHERE-008: With several fields, all have to match; with none, every record does."""
        await _filled(db, {"1": {"a": 1, "b": 1}, "2": {"a": 1, "b": 2}, "3": {"a": 2, "b": 2}, "4": {"a": 1}})
        assert await _ids(db, where={"a": 1, "b": 2}) == ["2"]
        assert await _ids(db, where={"a": 1, "b": None}) == ["4"]
        assert await _ids(db, where={}) == ["1", "2", "3", "4"]

    async def test_a_name_is_just_a_name(self, db: Backend) -> None:
        """MS-WHERE-009: Characters that are special in a query language are not special in a field name."""
        names = ("a b", "x[0]", "$d", "$", "#-1", "*", "@", "'", "`", "é", "_id", "id", "data", "-", "?", "(", "A", "a")
        await _filled(db, {str(number): {name: 5} for number, name in enumerate(names)})
        assert [await _ids(db, where={name: 5}) for name in names] == [[str(number)] for number in range(len(names))]

    async def test_a_name_is_found_in_any_spelling(self, db: Backend) -> None:
        """MS-WHERE-010: A field is found however JSON spells its name and value, with or without escapes."""
        await db.models.put("c", "1", '{"\\u00e9\\ud83d\\ude00": "\\u00e9\\u0061"}')
        await db.models.put("c", "2", '{"é😀": "éa"}')
        assert await _ids(db, where={"é😀": "éa"}) == ["1", "2"]

    async def test_a_query_means_what_matches_says(self, db: Backend) -> None:
        """MS-WHERE-011: For any document and value, a record is found exactly if `ModelQuery.matches` says so."""
        await _filled(db, FIELDS)
        for value in COMPARABLE:
            where = {"f": value}
            meaning = ModelQuery(where, None, None)
            expected = sorted(id for id, document in FIELDS.items() if meaning.matches(document))
            assert await _ids(db, where=where) == expected, where


class OrderRules(Contract):
    """Rules MS-ORDER."""

    async def test_none_comes_first_then_numbers_then_text(self, db: Backend) -> None:
        """MS-ORDER-001: Ordered by a field, None comes first, then numbers by value, then text by code point."""
        values = [None, -1, 0.5, 2, 10, 2**53, 2**53 + 1, "", "10", "9", "B", "a", "b", "é", "\ufb00", "😀"]
        await _filled(db, {f"{97 * number % 100:02}": {"f": value} for number, value in enumerate(values)})
        found = [json.loads(record.data)["f"] for record in await db.models.query("c", order_by="f").list()]
        assert found == values

    async def test_equal_values_come_by_id(self, db: Backend) -> None:
        """MS-ORDER-002: Records with equal values are ordered by id, as are those without one; 1 and 1.0 are equal."""
        await _filled(db, {"d": {"f": 1}, "b": {"f": None}, "c": {"f": 1.0}, "e": {"f": 1}, "a": {}, "f": 5})
        assert await _ids(db, order_by="f") == ["a", "b", "f", "c", "d", "e"]

    async def test_the_order_can_be_reversed(self, db: Backend) -> None:
        """MS-ORDER-003: `reverse` exactly reverses the order, including ids."""
        await _filled(db, {"d": {"f": 1}, "b": {}, "c": {"f": "x"}, "e": {"f": 1}, "a": {}, "f": {"f": "x"}})
        assert await _ids(db, order_by="f", reverse=True) == ["f", "c", "e", "d", "b", "a"]

    async def test_the_order_holds_across_pages(self, db: Backend) -> None:
        """MS-ORDER-004: Any number of records, with any number of equal values, is returned in order, each once."""
        values = [None, 3, -1, 2.5, "b", "a", "B", "10", None, 3]
        documents = {f"{number:03}": {"f": {"g": values[number % 10]}} if number % 13 else {} for number in range(400)}
        await _filled(db, documents)
        meaning = ModelQuery(None, "f.g", None)
        expected = sorted(documents, key=lambda id: meaning.key(id, documents[id]))
        for limit in (None, 1, 63, 64, 65, 320, 399, 500):
            assert await _ids(db, order_by="f.g", limit=limit) == expected[:limit]
            assert await _ids(db, order_by="f.g", limit=limit, reverse=True) == expected[::-1][:limit]

    async def test_the_found_ones_are_ordered(self, db: Backend) -> None:
        """MS-ORDER-005: Order and limit apply to the records that `where` selects, by any field and across pages."""
        documents = {f"{number:03}": {"f": number % 7, "g": number % 3} for number in range(400)}
        await _filled(db, documents)
        expected = sorted((id for id in documents if documents[id]["g"] == 1), key=lambda id: (documents[id]["f"], id))
        assert await _ids(db, where={"g": 1}, order_by="f") == expected
        assert await _ids(db, where={"g": 1}, order_by="f", limit=5, reverse=True) == expected[:-6:-1]
