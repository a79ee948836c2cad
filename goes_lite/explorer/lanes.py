"""Swimlanes: what happened to several aggregates that belong together, side by side in the order of time.

Rule of this file: pure. Events with an equal time stand in one column, so no page ever splits them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from goes_lite.explorer.html import Html, join, tag

if TYPE_CHECKING:
    from goes_lite.explorer.frame import Frame

COLUMNS = 40
"""How many times are shown."""
LANES = 30
"""How many aggregates are shown."""
AROUND = 20
"""Positions before an event in which others of its correlation are looked for …"""
FOLLOWING = 60
"""… and after it."""


def windows(positions: Iterable[int]) -> list[tuple[int, int]]:
    """Return the ranges of positions, (after, upto], around some: united where they touch."""
    found: list[tuple[int, int]] = []
    for position in sorted(positions):
        after, upto = max(0, position - AROUND - 1), position + FOLLOWING
        if found and after <= found[-1][1]:
            found[-1] = found[-1][0], upto
        else:
            found.append((after, upto))
    return found


def lanes_of(events: Sequence[Mapping[str, Any]], first: tuple[str, str] | None) -> dict[str, Any]:
    """Return events (rows with a `correlation`) as columns by time and lanes by aggregate, `first` as the first lane."""
    ordered = sorted(events, key=lambda one: (one["time"], one["position"]))
    times = sorted({one["time"] for one in ordered})
    kept = times[-COLUMNS:]
    lanes: dict[tuple[str, str] | None, dict[str, list[dict[str, Any]]]] = {}
    if first is not None:
        lanes[first] = {}
    beginning = kept[0] if kept else ""
    for one in ordered:
        if one["time"] < beginning:
            continue
        ref = None if one["aggregate"] is None else (one["aggregate"], one["aggregate_id"])
        if ref not in lanes and len(lanes) >= LANES:
            continue
        cell = {name: one[name] for name in ("position", "event", "version", "correlation")}
        lanes.setdefault(ref, {}).setdefault(one["time"], []).append(cell)
    return {
        "times": kept,
        "earlier": len(times) - len(kept),
        "lanes": [
            {
                "aggregate": ref and ref[0],
                "aggregate_id": ref and ref[1],
                "events": [{"time": time, "events": cells} for time, cells in lane.items()],
            }
            for ref, lane in lanes.items()
        ],
    }


def lanes_table(data: Mapping[str, Any], frame: Frame, here: Callable[[Mapping[str, Any]], bool]) -> Html:
    """Return the lanes as a table: a row for each aggregate, a column for each time; `here` marks events."""
    head = tag(
        "tr", tag("th", "Aggregate", scope="col"), [tag("th", _clock(one), scope="col") for one in _shown_times(data)]
    )
    rows = [_lane(lane, data["times"], frame, here) for lane in data["lanes"]]
    table = tag(
        "table", tag("caption", "Related aggregates over time"), tag("thead", head), tag("tbody", rows), class_="lanes"
    )
    return tag("div", table, class_="scroll", tabindex="0", role="region", aria_label="Related aggregates over time")


def _lane(
    lane: Mapping[str, Any], times: Sequence[str], frame: Frame, here: Callable[[Mapping[str, Any]], bool]
) -> Html:
    at = {one["time"]: one["events"] for one in lane["events"]}
    label = "no aggregate"
    if lane["aggregate"] is not None:
        label = frame.aggregate_link(lane["aggregate"], lane["aggregate_id"])
    cells = [
        tag("td", [_event(one, frame, marked=here(one)) for one in at[time]], class_="on") if time in at else tag("td")
        for time in times
    ]
    return tag("tr", tag("th", label, scope="row"), cells)


def _event(one: Mapping[str, Any], frame: Frame, *, marked: bool) -> Html:
    version = f" v{one['version']}" if one["version"] else ""
    return tag(
        "a", one["event"], tag("small", version), href=frame.href(f"/event/{one['position']}"),
        class_="step here" if marked else "step", title=f"position {one['position']}", aria_current="true" if marked else None,
    )  # fmt: skip


def _shown_times(data: Mapping[str, Any]) -> list[tuple[str, bool]]:
    """Return the times, each with whether its day is another than that of the one before."""
    shown: list[tuple[str, bool]] = []
    for time in data["times"]:
        shown.append((time, not shown or shown[-1][0][:10] != time[:10]))
    return shown


def _clock(one: tuple[str, bool]) -> Html:
    time, new_day = one
    day = tag("small", time[:10]) if new_day else None
    return tag("time", join(day, " " if new_day else None, time[11:23]), datetime=time, title=time)
