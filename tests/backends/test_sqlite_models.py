"""What is SQLite's own about read models; what every backend does is in the suites."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from goes_lite import blocking
from goes_lite.blocking import BlockingBackend
from goes_lite.errors import ModelError


@pytest.fixture
def db(driver: str) -> Iterator[BlockingBackend]:
    with blocking.connect(":memory:", driver=driver) as db:
        yield db


def test_booleans_sort_as_numbers(db: BlockingBackend) -> None:
    """False as 0 and true as 1; the contract leaves their place open."""
    for id, value in (("a", 2), ("b", True), ("c", 0.5), ("d", False), ("e", None), ("f", "x"), ("g", 1)):
        db.models.put("c", id, json.dumps({"f": value}))

    assert [record.id for record in db.models.query("c", order_by="f")] == ["e", "d", "c", "b", "g", "a", "f"]


def test_json_that_sqlite_cannot_take(db: BlockingBackend) -> None:
    """It is nested deeper than SQLite reads: refused, not stored as something that no query can look into."""
    with pytest.raises(ModelError, match="nested too deep"):
        db.models.put("c", "1", "[" * 900 * 4 + "]" * 900 * 4)

    assert db.models.get("c", "1") is None


def test_letters_are_stored_as_letters(db: BlockingBackend) -> None:
    """A key that is written with escapes is not found by a path of older SQLite; all other escapes stay."""
    db.models.put("c", "1", '{"\\u00e9\\ud83d\\ude00": "\\\\u00e9 \\" \\n \\u0000 \\ud83d \\/"}')

    record = db.models.get("c", "1")
    assert record is not None
    assert record.data == '{"é😀": "\\\\u00e9 \\" \\n \\u0000 \\ud83d /"}'
