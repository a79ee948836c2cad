"""How far a consumer of the log has come, and which instance of it may say so.

A lease names the one active owner of something, for a while; each time it changes hands its fencing token grows. A
checkpoint that is saved under a lease is refused once the lease has moved on, so an instance that was paused for too
long cannot undo what its successor did.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple, Protocol

from goes_lite.errors import InvalidQueryError
from goes_lite.events.fields import check_text
from goes_lite.events.query import asked

MAX_TTL = 1e9
"""Thirty years, in seconds: longer than any lease is meant."""


class Checkpoint(NamedTuple):
    """A consumer's place in the log of one store, in one life of that store."""

    name: str
    """Of the consumer."""
    position: int
    """Of the last event that it is done with; 0 at the beginning."""
    store: str
    """The identity of the store that the position is of, epoch included: a restored store has another."""
    time: datetime
    """When it was saved (aware, UTC)."""


class Lease(NamedTuple):
    """The right of one owner to be the active one, until it expires."""

    name: str
    owner: str
    token: int
    """The fencing token: grows by at least one each time the lease changes hands or is taken anew."""
    expires: datetime


def check_checkpoint(name: str, position: int, lease: Lease | None) -> None:
    """InvalidQueryError for what no checkpoint can be saved as on every backend."""
    check_owned_name(name)
    if type(position) is not int or not 0 <= position < 2**63:
        raise InvalidQueryError(f"a checkpoint's position is an int from 0 to 2**63 - 1, not {position!r:.80}")
    if lease is not None:
        check_lease(lease)


def check_owned_name(name: str, what: str = "the name of a checkpoint or lease") -> None:
    """InvalidQueryError unless it can name a checkpoint, a lease or its owner on every backend."""
    asked(check_text, name, what)


def check_lease(lease: Lease) -> None:
    """InvalidQueryError if it is no Lease."""
    if not isinstance(lease, Lease):
        raise InvalidQueryError(f"a lease is what acquire() answered, not {lease!r:.80}")


def check_ttl(ttl: float) -> int:
    """The duration of a lease in microseconds; InvalidQueryError if it is no number of seconds that makes sense."""
    if type(ttl) not in (int, float) or not 0 < ttl <= MAX_TTL:
        raise InvalidQueryError(f"a lease lasts for a number of seconds > 0 (and ≤ {MAX_TTL:g}), not {ttl!r:.80}")
    return max(1, round(ttl * 1_000_000))


class CheckpointStore(Protocol):
    """Keeps checkpoints."""

    async def get(self, name: str) -> Checkpoint | None:
        """The checkpoint of this name, None if there is none."""
        ...

    async def save(self, name: str, position: int, *, lease: Lease | None = None) -> None:
        """Remember the position; with a lease, only while that lease is the current one, else LeaseLost."""
        ...

    async def delete(self, name: str) -> bool:
        """Forget it; False if there was none."""
        ...

    async def all(self) -> list[Checkpoint]:
        """All of them, by name."""
        ...


class LeaseStore(Protocol):
    """Keeps leases. Time is the store's: the clock of the database server, or of the machine that has the file."""

    async def acquire(self, name: str, owner: str, ttl: float) -> Lease:
        """Take the lease for `ttl` seconds; LeaseHeld while another owner has it and it has not expired.

        The owner that has it already keeps it, with the same token and a new expiry.
        """
        ...

    async def renew(self, lease: Lease, ttl: float) -> Lease:
        """Extend it; LeaseLost if another took it, or if it was released. An expired one that nobody took is kept."""
        ...

    async def release(self, lease: Lease) -> bool:
        """Give it up before it expires; False if it was not held any more."""
        ...

    async def get(self, name: str) -> Lease | None:
        """Who holds it, None if nobody does (never taken, released or expired)."""
        ...
