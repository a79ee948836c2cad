"""What an append that is refused says: the rules pin types and attributes, here is the text."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from goes_lite_conformance.harness.samples import NOON, A, B, Counted, Noted, note, registry, story

from goes_lite.contract.backend import Backend
from goes_lite.errors import DuplicateEventError, InvalidEventError
from goes_lite.events.event import Event

DIFFERENT: dict[str, dict[str, Any]] = {
    "name": {"data": Counted(1)},
    "aggregate": {"aggregate": B},
    "version": {"version": 2},
    "time": {"time": NOON + timedelta(microseconds=1)},
    "data": {"data": Noted("other")},
    "metadata": {"metadata": {"actor": "bob"}},
    "tags": {"tags": ["color:red", "size:1"]},
}


async def test_a_duplicate_says_which_field_differs(db: Backend) -> None:
    """Who reused an id wants to know what for."""
    fields: dict[str, Any] = {
        "data": Noted("x"), "aggregate": A, "version": 1, "time": NOON, "metadata": {"actor": "ann"},
        "tags": ["color:red"], "id": uuid4(), "registry": registry,
    }  # fmt: skip
    await db.events.append([Event(**fields)])
    for field, change in DIFFERENT.items():
        with pytest.raises(DuplicateEventError, match=f"its {field} differs"):
            await db.events.append([Event(**{**fields, **change})])


async def test_a_batch_that_is_stored_in_part_says_so(db: Backend) -> None:
    """Nothing differs here; it is the batch that is another one."""
    batch = story(A, 2)
    await db.events.append(batch)
    with pytest.raises(DuplicateEventError, match="only part of the batch"):
        await db.events.append([*batch, note("new")])


async def test_a_gap_in_a_batch_says_where_it_is(db: Backend) -> None:
    """The aggregate, and both versions."""
    with pytest.raises(
        InvalidEventError, match=r"version 3 of order\(a\) after version 1: versions must be contiguous"
    ):
        await db.events.append([note("x", A, 1), note("y", A, 3)])
