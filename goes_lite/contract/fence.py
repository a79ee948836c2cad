"""The fence of a store that was moved, or is being moved: who writes there is told where the store is now.

A fence is part of what is stored, so it holds for every handle in every process, those that are open included, and survives
whatever ends the process that set it. It is set, changed and removed in the order of the writes: `Backend.set_fence` has the
promises.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from goes_lite.errors import InvalidQueryError
from goes_lite.events.fields import check_text
from goes_lite.events.query import check_for_query

MAX_LASTS = 86_400.0
"""In seconds: what is to last longer has no end."""
_INTO = "into:"
_PASSWORD = re.compile(r"://[^/?#@]*:(?!\*+@)[^/?#@]+@")


class Fence(NamedTuple):
    """What keeps writers out of a store."""

    move: str
    """The unique name of the move that it belongs to; in the store that is moved to, what `into` returns for it."""
    to: str
    """Where writers find the store: a path or URL, without a password."""
    until: float | None = None
    """When it ends by itself: seconds since 1970 by the store's clock; None if it does not."""


def into(move: str) -> str:
    """Return the name that the fence of a move has in its target: so nobody takes one of the two stores for the other."""
    return _INTO + move


def is_into(move: str) -> bool:
    """Whether a fence of that name is one of a target, which its move has not opened yet."""
    return move.startswith(_INTO)


def check_fence(fence: Fence | None, expected: str | None, lasts: float | None) -> int | None:
    """Check the arguments of a `set_fence`; return how long the fence is to last in microseconds, None for always."""
    if fence is not None:
        if not isinstance(fence, Fence):
            raise InvalidQueryError(f"set_fence takes a Fence, or None to remove it, not {fence!r:.80}")
        check_move(fence.move)
        check_for_query(check_text, fence.to, "where a store is moved to")
        if _PASSWORD.search(fence.to):
            raise InvalidQueryError("a fence is shown to every writer: leave the password out of its URL")
    if expected is not None:
        check_move(expected)
    if lasts is None:
        return None
    if fence is None or type(lasts) not in (int, float) or not 0 < lasts <= MAX_LASTS:
        raise InvalidQueryError(
            f"a fence lasts for a number of seconds > 0 (and ≤ {MAX_LASTS:g}), or None, not {lasts!r:.80}"
        )
    return max(1, round(lasts * 1_000_000))


def check_move(move: str) -> None:
    """Raise InvalidQueryError unless it can name a move on every backend."""
    check_for_query(check_text, move, "the name of a move")
