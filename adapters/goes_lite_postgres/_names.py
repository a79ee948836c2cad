"""Names of events and their numbers, as far as this handle has met them.

A number is drawn from a sequence, so one that was rolled back is never another name's: what number means which name
holds for ever. The other way round holds once it is committed, so inside a transaction of the user it is not kept.
"""

from __future__ import annotations

from collections.abc import Iterable

from goes_lite.errors import StoreDamaged
from goes_lite_postgres._driver import Connection
from goes_lite_postgres._options import ServerAddress


class Names:
    """Of one store."""

    def __init__(self, address: ServerAddress, known: dict[int, str] | None = None) -> None:
        table = address.table("event_names")
        self._address = address
        self._by_name = f"SELECT key, name FROM {table} WHERE name = ANY ($1::text[])"
        self._by_key = f"SELECT key, name FROM {table} WHERE key = ANY ($1::integer[])"
        self._make = (
            f"INSERT INTO {table} (name) SELECT unnest($1::text[]) ON CONFLICT (name) DO NOTHING RETURNING key, name"
        )
        self._names = {} if known is None else known
        self._keys: dict[str, int] = {}

    def inside(self) -> Names:
        """The names as a transaction of the user sees them."""
        return Names(self._address, self._names)

    def known(self, names: Iterable[str]) -> bool:
        """Whether this handle knows the numbers of all of them."""
        return all(name in self._keys for name in names)

    async def keys(self, connection: Connection, names: set[str]) -> dict[str, int]:
        """The numbers of the names, made where there is none: then the lock of the log is held."""
        missing = names - self._keys.keys()
        if not missing:
            return self._keys
        rows = await connection.fetch(self._by_name, [*missing])
        found = {name: key for key, name in rows}
        self._names.update((row[0], row[1]) for row in rows)
        new = sorted(missing - found.keys())
        if not new:
            self._keys.update(found)
            return self._keys
        made = {name: key for key, name in await connection.fetch(self._make, new)}
        # Not kept on the side: should this transaction be rolled back, the next has to make them again.
        self._keys.update(found)
        return {**self._keys, **made}

    async def names(self, connection: Connection, keys: Iterable[int]) -> dict[int, str]:
        """The names of the numbers, and of others."""
        missing = {*keys} - self._names.keys()
        if missing:
            rows = await connection.fetch(self._by_key, [*missing])
            self._names.update((row[0], row[1]) for row in rows)
            if left := missing - self._names.keys():
                raise StoreDamaged(self._address.location, f"events have the names {sorted(left)}, which are not there")
        return self._names
