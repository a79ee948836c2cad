"""What a workflow does besides events: timers that are due, and instances that are tried again.

Rule of this file: the index of what is due is in the store, in its order. A row that does not agree with its instance is stale,
and removed; one that cannot be read is put aside. Neither keeps the others waiting.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from goes_lite.codec.json_of import json_of
from goes_lite.commands.accepting import take_back
from goes_lite.contract.backend import Backend, Transaction
from goes_lite.contract.model_store import ModelRecord
from goes_lite.errors import CodecError, ModelConflict, UnknownEventError
from goes_lite.events.fields import from_micros, is_micros, to_micros
from goes_lite.processor.target import Commit, Displaced
from goes_lite.runtime.face import Face, call
from goes_lite.workflow.inputs import TimerFired
from goes_lite.workflow.instance import Failing, Instance
from goes_lite.workflow.stored import PARKED, Stored, TimerRow, rows_of, timer_id
from goes_lite.workflow.telling import Teller
from goes_lite.workflow.work import UNSTORABLE, Work

logger = logging.getLogger("goes_lite.workflow")

BATCH = 200
"""How many timers share a transaction."""
DRAIN = 100
"""How many waiting inputs of an instance share a transaction."""
MAX_SLEEP = 1.0
"""The longest wait for a timer, in seconds: the clock may be set, or the machine may sleep."""


class DueWork:
    """The chores of a workflow."""

    def __init__(self, backend: Backend, teller: Teller, face: Face) -> None:
        self._backend = backend
        self._teller = teller
        self._name = teller.newest.name
        self._timers = Stored(backend, self._name).timers
        self._attempt = face.function(teller.attempt, "a method of a workflow")
        self._undo = face.function(teller.attempt_undo, "an undo")

    async def do(self, commit: Commit) -> float | None:
        """Do what is due now; return the seconds until something is, at most one; None if nothing is planned."""
        now = self._now()
        due: list[ModelRecord] = []
        for limit in (1, BATCH):  # mostly nothing is due
            found = await self._timers.store.query(self._timers.collection, limit=limit).list()
            if not found or found[0].id.startswith(PARKED):
                return None
            due = [record for record in found if not _is_later(record.id, now)]
            if not due:
                return min(MAX_SLEEP, (int(found[0].id[:20]) - now) / 1_000_000)
        try:
            await commit(lambda tx: self._fire(tx, due))
        except UNSTORABLE:  # by one of them: it is unknown which
            for record in due:
                await self._alone(commit, record)
        return 0

    async def _alone(self, commit: Commit, record: ModelRecord) -> None:
        """Do one of the things that are due; if the store refuses what comes of it, the instance fails with that."""
        try:
            await commit(lambda tx: self._fire(tx, [record]))
        except UNSTORABLE as exc:
            error = exc
            await commit(lambda tx: self._fire(tx, [record], error))

    def _now(self) -> int:
        return to_micros(self._backend.runtime.clock.now())

    async def _fire(self, tx: Transaction, records: Sequence[ModelRecord], error: Exception | None = None) -> None:
        """Tell instances what is due for them; with an error, note that as their failure instead."""
        work = Work(self._backend, tx, self._name, self._backend.runtime.clock.now())
        rows = [(record, _read(record)) for record in records]
        await work.load(row.key for _, row in rows if row is not None)
        for record, row in rows:
            instance: Instance | None = None
            try:
                instance = None if row is None else work.get(row.key)
            except CodecError:
                row = None
            if row is None:
                await self._park(tx, record)
            elif instance is None or record.id not in rows_of(instance):
                work.stale(record.id)
            elif error is not None:
                self._teller.failed(work, instance, None if row.kind == "retry" else self._fired(row, work), error)
            elif row.kind == "retry":
                await self._try_again(work, tx, instance)
            else:
                await call(self._attempt, work, instance, self._fired(row, work))
        await work.save()

    @staticmethod
    def _fired(row: TimerRow, work: Work) -> TimerFired:
        return TimerFired(row.name, from_micros(row.due), work.now)

    async def _park(self, tx: Transaction, record: ModelRecord) -> None:
        """Put a row aside that cannot be read, or is of such an instance: nobody may have to wait for it."""
        logger.warning(
            "the timer %r in %r cannot be read, and is put aside: %.200r", record.id, record.collection, record.data
        )
        await tx.models.put_many(record.collection, {record.id: None, (PARKED + record.id)[:1000]: record.data})

    # --- instances that could not handle an input -------------------------------------------------------------------

    async def _try_again(self, work: Work, tx: Transaction, instance: Instance) -> None:
        """Tell an instance what waits for it, in order, up to the first input that it cannot handle."""
        key, failing = instance.key, instance.failing
        if failing is None:
            return
        if instance.compensating and instance.undoing is None:
            if instance.failed_undo is not None and not await _take_back(tx, instance.failed_undo):
                # Somebody has redriven it: it is done, or will be, so its outcome decides.
                work.put(replace(instance, undoing=instance.failed_undo, failing=None, updated=work.now))
            elif not await call(self._undo, work, instance):
                return
        elif failing.timer and instance.timers.get(failing.input) == failing.timer:
            timer = TimerRow(key, "timer", failing.input, failing.timer)
            if not await call(self._attempt, work, instance, self._fired(timer, work)):
                return
        rows = await work.stored.waiting(key).query(limit=DRAIN).list()
        for row in rows:
            current = work.get(key)
            if current is None or current.ended:  # nothing concerns it any more
                work.told(key, row.position)
                self._teller.ignored += 1
                continue
            if current.status == "suspended":  # by the outcome of an undo
                return
            try:
                found = await tx.events.query(after=row.position - 1, upto=row.position).list()
            except (CodecError, UnknownEventError) as exc:
                self._teller.failed(work, current, None, exc)
                return
            if found and not await call(self._attempt, work, current, found[0]):
                return
            work.told(key, row.position)
        current = work.get(key)
        if current is None or current.status == "suspended":
            return
        if current.ended:  # so does nothing that comes after those
            self._teller.ignored += await work.stored.waiting(key).clear() - len(rows)
            return
        now = to_micros(work.now)
        more = len(rows) == DRAIN
        work.put(replace(current, failing=Failing(work.now, 0, "", retry=now) if more else None))


async def _take_back(tx: Transaction, id: UUID) -> bool:
    try:
        return await take_back(tx, id)
    except ModelConflict:  # somebody redrives it just now
        raise Displaced from None


def _is_later(id: str, now: int) -> bool:
    return id[:20].isdigit() and int(id[:20]) > now


def _read(record: ModelRecord) -> TimerRow | None:
    try:
        found: TimerRow = json_of(TimerRow).decode(record.data)
    except CodecError:
        return None
    return found if is_micros(found.due) and timer_id(found) == record.id else None
