"""What the tests of exports share: a log with every kind of field, and exports as bytes and lines."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from goes_lite_conformance.harness.samples import CONFUSABLE, NOON, A, B, count, note, registry, story

import goes_lite as goes
from goes_lite import blocking
from goes_lite.blocking import operations
from goes_lite.events.event import metadata_json, restore, tags_json
from goes_lite.events.registry import Raw

LONG = "x" * 1024
FAR = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=timezone.utc)

PAYLOADS: tuple[tuple[str, str | bytes], ...] = (
    ("json", '{"a": 1 ,"b":[1.50,1e400,"\\ud800"],"a":2}'),
    ("json", " [1 , 2] "),
    ("json", '{"line":\n1}'),
    ("json", "NaN"),
    ("json", "{broken"),
    ("json", ""),
    ("json", "9" * 5000),
    ("json", "[" * 99 + "]" * 99),
    ("json", "[" * 101 + "]" * 101),
    ("json", "[" * 100_000 + "]" * 100_000),
    ("json", '"' + "[" * 200 + '\\"{"'),
    ("json", '{"position":7,"data":{"data":1}}'),
    ("json", '"\u2028 \x7f \x9b \U0001f600"'),
    ("json", b'{"as":"bytes"}'),
    ("msgpack", bytes(range(256))),
    ("msgpack", b""),
    ("yaml", "a: 1\r\nb: \x00\t\x1b[31m\n"),
    ("ünï", '{"json":"in another encoding"}'),
)
"""Encodings and payloads that a store may hold: awkward JSON, damaged JSON, bytes, text."""


@dataclass(frozen=True)
class Words:
    words: list[str]


def stored(number: int, encoding: str, payload: str | bytes, **fields: Any) -> goes.Event[Raw]:
    """An event with this payload, as it would be imported to a position."""
    event = goes.Event(note("").data, time=NOON, registry=registry, **fields)
    return restore(
        event.id, "sample.raw", Raw("sample.raw", encoding, 3, payload), event.time, event.aggregate, event.version,
        metadata_json(event), tags_json(event), number, encoding, 3, payload,
    )  # fmt: skip


def awkward() -> list[goes.Event[Any]]:
    """Events with every kind of field."""
    early = datetime(1, 1, 1, tzinfo=timezone.utc)
    texts = [note(text, metadata={text: text}, tags=[f"t:{text}"]) for text in CONFUSABLE]
    return [
        note("é\0\x1b[2J\u2028", A, 1, metadata={"b": "ü\0", "a": "", "data": '",\\"data\\":1'}, tags=["k:2", "k:1"]),
        count(-(2**63), B, 1, time=early),
        count(2**63 - 1, goes.AggregateRef("ordér", LONG), 1, time=FAR, tags=["t:" + "y" * 1022]),
        *story(A, 3, after=1),
        *texts,
    ]


def export_bytes(db: blocking.BlockingDatabase, **options: Any) -> bytes:
    """The export of a store."""
    stream = io.BytesIO()
    operations.export(db, stream, **options)
    return stream.getvalue()


def lines_of(exported: bytes) -> list[dict[str, Any]]:
    """The lines, read as any other program reads them."""
    assert exported.endswith(b"\n")
    return [json.loads(line) for line in exported.decode().split("\n")[:-1]]
