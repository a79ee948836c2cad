"""Tries of a decision that others may get ahead of: load, decide, append, and all of it again after a refusal.

Usually nobody interferes, so the first tries take no lock. Those of one process queue up, and from the third try on the
write lock of the store is held from loading to saving: no other process can get ahead of that, so it is not lost.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Hashable
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from goes_lite.contract.backend import TRANSACTIONS
from goes_lite.errors import AppendConditionFailed, ConcurrencyError, StoreLocked, TransactionError
from goes_lite.events.event import recording_clock
from goes_lite.repository._queues import MAX_TURN, AggregateQueues, Ticket
from goes_lite.runtime import SystemClock

if TYPE_CHECKING:
    from goes_lite.contract.backend import Backend, Transaction

T = TypeVar("T")

Refusal: TypeAlias = ConcurrencyError | AppendConditionFailed
"""What a save raises if something was stored since the decision was made; `use` and `decide` try again."""

FREE = 2
"""How many tries are made without the lock."""
MANY = 5
"""How many tries there must be at least for one with the lock: who wants only a few wants to hear of conflicts."""
MAX_WAIT = 0.25
"""The longest pause between two tries, in seconds."""


async def repeated(
    backend: Backend,
    queues: AggregateQueues,
    key: Hashable,
    attempt: Callable[[Transaction | None], Awaitable[T | Refusal]],
    took: Callable[[], float],
    *,
    tries: int,
    backoff: float = 0.002,
) -> T:
    """Return what the attempt returns, once that is no refusal; raise the refusal of the last try.

    `key` says what the attempts compete for. If an attempt is given a transaction, everything in it is to happen there.
    `took` returns how many seconds the program took to decide in the last one: a slow one must not keep out all others.
    """
    runtime = backend.runtime
    number = 1
    locks = tries >= MANY and TRANSACTIONS in backend.abilities
    ticket: Ticket | None = None
    clock = None if type(runtime.clock) is SystemClock else runtime.clock
    before = None if recording_clock.get() is clock else recording_clock.set(clock)
    try:
        while True:
            if ticket is None and tries > 1 and (number > 1 or queues.occupied(key)):
                ticket = await queues.join(key, runtime)
            locked: tuple[T | Refusal] | None = None
            if locks and number > FREE and took() < MAX_TURN:
                locked = await _locked(backend, attempt)
                if locked is None:
                    locks = False
            outcome = await attempt(None) if locked is None else locked[0]
            if not isinstance(outcome, (ConcurrencyError, AppendConditionFailed)):
                return outcome
            if number == tries:
                outcome.after(tries)
                raise outcome
            if ticket is not None and (number < FREE or not locks):  # only chance keeps two processes apart
                await runtime.sleep(random.uniform(0, min(MAX_WAIT, backoff * 2 ** (number - 2))))
            number += 1
    finally:
        if before is not None:
            recording_clock.reset(before)
        if ticket is not None:
            queues.leave(ticket)


async def _locked(
    backend: Backend, attempt: Callable[[Transaction | None], Awaitable[T | Refusal]]
) -> tuple[T | Refusal] | None:
    """Make an attempt while nobody else can write. None if that is impossible, as it writes outside of the transaction."""
    try:
        async with backend.transaction() as tx:
            await tx.events.append(())
            outcome = await attempt(tx)
            if isinstance(outcome, (ConcurrencyError, AppendConditionFailed)):
                raise _RolledBack(outcome)
            return (outcome,)
    except _RolledBack as refused:
        return (refused.refusal,)
    except Exception as exc:
        cause: BaseException | None = exc
        while cause is not None:
            if isinstance(cause, TransactionError | StoreLocked):
                return None
            cause = cause.__cause__ or cause.__context__
        raise


class _RolledBack(Exception):
    """Rolls back a transaction in which the events could not be appended."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        super().__init__(refusal)
