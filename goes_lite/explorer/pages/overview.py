"""The first page: what is in the store, what came when, who follows its log, and what waits."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from goes_lite.events.query import EVERYTHING
from goes_lite.explorer.chart import bars, share
from goes_lite.explorer.exchange import Request
from goes_lite.explorer.frame import Frame
from goes_lite.explorer.html import Html, join, tag
from goes_lite.explorer.source import Source, line
from goes_lite.explorer.tally import EACH
from goes_lite.operations.forms import iso, size
from goes_lite.operations.info import ConsumerInfo, info_of

MANY = 1_000
"""How far parked events and commands are counted: more is "more than"."""
NAMES = 30
DAYS = 60

DURABILITY = {
    "memory": "lost when the store is closed",
    "process-crash": "survives a killed process",
    "os-crash": "survives a power cut",
    "replicated": "survives the loss of a machine",
}


def read(source: Source, request: Request) -> Mapping[str, Any]:
    """Return the facts of the store, and counts of the part of the log that was counted so far."""
    db = source.db
    info = source.run(info_of(db.backend, counts=False, many=MANY))
    counted = source.tally.grow(
        info.head,
        lambda after, upto, newest: source.events(
            EVERYTHING, EVERYTHING, after=after, upto=upto, reverse=newest, limit=EACH
        ),
    )
    begin = date(1970, 1, 1)
    days = {day: n for day, n in counted.days.items() if 0 <= begin.toordinal() + day - 1 < date.max.toordinal()}
    names = counted.names.most_common()
    return {
        "location": info.location,
        "identity": info.identity,
        "time": iso(info.time),
        "head": info.head,
        "first_time": info.first_time and iso(info.first_time),
        "last_time": info.last_time and iso(info.last_time),
        "size": info.size,
        "sizes": dict(info.sizes),
        "durability": info.durability,
        "abilities": sorted(info.abilities),
        "moved_to": info.moved_to,
        "consumers": [consumer(one) for one in info.consumers],
        "commands": {
            "waiting": info.commands.waiting,
            "due": info.commands.due,
            "failed": info.commands.failed,
            "sent": info.commands.sent,
            "unreadable": info.commands.unreadable,
            "oldest_due": info.commands.oldest_due and iso(info.commands.oldest_due),
        },
        "counted_up_to": MANY,
        "counts": {
            "complete": counted.complete,
            "after": counted.low,
            "upto": counted.high,
            "events": counted.events,
            "names": dict(names[:NAMES]),
            "more_names": max(0, len(names) - NAMES),
            "days": {(begin + timedelta(day)).isoformat(): days[day] for day in sorted(days)},
        },
    }


def consumer(one: ConsumerInfo) -> dict[str, Any]:
    """Return what is known of a consumer as data for JSON."""
    return {
        "name": one.name,
        "position": one.position,
        "lag": one.lag,
        "lag_seconds": one.lag_seconds,
        "saved": iso(one.saved),
        "owner": one.owner,
        "expires": one.expires and iso(one.expires),
        "parked": one.parked,
        "mismatched": one.mismatched,
    }


def render(data: Mapping[str, Any], frame: Frame) -> Html:
    """Return the page."""
    consumers, commands, counts = data["consumers"], data["commands"], data["counts"]
    parked = sum(one["parked"] for one in consumers)
    return join(
        frame.notice("This store was moved to ", tag("code", data["moved_to"]), ": writers are kept out here.")
        if data["moved_to"]
        else None,
        frame.tiles(
            ("Head", f"{data['head']:,}", "the position of the last event"),
            ("Size", "?" if data["size"] is None else size(data["size"]), _sizes(data["sizes"])),
            ("Durability", data["durability"], DURABILITY.get(data["durability"])),
            ("Consumers", len(consumers), f"{sum(one['lag'] > 0 for one in consumers)} behind"),
            ("Parked", at_least(parked, data["counted_up_to"]), "events that a consumer gave up on"),
            ("Commands", at_least(commands["waiting"], data["counted_up_to"]), _commands(commands)),
        ),
        frame.section("Events by day", _days(counts["days"], frame), note=_counted(counts, data["head"])),
        frame.section("Events by name", _names(counts, frame), note=_counted(counts, data["head"])),
        frame.section("Consumers", consumers_table(consumers, frame, data["counted_up_to"])),
        frame.section(
            "The store",
            frame.facts(
                ("Location", tag("code", data["location"])),
                ("Identity", tag("code", data["identity"])),
                ("First event", frame.time(data["first_time"])),
                ("Last event", frame.time(data["last_time"])),
                ("Abilities", ", ".join(data["abilities"])),
            ),
        ),
    )


def at_least(number: int, bound: int) -> str:
    """Return a number that was counted up to a bound."""
    return f"more than {bound:,}" if number >= bound else f"{number:,}"


def consumers_table(consumers: list[Mapping[str, Any]], frame: Frame, bound: int) -> Html:
    """Return the consumers as a table."""
    return frame.table(
        ("Consumer", "State", "Position", "Lag", "Behind", "Parked", "Active instance"),
        [
            (
                frame.link(one["name"], f"/consumers/{one['name']}"),
                _state(one, frame),
                f"{one['position']:,}",
                f"{one['lag']:,}",
                "?" if one["lag_seconds"] is None else f"{one['lag_seconds']:,.0f} s",
                at_least(one["parked"], bound),
                line(one["owner"] or "–", 40),
            )
            for one in consumers
        ],
        right=(2, 3, 4, 5),
        caption="Consumers of the log",
        empty="No consumer has a checkpoint yet.",
    )


def _state(one: Mapping[str, Any], frame: Frame) -> Html:
    if one["mismatched"]:
        return frame.badge("mismatched", "bad")
    if one["parked"]:
        return frame.badge("parked events", "bad")
    if one["lag"]:
        return frame.badge("behind" if one["owner"] else "behind, idle", "warn")
    return frame.badge("up to date" if one["owner"] else "up to date, idle", "good")


def _sizes(sizes: Mapping[str, int]) -> str | None:
    return ", ".join(f"{part} {size(count)}" for part, count in list(sizes.items())[:4]) or None


def _commands(commands: Mapping[str, Any]) -> str:
    return f"waiting; {commands['due']:,} due, {commands['failed']:,} given up"


def _counted(counts: Mapping[str, Any], head: int) -> str | None:
    if counts["complete"]:
        return None
    return f"the newest {counts['events']:,}, of more: the head is {head:,}. Each visit counts up to {EACH:,} more."


def _days(days: Mapping[str, int], frame: Frame) -> Html:
    if not days:
        return frame.empty("There is no event yet.")
    last = date.fromisoformat(max(days))
    first = max(date.fromisoformat(min(days)), last - timedelta(DAYS - 1))
    shown = [(first + timedelta(n)).isoformat() for n in range((last - first).days + 1)]
    counts = [(day, days.get(day, 0)) for day in shown]
    older = f", the latest {DAYS} days" if min(days) < shown[0] else ""
    listed = frame.table(
        ("Day (UTC)", "Events"),
        [
            (frame.link(day, "/log", since=day, until=f"{day}T23:59:59.999999"), f"{n:,}")
            for day, n in reversed(counts)
            if n
        ],
        right=(1,),
        caption="Events by day",
    )
    return join(
        bars(f"Events by day (UTC){older}", counts), tag("details", tag("summary", "The same as a table"), listed)
    )


def _names(counts: Mapping[str, Any], frame: Frame) -> Html:
    names: Mapping[str, int] = counts["names"]
    most = max(names.values(), default=0)
    more = counts["more_names"]
    return join(
        frame.table(
            ("Event", "Events", ""),
            [(frame.link(name, "/log", name=name), f"{n:,}", share(n, most)) for name, n in names.items()],
            right=(1,),
            caption="Events by name",
            empty="There is no event yet.",
        ),
        tag("p", f"and {more:,} more names", class_="faint") if more else None,
        tag(
            "p",
            "Each event is counted once: those of aggregates that are deleted later stay in these numbers until the explorer "
            "is started again.",
            class_="faint",
        )
        if names
        else None,
    )
