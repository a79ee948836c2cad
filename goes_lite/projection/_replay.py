"""Replays: events that a projection handles again, without repeating their side effects."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from goes_lite.contract.backend import Transaction
from goes_lite.contract.wrapping import WrappedTransaction
from goes_lite.errors import TransactionError
from goes_lite.events.event import Event
from goes_lite.events.query import EventQuery
from goes_lite.processor import Target
from goes_lite.processor.target import HandlerFailed
from goes_lite.projection._projection import Projection


class ReplayTarget:
    """Tells a projection which events were handled before, and suppresses their side effects."""

    def __init__(self, projection: Projection, target: Target, query: EventQuery) -> None:
        self._projection = projection
        self._target = target
        self._query = query
        self._until = 0
        self._given = 0

    def begin(self, until: int) -> None:
        """Note that the events up to a position were handled before."""
        self._until, self._given = until, 0

    async def apply(self, events: Sequence[Event[Any]], tx: Transaction | None) -> None:
        if tx is None:
            raise TransactionError(
                "a projection writes in a transaction, and got none: run it on a backend with transactions"
            )
        if not events:
            return
        if events[0].position <= self._given:
            events = await self._read_again(events, tx)
        self._given = max(self._given, events[-1].position)
        projection = self._projection
        known = next((n for n, event in enumerate(events) if event.position > self._until), len(events))
        if known:
            projection.replaying = True
            try:
                await self._target.apply(events[:known], _WithoutActions(tx))
            finally:
                projection.replaying = False
        if known < len(events):
            try:
                await self._target.apply(events[known:], tx)
            except HandlerFailed as failed:
                if failed.index is not None:
                    failed.index += known
                raise

    async def _read_again(self, events: Sequence[Event[Any]], tx: Transaction) -> list[Event[Any]]:
        """Return the same events, read from the store.

        A batch is handled again if one of its events fails. By then a method may have stored a list of an event in a read
        model, and another one appended to it.
        """
        stored = tx.events.query(self._query, after=events[0].position - 1, upto=events[-1].position)
        found = {event.position: event async for event in stored}
        return [found.get(event.position, event) for event in events]


class _WithoutActions(WrappedTransaction):
    def on_commit(self, action: Callable[[], Awaitable[object] | object], /) -> None:
        """Do nothing: the action ran when the event was handled for the first time."""
