"""Where in the log a moment lies: by halving, since times follow positions closely enough."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from goes_lite.blocking import BlockingView


def position_at(view: BlockingView, time: datetime) -> int:
    """Return a position near which events were recorded at that time: one look into the log for each halving.

    Clocks differ, so those who look for something look around it.
    """
    low, high = 0, view.events.head()
    while low < high:
        middle = (low + high) // 2
        found = view.events.query(after=middle, upto=high, limit=1).list()
        if not found or found[0].time >= time:
            high = middle
        else:
            low = found[0].position
    return low
