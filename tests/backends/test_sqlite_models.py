"""What is SQLite's own about read models; what every backend does is in the suites."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from goes_lite import blocking
from goes_lite.blocking import BlockingDatabase
from goes_lite.errors import ModelError


@pytest.fixture
def db(driver: str) -> Iterator[BlockingDatabase]:
    with blocking.connect(":memory:", driver=driver) as db:
        yield db


def test_booleans_sort_as_numbers(db: BlockingDatabase) -> None:
    """False as 0 and true as 1; the contract leaves their place open."""
    for id, value in (("a", 2), ("b", True), ("c", 0.5), ("d", False), ("e", None), ("f", "x"), ("g", 1)):
        db.models.put("c", id, json.dumps({"f": value}))

    assert [record.id for record in db.models.query("c", order_by="f")] == ["e", "d", "c", "b", "g", "a", "f"]


def test_json_that_sqlite_cannot_take(db: BlockingDatabase) -> None:
    """It is nested deeper than SQLite reads: refused, not stored as something that no query can look into."""
    with pytest.raises(ModelError, match="nested too deep"):
        db.models.put("c", "1", "[" * 900 * 4 + "]" * 900 * 4)

    assert db.models.get("c", "1") is None


def test_letters_are_stored_as_letters(db: BlockingDatabase) -> None:
    """A key that is written with escapes is not found by a path of older SQLite; all other escapes stay."""
    db.models.put("c", "1", '{"\\u00e9\\ud83d\\ude00": "\\\\u00e9 \\" \\n \\u0000 \\ud83d \\/"}')

    record = db.models.get("c", "1")
    assert record is not None
    assert record.data == '{"é😀": "\\\\u00e9 \\" \\n \\u0000 \\ud83d /"}'


def test_json_that_sqlite_cannot_take_among_many(db: BlockingDatabase) -> None:
    """The same of many at once: the one that is nested too deep is named, and nothing is stored."""
    with pytest.raises(ModelError, match="nested too deep") as caught:
        db.models.put_many("c", {"1": "1", "2": "[" * 900 * 4 + "]" * 900 * 4, "3": "3"})

    assert (caught.value.collection, caught.value.id) == ("c", "2")
    assert db.models.get_many("c", ["1", "2", "3"]) == {}


def test_letters_of_many_are_stored_as_letters(db: BlockingDatabase) -> None:
    """The same text is kept whether it comes alone or with others; what is no escape outside of a text stays refused."""
    text = '{"\\u00e9\\ud83d\\ude00": "\\\\u00e9 \\" \\n \\u0000 \\ud83d \\/"}'
    db.models.put_many("c", {"1": text})
    db.models.put("c", "2", text)

    one, two = db.models.get_many("c", ["1", "2"]).values()
    assert one.data == two.data
    for wrong in ("\\u0031", '"\\u12"', '"\\x\\u0031"'):
        with pytest.raises(ModelError, match="is not JSON"):
            db.models.put_many("c", {"1": wrong})


def test_text_ends_where_it_ends(db: BlockingDatabase) -> None:
    """SQLite's own check of JSON reads up to a NUL."""
    for wrong in ("5\0", '{}\0{"a":1}'):
        with pytest.raises(ModelError, match="is not JSON"):
            db.models.put("c", "1", wrong)
        with pytest.raises(ModelError, match="is not JSON"):
            db.models.put_many("c", {"1": wrong})

    assert db.models.get("c", "1") is None
