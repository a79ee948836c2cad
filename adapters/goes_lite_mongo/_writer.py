"""Write a group of appends in one transaction; see `goes_lite.kit.committer`. It usually takes four round trips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial

from goes_lite.kit.committer import Operation, decide, mark_in_doubt
from goes_lite_mongo._append import Group, take_turn
from goes_lite_mongo._connection import Connection
from goes_lite_mongo._driver import duplicate

GROUP_EVENTS = 2000
"""The approximate maximum number of events in one transaction."""


class Writer:
    """Writes groups of appends. `turn` is entered around each transaction."""

    def __init__(
        self, connection: Connection, group: Callable[[], Group], turn: Callable[[], AbstractAsyncContextManager[None]]
    ) -> None:
        self._connection = connection
        self._group = group
        self._turn = turn

    async def write(self, group: Sequence[Operation]) -> bool:
        """Write a group in one transaction; return whether anything was written. An operation keeps its own GoesError."""
        async with self._turn():
            if not any(operation.condition is not None or operation.in_doubt for operation in group):
                with suppress(_UnforeseenError):
                    return await self._transact(group, look=False)
            return await self._transact(group, look=True)

    async def _transact(self, group: Sequence[Operation], *, look: bool) -> bool:
        connection = self._connection
        batches = [operation.batch for operation in group]
        events = sum(len(batch.events) for batch in batches)
        async with connection.client.start_session() as session:
            await connection.begin(session)
            try:
                appends = self._group()
                head = await take_turn(connection, session, events)
                if look:
                    await appends.look(session, batches, head, events)
                else:
                    appends.foresee(batches, head, events)
                await decide(partial(appends.decide, session), group)
                if not look and any(operation.error is not None for operation in group):
                    raise _UnforeseenError
                if not appends.events:
                    await connection.abort(session)
                    return False
                if not await appends.write(session):
                    raise _UnforeseenError
            except BaseException as exc:
                await connection.abort(session)
                if not look and (duplicate(exc) or isinstance(exc, OverflowError)):  # a version beyond 64 bits
                    raise _UnforeseenError from exc
                raise
            await connection.commit(session, partial(mark_in_doubt, group))
        return True


class _UnforeseenError(Exception):
    """An assumption failed: the group must look."""
