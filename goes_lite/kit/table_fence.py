"""The fence of a store whose storage is tables of rows by key; see `tables`."""

from __future__ import annotations

import time
from typing import TypeVar

from goes_lite.contract.fence import Fence
from goes_lite.kit.fencing import changed_fence, check_fenced, standing
from goes_lite.kit.tables import Change, Tables

T = TypeVar("T")

_TABLE, _KEY = "fence", "fence"


def _stored(tables: Tables) -> str | None:
    return tables.table(_TABLE).get(_KEY)


def _now() -> int:
    return time.time_ns() // 1000


def fence_of_tables(tables: Tables) -> Fence | None:
    """Return the fence that keeps writers out."""
    return standing(_stored(tables), _now())


def fence_change(location: str, tables: Tables, change: tuple[Fence | None, str | None, int | None]) -> Change[None]:
    """Return the change that `set_fence` makes; FenceChanged if the fence is not as expected."""
    text = changed_fence(location, _stored(tables), _now(), change)
    there = _stored(tables) is not None
    return Change(None, [["put", [_TABLE], _KEY, text]] if text else [["drop", [_TABLE], _KEY]] if there else ())


def fenced(location: str, tables: Tables, change: Change[T], passing: str | None) -> Change[T]:
    """Return a change that may be written, with the removal of a fence that has ended; StoreMoved if it is kept out.

    A session calls it in its `write`, with what the work has returned.
    """
    if not change.records or all(record[1] == [_TABLE] for record in change.records if len(record) > 1):
        return change
    if not check_fenced(location, _stored(tables), passing, _now()):
        return change
    return change._replace(records=[["drop", [_TABLE], _KEY], *change.records])
