"""Convert events to documents and back: the only place that knows the fields of a stored event."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import MappingProxyType
from typing import Any

from bson.binary import Binary
from bson.int64 import Int64

from goes_lite.errors import CodecError, GoesError
from goes_lite.events.event import Event, id_bytes, restore, time_micros
from goes_lite.events.fields import AggregateRef
from goes_lite.events.registry import Raw
from goes_lite.kit.reading import EventReader
from goes_lite_mongo._documents import WRONG, native, of_collection, text_of, wrong
from goes_lite_mongo._driver import Document

_Decoder = tuple[str, Callable[[Any], object] | None]


def document(event: Event[Any]) -> Document:
    """Return an event as a document without empty fields."""
    encoding, schema, payload = event.encoded
    row: Document = {"_id": Int64(event.position), "id": Binary(id_bytes(event), 4), "name": event.name}
    if event.aggregate is not None:
        row["aggregate"] = {"name": event.aggregate.name, "id": event.aggregate.id}
    row |= {
        "version": Int64(event.version),
        "time": Int64(time_micros(event)),
        "encoding": encoding,
        "schema": Int64(schema),
    }
    put_payload(row, "data", encoding, payload)
    if event.metadata:
        row["metadata"] = [[key, value] for key, value in sorted(event.metadata.items())]
    if event.tags:
        row["tags"] = sorted(event.tags)
    return row


def put_payload(row: Document, field: str, encoding: str, payload: str | bytes) -> None:
    """Store a payload: as a document if it is JSON that BSON reproduces exactly, otherwise as text or bytes."""
    if isinstance(payload, bytes):
        row["bytes"] = Binary(payload)
        return
    exact, value = native(payload) if encoding == "json" else (False, None)
    if exact:
        row[field] = value
    else:
        row["text"] = payload


def payload_of(row: Document, field: str) -> str | bytes:
    """Return the payload that `put_payload` stored."""
    if "text" in row:
        return str(row["text"])
    return bytes(row["bytes"]) if "bytes" in row else text_of(row[field])


@of_collection("events")
def stored(row: Document) -> Event[None]:
    """Return the event of a document, without decoding its data."""
    found = row.get("aggregate")
    ref = None if found is None else AggregateRef._make((found["name"], found["id"]))
    return restore(
        _id(row), row["name"], None, int(row["time"]), ref, int(row["version"]), _metadata(row), _tags(row),
        int(row["_id"]), row["encoding"], int(row["schema"]), payload_of(row, "data"),
    )  # fmt: skip


def _id(row: Document) -> bytes:
    value = row["id"]
    return value if type(value) is bytes else bytes(value)


def _metadata(row: Document) -> MappingProxyType[str, str] | None:
    found = row.get("metadata")
    return None if found is None else MappingProxyType(dict(found))


def _tags(row: Document) -> frozenset[str] | None:
    found = row.get("tags")
    return None if found is None else frozenset(found)


def versions(ref: AggregateRef, last: int) -> Document:
    """Return the range of an aggregate's snapshot keys up to version `last`: documents compare field by field."""
    key: Document = {"name": ref.name, "id": ref.id}
    return {"$gte": {**key, "version": Int64(0)}, "$lte": {**key, "version": Int64(last)}}


class RowReader(EventReader):
    """Converts many documents at once, with the result of `read` for each."""

    def events(self, rows: Iterable[Document], *, whole: AggregateRef | None = None) -> list[Event[Any]]:
        """Return the events of the documents. With `whole`, they all belong to that aggregate, and none is left out."""
        found: list[Event[Any]] = []
        self.read_into(rows, found, whole=whole)
        return found

    def read_into(
        self, rows: Iterable[Document], found: list[Event[Any]], *, whole: AggregateRef | None = None
    ) -> None:
        """Append the events to `found`; if one is unreadable, those before it are there."""
        decoders: dict[tuple[str, str, int], _Decoder] = {}
        ref = whole
        for row in rows:
            try:
                position, encoding, schema = int(row["_id"]), row["encoding"], int(row["schema"])
                if whole is None:
                    of = row.get("aggregate")
                    ref = None if of is None else AggregateRef._make((of["name"], of["id"]))
                key = (row["name"], encoding, schema)
                decoder = decoders.get(key)
                if decoder is None:
                    decoder = decoders[key] = self.decoder(row["name"], encoding, schema, position, ref)
                name, decode = decoder
                payload = text_of(row["data"]) if "data" in row else payload_of(row, "data")
                if decode is not None:
                    try:
                        data = decode(payload)
                    except CodecError as exc:
                        raise exc.about(name, position, ref) from exc
                elif self.unknown == "raw" or whole is not None:
                    data = Raw(name, encoding, schema, payload)
                else:
                    continue
                found.append(
                    restore(
                        _id(row), name, data, int(row["time"]), ref, int(row["version"]),
                        _metadata(row) if "metadata" in row else None, _tags(row) if "tags" in row else None,
                        position, encoding, schema, payload,
                    )
                )  # fmt: skip
            except GoesError:
                raise
            except WRONG as exc:
                raise wrong("events", row, exc) from exc
