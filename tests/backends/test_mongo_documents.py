"""Payloads as documents in MongoDB: what a person and a query see, and what comes back."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import goes_lite as goes
from tests.backends.mongo_kit import needs_mongo, store_url

needs_mongo()

import bson  # noqa: E402 - not before the driver is known to be there
from goes_lite_mongo._documents import native, text_of  # noqa: E402
from goes_lite_mongo._options import address_of  # noqa: E402
from goes_lite_mongo._rows import payload_of, put_payload  # noqa: E402
from pymongo import MongoClient  # noqa: E402

registry = goes.Registry()


@registry.event("document.kept")
@dataclass(frozen=True)
class Kept:
    price: float
    counts: dict[str, int]
    names: list[str]


names = st.text(max_size=8) | st.sampled_from(["$set", "a.b", ".", "$", "_id", "", "$ref", "\0", "a\0b", "\ud800"])
numbers = (
    st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([2**63, -(2**63), 1.0, -0.0, 1e300])
)
plain = st.none() | st.booleans() | numbers | names
values = st.recursive(plain, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4))


def through(document: dict[str, Any]) -> dict[str, Any]:
    """What comes back from the server."""
    return bson.decode(bson.encode(document))  # pyright: ignore[reportUnknownMemberType]


@given(values, st.booleans())
def test_json_comes_back_as_the_same_text(value: Any, spaced: bool) -> None:
    """Through BSON, digit by digit, in the order of its keys; what cannot is known not to."""
    text = (
        json.dumps(value, ensure_ascii=False)
        if spaced
        else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    )
    exact, document = native(text)
    if exact:
        assert text_of(through({"data": document})["data"]) == text


@given(values)
def test_a_payload_comes_back_as_it_was(value: Any) -> None:
    """As a document, as text, or as bytes: whatever is in it, if it is text that UTF-8 has, as all payloads are."""
    text = json.dumps(value, separators=(",", ":"))
    for encoding, payload in (("json", text), ("other", text), ("msgpack", text.encode())):
        row: dict[str, Any] = {}
        put_payload(row, "data", encoding, payload)
        assert payload_of(through(row), "data") == payload


@pytest.mark.parametrize(
    ("counts", "field"),
    [({"z": 1, "a": 2**62}, "data"), ({"$inc": 1}, "text"), ({"a.b": 1}, "text"), ({"big": 2**64}, "text")],
)
def test_data_is_a_document_if_it_can_be(counts: dict[str, int], field: str) -> None:
    """Anybody can read it with other tools and query its fields; it comes back as it was in any case."""
    kept = Kept(4.50, counts, ["tea", "käse", "€"])
    url = store_url()

    async def run() -> None:
        async with goes.connect(url, registry=registry) as db:
            await db.events.append([goes.Event(kept, registry=registry)])
            (event,) = await db.events.query().list()
            assert event.data == kept
            assert list(event.data.counts) == list(counts)

    asyncio.run(run())
    address = address_of(url, {})
    client: MongoClient[dict[str, Any]] = MongoClient(address.url)
    with client:
        row = client[address.database][f"{address.prefix}events"].find_one()
    assert row is not None
    assert field in row
    if field == "data":
        assert row["data"] == {"price": 4.5, "counts": counts, "names": ["tea", "käse", "€"]}
