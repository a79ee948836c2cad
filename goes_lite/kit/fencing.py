"""What a fence means for a backend: whom it keeps out, when it has ended, and what may take its place.

A backend stores the fence where its writers meet it anyway, and asks these functions in the serialised section of a write.
"""

from __future__ import annotations

import json
from typing import Any

from goes_lite.contract.fence import Fence
from goes_lite.errors import FenceChanged, StoreMoved

FOREVER = 2**62
"""When a fence without an end ends, in microseconds since 1970."""


def fence_json(fence: Fence, end: int | None) -> str:
    """Return a fence as stored text; `end` is in microseconds since 1970, None for a fence without one."""
    return json.dumps({"move": fence.move, "to": fence.to, "until": FOREVER if end is None else end})


def fence_of(stored: str | None) -> tuple[Fence, int] | None:
    """Return the fence that a text describes, and its end in microseconds; None without a text."""
    if not stored:
        return None
    found: dict[str, Any] = json.loads(stored)
    end: int = found["until"]
    return Fence(found["move"], found["to"], None if end >= FOREVER else end / 1_000_000), end


def standing(stored: str | None, now: int) -> Fence | None:
    """Return the fence that keeps writers out at this time, in microseconds."""
    found = fence_of(stored)
    return None if found is None or found[1] <= now else found[0]


def check_fenced(location: str, stored: str | None, passing: str | None, now: int) -> bool:
    """Check that a write may happen; return whether the fence has ended, so that the write must remove it.

    Raise StoreMoved if the fence keeps it out: that of the move `passing` does not.
    """
    found = fence_of(stored)
    if found is None or found[0].move == passing:
        return False
    fence, end = found
    if end > now:
        raise StoreMoved(location, fence.to, fence.move)
    return True


def changed_fence(
    location: str, stored: str | None, now: int, change: tuple[Fence | None, str | None, int | None]
) -> str:
    """Return the text to store in place of another, '' for none; FenceChanged if the fence is not as expected.

    The change is the new fence, the move whose fence is there, and how many microseconds the new one lasts.
    """
    fence, expected, lasts = change
    there = standing(stored, now)
    if (there.move if there else None) != expected:
        raise FenceChanged(location, expected, there.move if there else None)
    return "" if fence is None else fence_json(fence, None if lasts is None else now + lasts)
