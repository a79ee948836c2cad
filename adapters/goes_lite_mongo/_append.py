"""Append a group: look up what it needs, decide each append, write all accepted ones.

It runs in a transaction that first moves the counter of the log, so nobody else can append until it ends, and what it looks
up stays true: one lookup, then every decision in Python, then the writes. A refused append writes nothing and does not
affect the others of its group. (A server error would roll back the whole transaction.)

Usually everything is as the appends expect. So they can be written without a lookup, in such a way that the server detects
a failed assumption (`foresee`); then nothing is stored, and the group runs again with a lookup.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bson.binary import Binary
from bson.int64 import Int64
from pymongo import InsertOne, ReturnDocument, UpdateOne
from pymongo.errors import PyMongoError

from goes_lite.contract.event_store import AppendCondition, Appended
from goes_lite.errors import AppendConditionFailed, ConcurrencyError, StoreDamaged
from goes_lite.events.event import Event, id_bytes, time_micros
from goes_lite.events.fields import AggregateRef
from goes_lite.kit.batch import AppendBatch, check_repeated
from goes_lite.kit.branches import Window
from goes_lite.kit.reading import EventReader
from goes_lite.kit.sql import MAX_INTEGER
from goes_lite_mongo._connection import Connection
from goes_lite_mongo._driver import ClientSession, Document, conflict, lost
from goes_lite_mongo._fence import FENCE, has_ended, remove
from goes_lite_mongo._filter import window
from goes_lite_mongo._line import Taken
from goes_lite_mongo._many import find_positions, many
from goes_lite_mongo._rows import document, stored
from goes_lite_mongo._schema import STORE, Collections


async def take_turn(connection: Connection, session: ClientSession, events: int = 0, *, fencing: bool = False) -> int:
    """Lock the log until the transaction ends, move the head by a number of events, and return the head before.

    Taken if another transaction has it; StoreMoved if a fence keeps it out, unless it is `fencing`.
    """
    found, line = connection.collections, connection.line
    await line.approach()
    moved = {"$inc": {"turns": 1, "head": Int64(events)}}
    try:
        row = await found.store.find_one_and_update(
            {"_id": STORE}, moved, return_document=ReturnDocument.BEFORE, session=session
        )
    except PyMongoError as exc:
        if lost(exc) or not conflict(exc):
            raise
        raise Taken from exc
    line.taken(session)
    if row is None:
        raise StoreDamaged(found.store.full_name, "its document with the head of the log is missing")
    if FENCE in row and not fencing and await has_ended(connection, session):
        await remove(found, session)
    return int(row["head"])


async def read_head(found: Collections, session: ClientSession) -> int:
    """Return the head of the log."""
    row = await found.store.find_one({"_id": STORE}, session=session)
    if row is None:
        raise StoreDamaged(found.store.full_name, "its document with the head of the log is missing")
    return int(row["head"])


class Group:
    """The appends of one transaction: look or foresee, decide each in turn, write."""

    def __init__(self, found: Collections, reader: EventReader) -> None:
        self._found = found
        self._reader = reader
        self._versions: dict[AggregateRef, int] = {}
        self._stored: dict[bytes, Event[Any]] = {}
        self._moved: dict[AggregateRef, tuple[int, int]] = {}
        self._foreseen: dict[AggregateRef, int] | None = None
        self._head = 0
        """The counter of the log in this transaction."""
        self.events: list[Event[Any]] = []
        """The events to write after position `before`, in order."""
        self.before = 0

    def foresee(self, batches: Sequence[AppendBatch], head: int, moved: int) -> None:
        """Assume that the aggregates have the expected versions, and that none of the events is stored."""
        self.before, self._head = head, head + moved
        for batch in batches:
            for ref, step in batch.steps.items():
                self._versions.setdefault(ref, step.expected)
        self._foreseen = dict(self._versions)

    async def look(self, session: ClientSession, batches: Sequence[AppendBatch], head: int, moved: int = 0) -> None:
        """Look up the aggregates' versions, and which of the events are stored already."""
        self.before, self._head = head, head + moved
        ids = [Binary(id_bytes(event), 4) for batch in batches for event in batch.events]
        refs = [*dict.fromkeys(ref for batch in batches for ref in batch.steps)]
        if refs:
            keys = [{"name": ref.name, "id": ref.id} for ref in refs]
            rows = await self._found.aggregates.find(
                {"_id": {"$in": keys}}, session=session, batch_size=10_000
            ).to_list()
            found = {AggregateRef._make((row["_id"]["name"], row["_id"]["id"])): int(row["version"]) for row in rows}
            self._versions = {ref: found.get(ref, 0) for ref in refs}
        rows = await self._found.events.find({"id": {"$in": ids}}, session=session, batch_size=10_000).to_list()
        self._stored = {bytes(row["id"]): stored(row) for row in rows}

    async def decide(self, session: ClientSession, batch: AppendBatch, condition: AppendCondition | None) -> Appended:
        """Return the result of one append, or raise the error that refuses it."""
        if self._stored and any(id_bytes(event) in self._stored for event in batch.events):
            return check_repeated(batch, self._stored, self._reader.registry)
        for ref, step in batch.steps.items():
            if self._versions[ref] != step.expected:
                raise ConcurrencyError(ref, step.expected, self._versions[ref])
        if condition is not None and (position := await self._conflict(session, condition)):
            raise AppendConditionFailed(condition, position)
        return self._accept(batch)

    def _accept(self, batch: AppendBatch) -> Appended:
        first = self.before + len(self.events) + 1
        positions = tuple(range(first, first + len(batch.events)))
        for event, position in zip(batch.events, positions, strict=True):
            at = event.at(position)
            self.events.append(at)
            self._stored[id_bytes(event)] = at
        for ref, step in batch.steps.items():
            begun = self._moved.get(ref)
            self._moved[ref] = (begun[0] if begun else time_micros(step.first), time_micros(step.last))
            self._versions[ref] = step.version
        return Appended(positions)

    async def _conflict(self, session: ClientSession, condition: AppendCondition) -> int:
        """Return the highest position of an event that the condition forbids, or 0."""
        for event in reversed(self.events):
            if event.position <= condition.after:
                break
            if self._reader.matches(condition.query, event):
                position: int = event.position
                return position
        spellings, after = self._reader.registry.spellings, min(condition.after, MAX_INTEGER)
        if parts := many(condition.query, spellings):
            part = Window(after, self.before, 1, reverse=True)
            return sum(await find_positions(self._found.events, session, parts, part, spellings))
        forbidden = window(condition.query, spellings, after, MAX_INTEGER)
        row = await self._found.events.find_one(forbidden, {"_id": 1}, sort=[("_id", -1)], session=session)
        return 0 if row is None else int(row["_id"])

    async def write(self, session: ClientSession) -> bool:
        """Write the accepted events. Returning False or a duplicate key means that an assumption failed: do not commit."""
        await self._found.events.insert_many([document(event) for event in self.events], session=session)
        if self._moved:
            moves = [self._move(ref, *times) for ref, times in self._moved.items()]
            done = await self._found.aggregates.bulk_write(moves, ordered=False, session=session)
            if done.matched_count + done.upserted_count + done.inserted_count != len(moves):
                return False
        if self.before + len(self.events) != self._head:
            head: Document = {"$set": {"head": Int64(self.before + len(self.events))}}
            await self._found.store.update_one({"_id": STORE}, head, session=session)
        return True

    def _move(self, ref: AggregateRef, first: int, last: int) -> UpdateOne | InsertOne[Document]:
        key: Document = {"name": ref.name, "id": ref.id}
        fields = {"version": Int64(self._versions[ref]), "last_time": Int64(last)}
        if self._foreseen is None:
            return UpdateOne({"_id": key}, {"$set": fields, "$setOnInsert": {"first_time": Int64(first)}}, upsert=True)
        if self._foreseen[ref] == 0:
            return InsertOne({"_id": key, **fields, "first_time": Int64(first)})
        return UpdateOne({"_id": key, "version": self._foreseen[ref]}, {"$set": fields})
