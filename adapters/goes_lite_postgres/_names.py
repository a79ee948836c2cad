"""A cache of event names and their keys.

Keys come from a sequence, so the key of a rolled-back name is never reused: a key means the same name forever. The reverse
holds only once it is committed, so a user transaction does not cache the keys of names.
"""

from __future__ import annotations

from collections.abc import Iterable

from goes_lite.errors import StoreDamaged
from goes_lite_postgres._driver import Connection
from goes_lite_postgres._options import ServerAddress


class Names:
    """The event names of one store."""

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
        """Return the names as a user transaction sees them."""
        return Names(self._address, self._names)

    def known(self, names: Iterable[str]) -> bool:
        """Return whether the keys of all names are cached."""
        return all(name in self._keys for name in names)

    async def keys(self, connection: Connection, names: set[str]) -> dict[str, int]:
        """Return the keys of names, creating missing ones; the caller holds the lock of the log if there may be any."""
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
        # New keys are not cached: if this transaction is rolled back, the next must create them again.
        self._keys.update(found)
        return {**self._keys, **made}

    async def names(self, connection: Connection, keys: Iterable[int]) -> dict[int, str]:
        """Return a mapping with at least these keys to their names."""
        missing = {*keys} - self._names.keys()
        if missing:
            rows = await connection.fetch(self._by_key, [*missing])
            self._names.update((row[0], row[1]) for row in rows)
            if left := missing - self._names.keys():
                raise StoreDamaged(
                    self._address.location, f"events have the name keys {sorted(left)}, which do not exist"
                )
        return self._names
