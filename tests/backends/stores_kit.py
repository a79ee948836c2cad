"""What the tests of the stores beside the events share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from goes_lite.event import AggregateRef
from goes_lite.snapshot import Snapshot

NOON = datetime(2026, 3, 1, 12, 0, 0, 123_456, tzinfo=timezone.utc)
A, B = (AggregateRef("order", id) for id in "ab")


async def raises(
    error: type[BaseException] | tuple[type[BaseException], ...], calls: dict[str, Callable[[], Any]]
) -> None:
    """Each of the calls raises one of the errors."""
    for what, call in calls.items():
        try:
            await call()
        except error as raised:
            assert len(str(raised)) > 20, what
        except Exception as raised:
            raise AssertionError(f"{what}: {raised!r}") from raised
        else:
            raise AssertionError(f"{what}: accepted")


def snapshot(ref: AggregateRef, version: int, state: str | bytes = "{}", **fields: Any) -> Snapshot:
    return Snapshot(ref, version, NOON, fields.pop("schema", 1), fields.pop("encoding", "json"), state, **fields)
