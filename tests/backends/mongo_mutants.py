"""Worker processes on MongoDB that count outside of the transaction, to see that the judge of readers notices."""

from __future__ import annotations

import sys
from typing import Any

from goes_lite_mongo import _append


def mutate(mutant: str) -> None:
    """`counter`: move the counter outside of the transaction: positions are drawn before it, by an operation of its own."""
    assert mutant == "counter"

    async def drawn(connection: Any, session: Any, events: int = 0, *, fencing: bool = False) -> int:
        row = await connection.collections.store.find_one_and_update({"_id": "store"}, {"$inc": {"head": 1}})
        return int(row["head"]) - 1

    write = _append.Group.write

    async def written(self: _append.Group, session: Any) -> bool:
        if len(self.events) != 1:
            raise OSError("one event for each position that was drawn")
        self._found = self._found._replace(store=_Untouched())  # type: ignore[arg-type]
        return await write(self, session)

    for module in ("_writer", "_session", "_executor"):
        sys.modules[f"goes_lite_mongo.{module}"].take_turn = drawn  # type: ignore[attr-defined]
    _append.Group.write = written  # type: ignore[method-assign]


class _Untouched:
    """The document of the store, which the counter is in, left alone."""

    async def update_one(self, *_: Any, **__: Any) -> None:
        return
