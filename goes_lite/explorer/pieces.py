"""Pieces that several views share: documents, what differs between two states, links to what a name stands for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from goes_lite.explorer.html import Child, Href, Html, join, tag

if TYPE_CHECKING:
    from goes_lite.explorer.frame import Frame, Kind

SHORT = 160


def document(frame: Frame, shown: Mapping[str, Any]) -> Html:
    """Return a payload or another document with `data`, or `payload` and `size` where it is no JSON or too large."""
    if "payload" not in shown:
        return frame.value(shown["data"])
    text = tag("pre", tag("code", shown["payload"]), tabindex="0")
    if shown.get("truncated"):
        return join(tag("p", f"The beginning of {shown['size']:,} characters", class_="faint"), text)
    return text


def brief(value: Any, length: int = SHORT) -> Html:
    """Return a value of JSON in one line."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return tag("code", text if len(text) <= length else text[: length - 1] + "…", class_="data")


def brief_document(shown: Mapping[str, Any]) -> Html:
    """Return such a document in one line."""
    return brief(shown["payload"] if "payload" in shown else shown["data"])


def changes(frame: Frame, found: Iterable[Mapping[str, Any]], *, caption: str, empty: str) -> Html:
    """Return a table of what differs: where, before and after."""
    rows = [
        (
            tag("code", one["path"] or "(all)"),
            _mark(one["kind"]),
            tag("del", brief(one["before"])) if one["kind"] != "added" else None,
            tag("ins", brief(one["after"])) if one["kind"] != "removed" else None,
        )
        for one in found
    ]
    return frame.table(("Where", "What", "Before", "After"), rows, caption=caption, empty=empty, class_="diff")


def _mark(kind: str) -> Html:
    return tag("span", {"added": "+ added", "removed": "− removed"}.get(kind, "± changed"), class_=f"mark {kind}")


def columns(*parts: Child) -> Html:
    """Return parts next to each other where there is room."""
    return tag("div", parts, class_="two")


def pager(before: Href | None, after: Href | None, *, first: Href | None = None) -> Html | None:
    """Return links to the pages before and after of a list that has no order of time; nothing if there is only one page."""
    if before is None and after is None:
        return None

    def step(text: str, address: Href | None, rel: str) -> Html:
        return tag("span", text, aria_disabled="true") if address is None else tag("a", text, href=address, rel=rel)

    begin = None if first is None or before is None else step("⇤ First", first, "first")
    return tag(
        "nav",
        begin,
        step("← Before", before, "prev"),
        step("After →", after, "next"),
        class_="pager",
        aria_label="Pages",
    )


def status(frame: Frame, text: str) -> Html:
    """Return the state of a consumer, a command or an instance as a badge."""
    good = ("active", "running", "completed", "done")
    bad = ("failed", "rejected", "suspended", "stopped", "unreadable")
    kind: Kind = "good" if text in good else "bad" if text in bad else ""
    return frame.badge(text, kind)


def age(seconds: float | None) -> str:
    """Return a duration for people."""
    if seconds is None:
        return "unknown"
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def more_than(count: int, most: int) -> str:
    """Return a count that may have stopped at a bound."""
    return f"{count:,}" if count < most else f"{most:,} or more"
