"""Subjects: how names of events, groups and aggregates are written on NATS, and read back.

A name keeps its dots, so `order.placed` is two tokens and the pattern `order.*` a wildcard of NATS. Anything but letters,
digits, `-` and `_` is written as `=` and two hexadecimal digits for each byte of UTF-8; an empty token is `=`.

    PREFIX.events.SLOT.NAME…    an event; its slot is one hexadecimal digit, derived from its aggregate
    PREFIX.redrive.GROUP        a dead letter's event, delivered again to a group
    PREFIX.dead.GROUP           a dead letter
    PREFIX.commands.NAME…       a command, for any service that handles it
    PREFIX.queue.NAME…          an accepted command, until it is done
    PREFIX.outcomes.ID          the outcome of an accepted command
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from goes_lite.contract.event_bus import NamePatterns
from goes_lite.events.event import Event, id_bytes

SLOTS = "0123456789abcdef"
"""An ordered group has a consumer for each. Part of the format: changing it requires a new prefix."""

MAX_NAME = 200
"""The maximum length of a consumer name; the rest of a longer one is replaced by its hash."""

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")
_SAFE_TOKEN = re.compile(r"[A-Za-z0-9_-]+")


def _escape(match: re.Match[str]) -> str:
    return "".join(f"={byte:02X}" for byte in match[0].encode())


def token(text: str) -> str:
    """Return any text as one token of a subject, or as the name of a consumer: different texts stay different."""
    if _SAFE_TOKEN.fullmatch(text):
        return text
    return _UNSAFE.sub(_escape, text) or "="


@lru_cache(4096)
def tokens(name: str) -> str:
    """Return a name as tokens of a subject, split at its dots."""
    return ".".join(token(part) for part in name.split("."))


def untokens(subject: str) -> str:
    """Return the name that `tokens` was given."""
    return ".".join(_unescape(part) for part in subject.split("."))


def _unescape(part: str) -> str:
    if "=" not in part:
        return part
    if part == "=":
        return ""
    try:
        return re.sub(rb"=([0-9A-F]{2})", lambda match: bytes.fromhex(match[1].decode()), part.encode()).decode()
    except UnicodeDecodeError:
        return part


def consumer_name(name: str) -> str:
    """Return a name as that of a durable consumer, within the length that the server allows."""
    text = token(name)
    if len(text) <= MAX_NAME:
        return text
    return f"{text[: MAX_NAME - 33]}={hashlib.sha256(name.encode()).hexdigest()[:32]}"


def slot(event: Event[Any]) -> str:
    """Return the slot of an event: events of one aggregate share one, an event without an aggregate may have any."""
    if event.aggregate is None:
        return SLOTS[id_bytes(event)[-1] & 15]
    return _slot(*event.aggregate)


@lru_cache(4096)
def _slot(name: str, id: str) -> str:
    return hashlib.sha256(f"{name}\0{id}".encode()).hexdigest()[0]


def event_subject(prefix: str, event: Event[Any]) -> str:
    """Return the subject that an event is published to."""
    return f"{prefix}.events.{slot(event)}.{tokens(event.name)}"


def name_in(prefix: str, subject: str) -> str:
    """Return the name of the event that was published to a subject."""
    rest = subject.removeprefix(f"{prefix}.events.")
    return untokens(rest.partition(".")[2])


def filter_subjects(prefix: str, patterns: NamePatterns, slots: Iterable[str] = ("*",)) -> list[str]:
    """Return the subjects that the patterns cover; none overlap."""
    names = [tokens(name) for name in sorted(patterns.exact)]
    names += [f"{tokens(stem[:-1])}.>" if stem else ">" for stem in patterns.prefixes]
    return [f"{prefix}.events.{slot}.{name}" for slot in slots for name in names]


def covering_filter(prefix: str, patterns: NamePatterns) -> str:
    """Return one subject that covers the patterns, and possibly more: a single subject keeps the order."""
    found = [subject.split(".") for subject in filter_subjects(prefix, patterns)]
    if len(found) == 1:
        return ".".join(found[0])
    common = len(prefix.split(".")) + 2
    shortest = min(len(parts) for parts in found)
    while common < shortest - 1 and len({parts[common] for parts in found}) == 1:
        common += 1
    return ".".join([*found[0][:common], ">"])
