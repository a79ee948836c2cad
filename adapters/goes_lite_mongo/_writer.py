"""A group of appends in one transaction; see `goes_lite.committer`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial

from goes_lite.committer import Operation, decide, doubt
from goes_lite_mongo._append import Group, take_turn
from goes_lite_mongo._connection import Connection, abort

GROUP_EVENTS = 2000
"""About the most events in one transaction."""


class Writer:
    """Writes groups of appends. `turn` is entered around each transaction."""

    def __init__(
        self, connection: Connection, group: Callable[[], Group], turn: Callable[[], AbstractAsyncContextManager[None]]
    ) -> None:
        self._connection = connection
        self._group = group
        self._turn = turn

    async def write(self, group: Sequence[Operation]) -> bool:
        """One transaction; whether anything was written. A GoesError of one operation is kept with it."""
        connection = self._connection
        async with self._turn(), connection.client.start_session() as session:
            await connection.begin(session)
            try:
                appends = self._group()
                head = await take_turn(connection.collections, session)
                await appends.look(session, [operation.batch for operation in group], head)
                await decide(partial(appends.decide, session), group)
                if not appends.events:
                    await abort(session)
                    return False
                await appends.write(session)
            except BaseException:
                await abort(session)
                raise
            await connection.commit(session, partial(doubt, group))
        return True
