"""Names and subjects: how events, groups and aggregates are called on NATS, and back.

A name keeps its dots, so `order.placed` is two tokens and the pattern `order.*` a wildcard of NATS. What is not a letter,
a digit, `-` or `_` is written as `=` and two hexadecimal digits for each byte of UTF-8; a token without anything is `=`.

    PREFIX.events.SLOT.NAME…    an event; its slot is one hexadecimal digit, made of its aggregate
    PREFIX.redrive.GROUP        an event that a group is given once more
    PREFIX.dead.GROUP           a dead letter
    PREFIX.commands.NAME…       a command, for whoever handles it
    PREFIX.queue.NAME…          an accepted command, until it is done
    PREFIX.outcomes.ID          what became of it
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
"""An ordered group has a consumer for each. Part of the format: it cannot be changed without a new prefix."""

MAX_NAME = 200
"""How long the name of a consumer may be; the rest of a longer one is replaced by its hash."""

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")
_SAFE_TOKEN = re.compile(r"[A-Za-z0-9_-]+")


def _escape(match: re.Match[str]) -> str:
    return "".join(f"={byte:02X}" for byte in match[0].encode())


def token(text: str) -> str:
    """Any text as one token of a subject, or as the name of a consumer: different texts stay different."""
    if _SAFE_TOKEN.fullmatch(text):
        return text
    return _UNSAFE.sub(_escape, text) or "="


@lru_cache(4096)
def tokens(name: str) -> str:
    """A name as tokens of a subject, split at its dots."""
    return ".".join(token(part) for part in name.split("."))


def untokens(subject: str) -> str:
    """The name that `tokens` was given."""
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


def consumer(name: str) -> str:
    """A name as that of a durable consumer, not longer than the server allows."""
    text = token(name)
    if len(text) <= MAX_NAME:
        return text
    return f"{text[: MAX_NAME - 33]}={hashlib.sha256(name.encode()).hexdigest()[:32]}"


def slot(event: Event[Any]) -> str:
    """The slot of an event: that of its aggregate, so events of one aggregate share it; of none: any."""
    if event.aggregate is None:
        return SLOTS[id_bytes(event)[-1] & 15]
    return _slot(*event.aggregate)


@lru_cache(4096)
def _slot(name: str, id: str) -> str:
    return hashlib.sha256(f"{name}\0{id}".encode()).hexdigest()[0]


def event_subject(prefix: str, event: Event[Any]) -> str:
    """Where an event is published."""
    return f"{prefix}.events.{slot(event)}.{tokens(event.name)}"


def name_in(prefix: str, subject: str) -> str:
    """The name of the event that was published there."""
    rest = subject.removeprefix(f"{prefix}.events.")
    return untokens(rest.partition(".")[2])


def filters(prefix: str, patterns: NamePatterns, slots: Iterable[str] = ("*",)) -> list[str]:
    """The subjects that a subscription covers, none of which overlap."""
    names = [tokens(name) for name in sorted(patterns.exact)]
    names += [f"{tokens(stem[:-1])}.>" if stem else ">" for stem in patterns.prefixes]
    return [f"{prefix}.events.{slot}.{name}" for slot in slots for name in names]


def one_filter(prefix: str, patterns: NamePatterns) -> str:
    """One subject that covers all of a subscription's, and perhaps more: what comes by one subject comes in order."""
    found = [subject.split(".") for subject in filters(prefix, patterns)]
    if len(found) == 1:
        return ".".join(found[0])
    common = len(prefix.split(".")) + 2
    shortest = min(len(parts) for parts in found)
    while common < shortest - 1 and len({parts[common] for parts in found}) == 1:
        common += 1
    return ".".join([*found[0][:common], ">"])
