"""The line of writers: handles and processes that compete for the log take turns, first come, first served.

The server does not queue transactions. It refuses the second that takes the counter of the log, and of many that try again
the lucky one is next, while most tries are in vain. So a writer that was refused joins a line, a list in a document next to the
counter. Only its first writes, for a turn of some transactions, so that a line costs little more than none; the others
sleep and look.

The line is a courtesy: the counter in the transaction keeps the log in order, with or without it. So it is written without
waiting for the journal, a handle that competes with no other does not use it, and who stays first for too long, because it
died or has a long transaction, is taken out.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

from bson.objectid import ObjectId
from pymongo import ReturnDocument
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from goes_lite_mongo._driver import DRIVER_ERRORS, ClientSession, Collection, Document

LINE = "line"
"""The id of the document, in the collection of the counter."""
DEAD = 1.0
"""Seconds after which the first of the line is taken out by the others."""
LONE = 5
"""After how many turns for which nobody else waited a handle no longer joins the line before it writes."""
TURN, ROUND = 0.1, 0.5
"""Seconds that a turn lasts at most, and all of them together until it is the same one's again."""
LEAST = 3
"""How many transactions a turn may have in any case: on a slow server it would otherwise end with the first."""
HANDOVER = 0.015
"""Seconds that it takes until the next one begins, about."""
REST = 0.002
"""Seconds after which a turn ends early if nothing is written, in addition to twice the usual pause of this handle."""
PAUSE, LONGEST = 0.002, 0.05
"""Seconds between two tries of the first while somebody outside of the line has the log: at first, at most."""


class Taken(PyMongoError):
    """Another transaction has the log: try again."""

    def __init__(self) -> None:
        super().__init__("another transaction has the log", ["TransientTransactionError"])


class Line:
    """The place of one handle in the line."""

    def __init__(self, store: Collection, timeout: float) -> None:
        self._store = store.with_options(write_concern=WriteConcern(1), read_concern=ReadConcern("local"))
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._ticket: ObjectId | None = None
        self._end: float | None = None
        """When our turn ends, once it has begun."""
        self._done = 0
        """How many transactions it has had."""
        self._others = 0
        self._lone = LONE
        self._since = 0.0
        self._tries = 0
        """How often what is to be written was refused, and since when it waits."""
        self._first: tuple[ObjectId, float] | None = None
        """Who was seen as the first of the line, and since when."""
        self._holder: ClientSession | None = None
        """Whose transaction has the log."""
        self._begun = self._ended = float("-inf")
        """When our last transaction got the log, and when it ended."""
        self._gap = 0.0
        """Seconds from the end of one to what is written next, usually."""
        self._resting: asyncio.TimerHandle | None = None
        self._leaving: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Line: {'outside' if self._ticket is None else 'inside'}>"

    @property
    def stuck(self) -> bool:
        """Whether many tries were in vain."""
        return self._tries > 5

    async def approach(self) -> None:
        """Wait for our turn before the first try, if others competed for the last ones."""
        if self._tries:
            return
        self._since = self._loop.time()
        self._gap += 0.3 * (min(TURN, self._since - self._ended) - self._gap)
        self._stir()
        if self._over():
            self.leave()
        if self._ticket is None and self._lone < LONE:
            await self._wait()

    def taken(self, session: ClientSession) -> None:
        """Note that our transaction has the log."""
        self._tries, self._holder, self._begun = 0, session, self._loop.time()
        self._done += 1
        if self._ticket is not None and self._end is None:
            self._end, self._done = self._loop.time() + self._turn(), 1

    async def refused(self) -> bool:
        """Wait for the next try, since another has the log; False once the timeout is over."""
        self._tries, self._lone = self._tries + 1, 0
        if not await self._wait():
            self._tries = 0
            self.leave()
            return False
        if self._tries > 1:
            await asyncio.sleep(min(LONGEST, PAUSE * 1.2**self._tries) * (0.5 + random.random()))
        return True

    def ending(self, session: ClientSession) -> None:
        """Let the next one begin at the end of our turn, while this transaction, which has the log, commits."""
        if self._holder is session and self._over():
            self.leave()

    def ended(self, session: ClientSession) -> None:
        """Note that a transaction has ended; end our turn if nothing else follows soon."""
        if self._holder is session:
            self._holder, self._ended = None, self._loop.time()
            if self._ticket is not None:
                self._stir()
                if self._gap > max(HANDOVER, 2 * (self._ended - self._begun)):
                    self.leave()  # to wait for our next would take longer than to let another one begin
                else:
                    self._resting = self._loop.call_later(REST + 2 * self._gap, self.leave)

    def leave(self) -> None:
        """Leave the line, without waiting for it."""
        self._stir()
        ticket, self._ticket, self._end = self._ticket, None, None
        if ticket is None:
            return
        before = self._leaving

        async def leave() -> None:
            if before is not None:
                await asyncio.wait([before])
            with suppress(*DRIVER_ERRORS):
                await self._store.update_one({"_id": LINE}, {"$pull": {"waiting": ticket}})

        self._leaving = self._loop.create_task(leave(), name="goes_lite-line")

    async def close(self) -> None:
        """Leave the line."""
        self.leave()
        if self._leaving is not None:
            await asyncio.wait([self._leaving])

    def _turn(self) -> float:
        """Return the seconds that a turn lasts."""
        return min(TURN, ROUND / (self._others + 1))

    def _over(self) -> bool:
        return self._end is not None and self._done >= LEAST and self._loop.time() > self._end

    def _stir(self) -> None:
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None

    async def _wait(self) -> bool:
        """Wait until we are the first of the line; False once the timeout is over."""
        place = await (self._join() if self._ticket is None else self._place())
        while place > 0:
            left = self._since + self._timeout - self._loop.time()
            if left <= 0:
                return False
            await asyncio.sleep(min(left, (place - 0.5) * self._turn() / 2))
            place = await self._place()
        return self._loop.time() < self._since + self._timeout

    async def _join(self) -> int:
        ticket = self._ticket = ObjectId()
        self._first = None
        try:
            row = await self._store.find_one_and_update(
                {"_id": LINE}, {"$push": {"waiting": ticket}}, upsert=True, return_document=ReturnDocument.AFTER
            )
        except DRIVER_ERRORS:
            return 0
        place = self._seen(row)
        self._lone = 0 if self._others else self._lone + 1
        return place

    async def _place(self) -> int:
        """Return how many are before us: none if we were taken out."""
        try:
            place = self._seen(await self._store.find_one({"_id": LINE}))
            if place and self._first is not None and self._loop.time() - self._first[1] > DEAD:
                await self._store.update_one({"_id": LINE}, {"$pull": {"waiting": self._first[0]}})
                self._first = None
        except DRIVER_ERRORS:
            return 0
        return place

    def _seen(self, row: Document | None) -> int:
        found = row.get("waiting") if row else None
        waiting: list[ObjectId] = found if isinstance(found, list) else []  # pyright: ignore[reportUnknownVariableType]
        if self._ticket is None or self._ticket not in waiting:
            return 0
        if self._first is None or self._first[0] != waiting[0]:
            self._first = waiting[0], self._loop.time()
        self._others = len(waiting) - 1
        return waiting.index(self._ticket)
