"""Convert rows to events and payloads to columns: the only place that knows the order of the columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from goes_lite.errors import CodecError, DecodeError
from goes_lite.events.event import Event, restore
from goes_lite.events.fields import AggregateRef
from goes_lite.events.registry import Raw
from goes_lite.kit.reading import EventReader
from goes_lite_postgres._driver import Row

COLUMNS = (
    "e.position, e.id, e.name_key, a.name, a.id, e.version, e.time, e.encoding, e.schema, e.data, e.binary_data, "
    "e.metadata, e.tags"
)
NAME_KEY = 2


def packed(payload: str | bytes) -> tuple[str | None, bytes | None]:
    """Return a payload as two columns: text, and bytes. Text with a NUL, which no text column accepts, uses both."""
    if isinstance(payload, bytes):
        return None, payload
    return ("", payload.encode()) if "\0" in payload else (payload, None)


def unpacked(text: str | None, binary: bytes | None) -> str | bytes:
    """Return a payload from its two columns."""
    if binary is None:
        return text or ""
    try:
        return binary if text is None else binary.decode()
    except UnicodeDecodeError as exc:
        raise DecodeError(
            "binary_data", f"{binary!r:.80} is stored as text, which it is not: restore a backup"
        ) from exc


class RowReader(EventReader):
    """Converts many rows at once, with the result of `read` for each."""

    def read_into(
        self,
        names: Mapping[int, str],
        rows: Sequence[Row],
        found: list[Event[Any]],
        *,
        whole: AggregateRef | None = None,
    ) -> None:
        """Append the events of the rows to `found`; if one is unreadable, those before it are there.

        With `whole`, they all belong to that aggregate, and none is left out.
        """
        decoders: dict[tuple[int, str, int], tuple[str, Callable[[Any], object] | None]] = {}
        append = found.append
        ref = whole
        make_ref = AggregateRef._make
        for (
            position,
            id,
            key,
            aggregate,
            aggregate_id,
            version,
            time,
            encoding,
            schema,
            text,
            binary,
            metadata,
            tags,
        ) in rows:
            if whole is None and (ref is None or ref != (aggregate, aggregate_id)):  # often the same as before
                ref = None if aggregate is None else make_ref((aggregate, aggregate_id))
                if ref is None and version:
                    raise self.lost_aggregate(position, version)
            payload = text if binary is None else unpacked(text, binary)
            decoder = decoders.get((key, encoding, schema))
            if decoder is None:
                decoder = decoders[key, encoding, schema] = self.decoder(names[key], encoding, schema, position, ref)
            name, decode = decoder
            if decode is not None:
                try:
                    data = decode(payload)
                except CodecError as exc:
                    raise exc.about(name, position, ref) from exc
            elif self.unknown == "raw" or whole is not None:
                data = Raw(name, encoding, schema, payload)
            else:
                continue
            append(
                restore(id.bytes, name, data, time, ref, version, metadata, tags, position, encoding, schema, payload)
            )
