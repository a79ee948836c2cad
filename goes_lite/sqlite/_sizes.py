"""How much space a store takes: the file and its -wal, or the pages in memory."""

from __future__ import annotations

import os
from contextlib import suppress

from goes_lite.sqlite._connection import FileAddress
from goes_lite.sqlite._driver import Connection


def sizes(connection: Connection, address: FileAddress) -> dict[str, int]:
    """Return the bytes of each part; the -wal is there only while the store is in use, or after a crash."""
    if address.memory:
        (pages,), (size,) = (connection.execute(f"PRAGMA {name}").fetchall()[0] for name in ("page_count", "page_size"))
        return {"memory": pages * size}
    found = {"file": os.stat(address.path).st_size}
    with suppress(FileNotFoundError):
        found["wal"] = os.stat(f"{address.path}-wal").st_size
    return found
