"""Convert rows to events: the only place that knows the order of the columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from goes_lite.contract.backend import Unknown
from goes_lite.errors import CodecError, StoreDamaged
from goes_lite.events.event import Event, restore
from goes_lite.events.fields import AggregateRef
from goes_lite.events.registry import Raw, Registry
from goes_lite.kit.reading import EventReader
from goes_lite.sqlite._driver import Connection, Driver, Row

COLUMNS = (
    "e.position, e.id, e.name_key, a.name, a.id, e.version, e.time, e.encoding, e.schema, e.data, e.metadata, e.tags"
)

_Decoder = tuple[str, Callable[[Any], object] | None]
"""The current name of the event and the decoder of its payload, which is None for an unknown name."""


class RowReader(EventReader):
    """Converts many rows at once, with the result of `read` for each."""

    def __init__(self, registry: Registry, unknown: Unknown, driver: Driver, location: str) -> None:
        super().__init__(registry, unknown, location)
        self._driver = driver
        self._names: dict[int, str] = {}  # committed keys only; a key never changes its name

    def events(
        self, connection: Connection, rows: Iterable[Row], *, whole: AggregateRef | None = None
    ) -> list[Event[Any]]:
        """Return the events of the rows. With `whole`, they all belong to that aggregate, and none is left out."""
        found: list[Event[Any]] = []
        self.read_into(connection, rows, found, whole=whole)
        return found

    def read_into(
        self, connection: Connection, rows: Iterable[Row], found: list[Event[Any]], *, whole: AggregateRef | None = None
    ) -> None:
        """Append the events of the rows to `found`; if one is unreadable, those before it are there."""
        decoders: dict[tuple[int, str, int], _Decoder] = {}
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
            payload,
            metadata,
            tags,
        ) in rows:
            if type(version) is not int:
                raise self.wrong(position, "version", version)
            if whole is None and (ref is None or ref != (aggregate, aggregate_id)):  # often the same as before
                ref = None if aggregate is None else make_ref((aggregate, aggregate_id))
                if ref is None and version:
                    raise self.lost_aggregate(position, version)
                if ref is not None and not (type(aggregate) is type(aggregate_id) is str):
                    raise self.wrong(position, "aggregate", tuple(ref))
            decoder = decoders.get((key, encoding, schema))
            if decoder is None:
                if type(encoding) is not str or type(schema) is not int:
                    raise self.wrong(position, "encoding, schema", (encoding, schema))
                decoder = decoders[key, encoding, schema] = self.decoder(
                    self._name(connection, key, position), encoding, schema, position, ref
                )
            name, decode = decoder
            if decode is not None:
                try:
                    data = decode(payload)
                except CodecError as exc:
                    raise exc.about(name, position, ref) from exc
            elif type(payload) not in (str, bytes):
                raise self.wrong(position, "data", payload)
            elif self.unknown == "raw" or whole is not None:
                data = Raw(name, encoding, schema, payload)
            else:
                continue
            append(restore(id, name, data, time, ref, version, metadata, tags, position, encoding, schema, payload))

    def _name(self, connection: Connection, key: int, position: int) -> str:
        name = self._names.get(key)
        if name is None:
            rows = connection.execute("SELECT name FROM event_names WHERE key = ?", (key,)).fetchall()
            if not rows:
                raise StoreDamaged(
                    self.location, f"the event at position {position} has the name key {key}, which does not exist"
                )
            name = rows[0][0]
            if type(name) is not str:
                raise self.wrong(position, "name", name)
            if not self._driver.in_transaction(connection):  # otherwise a rollback may free the key for another name
                self._names[key] = name
        return name
