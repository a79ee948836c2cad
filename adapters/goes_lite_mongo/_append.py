"""Appending: what is looked up for a group of appends, what is decided for each of them, what is written for all.

It runs inside a transaction that has moved the counter of the log first, so nobody else can append until it ends, and what
was looked up stays true: one look, then every decision in Python, then the writes. An append that is refused has written
nothing, and disturbs none of the others in its group. (An error of the server's would undo the whole transaction.)

Mostly everything is as the appends expect it. So they may be written without a look, in such a way that the server finds
out if anything is not (`foresee`); then nothing of it is stored, and it is done again with a look.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bson.binary import Binary
from bson.int64 import Int64
from pymongo import InsertOne, ReturnDocument, UpdateOne

from goes_lite.contract.event_store import AppendCondition, Appended
from goes_lite.errors import AppendConditionFailed, ConcurrencyError, StoreDamaged
from goes_lite.events.event import Event, id_bytes, time_micros
from goes_lite.events.fields import AggregateRef
from goes_lite.kit.batch import AppendBatch, check_repeated
from goes_lite.kit.reading import EventReader
from goes_lite.kit.sql import MAX_INTEGER
from goes_lite_mongo._driver import ClientSession, Document
from goes_lite_mongo._filter import window
from goes_lite_mongo._rows import document, stored
from goes_lite_mongo._schema import STORE, Collections


async def take_turn(found: Collections, session: ClientSession, events: int = 0) -> int:
    """Become the one who may append until the transaction ends; the head of the log, which is moved by so many events."""
    moved = {"$inc": {"turns": 1, "head": Int64(events)}}
    row = await found.store.find_one_and_update(
        {"_id": STORE}, moved, return_document=ReturnDocument.BEFORE, session=session
    )
    if row is None:
        raise StoreDamaged(found.store.full_name, "it does not say where the log ends")
    return int(row["head"])


class Group:
    """Some appends on their way into one transaction: look, decide on each in turn, write."""

    def __init__(self, found: Collections, reader: EventReader) -> None:
        self._found = found
        self._reader = reader
        self._versions: dict[AggregateRef, int] = {}
        self._stored: dict[bytes, Event[Any]] = {}
        self._moved: dict[AggregateRef, tuple[int, int]] = {}
        self._foreseen: dict[AggregateRef, int] | None = None
        self._head = 0
        """Where the counter stands in this transaction."""
        self.events: list[Event[Any]] = []
        """What is to be written, in position order, behind `before`."""
        self.before = 0

    def foresee(self, batches: Sequence[AppendBatch], head: int, moved: int) -> None:
        """Take it that the aggregates are where the events expect them, and that none of the events is stored."""
        self.before, self._head = head, head + moved
        for batch in batches:
            for ref, step in batch.steps.items():
                self._versions.setdefault(ref, step.expected)
        self._foreseen = dict(self._versions)

    async def look(self, session: ClientSession, batches: Sequence[AppendBatch], head: int, moved: int = 0) -> None:
        """Learn where the aggregates are, and which of the events are stored already."""
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
        """What becomes of one append; what is raised is what it is refused with."""
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
        """The highest position of an event that the condition forbids, 0 if there is none."""
        for event in reversed(self.events):
            if event.position <= condition.after:
                break
            if self._reader.matches(condition.query, event):
                position: int = event.position
                return position
        forbidden = window(
            condition.query, self._reader.registry.spellings, min(condition.after, MAX_INTEGER), MAX_INTEGER
        )
        row = await self._found.events.find_one(forbidden, {"_id": 1}, sort=[("_id", -1)], session=session)
        return 0 if row is None else int(row["_id"])

    async def write(self, session: ClientSession) -> bool:
        """Store what was accepted; False, or a duplicate key, if it was not as foreseen: then nothing may be committed."""
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
