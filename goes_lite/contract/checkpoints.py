"""Checkpoints, the positions that consumers of the log have reached, and leases, which say what instance may move them.

A lease names the one active owner of something for a limited time; its fencing token grows with each change of owner. A
checkpoint that is saved under a lease is refused once the lease has moved on, so an instance that was paused for too
long cannot undo what its successor did.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import uuid4

from goes_lite.errors import InvalidQueryError
from goes_lite.events.fields import check_text, from_micros, to_micros
from goes_lite.events.query import check_for_query

MAX_TTL = 1e9
"""Thirty years, in seconds: longer than anyone wants a lease to last."""


_INSTANCE = re.compile(r".+:\d+:[0-9a-f]{8}")


class Checkpoint(NamedTuple):
    """The position that a consumer has reached in the log of one store, in one epoch of that store."""

    name: str
    """The name of the consumer."""
    position: int
    """The position of the last event that it has finished; 0 at the beginning."""
    store: str
    """The identity of the store of the position, with its epoch: a restored store has a different one."""
    time: datetime
    """When it was saved (aware, UTC)."""


class Lease(NamedTuple):
    """The right of one owner to be the active one, until it expires."""

    name: str
    owner: str
    token: int
    """The fencing token: grows by at least one each time the lease changes hands or is acquired again."""
    expires: datetime


def new_owner() -> str:
    """Return a unique and recognisable name of an instance that holds leases: host, process, a random suffix."""
    import socket

    return f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"


def is_instance(owner: str) -> bool:
    """Return whether it is such a name: it holds leases only as long as its handle is open."""
    return _INSTANCE.fullmatch(owner) is not None


def check_checkpoint(name: str, position: int, lease: Lease | None) -> None:
    """Raise InvalidQueryError unless every backend can save such a checkpoint."""
    check_owned_name(name)
    if type(position) is not int or not 0 <= position < 2**63:
        raise InvalidQueryError(f"a checkpoint's position is an int from 0 to 2**63 - 1, not {position!r:.80}")
    if lease is not None:
        check_lease(lease)


def check_checkpoints(checkpoints: Iterable[Checkpoint]) -> list[Checkpoint]:
    """Return the checkpoints of an `import_checkpoints`, by name; InvalidQueryError unless every backend can save them."""
    if isinstance(checkpoints, (str, bytes, Checkpoint)) or not isinstance(checkpoints, Iterable):
        raise InvalidQueryError(f"import_checkpoints takes a collection of checkpoints, not {checkpoints!r:.80}")
    found: dict[str, Checkpoint] = {}
    for one in checkpoints:
        if not isinstance(one, Checkpoint):
            raise InvalidQueryError(f"import_checkpoints takes Checkpoints, not {one!r:.80}")
        check_checkpoint(one.name, one.position, None)
        check_owned_name(one.store, "the store of a checkpoint")
        time = from_micros(check_for_query(to_micros, one.time))
        found[one.name] = one._replace(time=time)
    return [found[name] for name in sorted(found)]


def check_owned_name(name: str, what: str = "the name of a checkpoint or lease") -> None:
    """Raise InvalidQueryError unless it can name a checkpoint, a lease or its owner on every backend."""
    check_for_query(check_text, name, what)


def check_lease(lease: Lease) -> None:
    """Raise InvalidQueryError unless it is a Lease."""
    if not isinstance(lease, Lease):
        raise InvalidQueryError(f"lease must be a Lease, as acquire() returns it, not {lease!r:.80}")


def check_ttl(ttl: float) -> int:
    """Return the duration of a lease in microseconds; InvalidQueryError unless it is a sensible number of seconds."""
    if type(ttl) not in (int, float) or not 0 < ttl <= MAX_TTL:
        raise InvalidQueryError(f"a lease lasts for a number of seconds > 0 (and ≤ {MAX_TTL:g}), not {ttl!r:.80}")
    return max(1, round(ttl * 1_000_000))


def check_tokens(tokens: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return the tokens of an `import_tokens`, by name; InvalidQueryError unless every backend can keep them."""
    if not isinstance(tokens, Mapping):
        raise InvalidQueryError(f"import_tokens takes a mapping of names to tokens, not {tokens!r:.80}")
    for name, token in tokens.items():
        check_owned_name(name)
        if type(token) is not int or not 1 <= token < 2**63 - 1:
            raise InvalidQueryError(f"a fencing token is an int from 1 to 2**63 - 2, not {token!r:.80}")
    return sorted(tokens.items())


class CheckpointStore(Protocol):
    """Keeps checkpoints."""

    async def get(self, name: str) -> Checkpoint | None:
        """Return the checkpoint of this name, or None if there is none."""
        ...

    async def save(self, name: str, position: int, *, lease: Lease | None = None) -> None:
        """Save the position; with a lease, only while that lease is the current one, else LeaseLost."""
        ...

    async def delete(self, name: str) -> bool:
        """Delete the checkpoint; return False if there was none."""
        ...

    async def all(self) -> list[Checkpoint]:
        """Return all checkpoints, ordered by name."""
        ...

    async def import_checkpoints(self, checkpoints: Iterable[Checkpoint]) -> None:
        """Write checkpoints of another store as they are, all or none; they replace existing ones.

        Positions, times and the store that they belong to are kept: pass them with the `identity` of this store if they are
        to be valid here. Raises InvalidQueryError for values that cannot be.
        """
        ...


class LeaseStore(Protocol):
    """Keeps leases. They expire by the store's clock: that of the database server, or of the machine that has the file."""

    async def acquire(self, name: str, owner: str, ttl: float) -> Lease:
        """Acquire the lease for `ttl` seconds; LeaseHeld while another owner has it and it has not expired.

        The owner that already has it keeps it, with the same token and a new expiry.
        """
        ...

    async def renew(self, lease: Lease, ttl: float) -> Lease:
        """Extend the lease; LeaseLost if it was released or another owner has it. An expired one that nobody took is kept."""
        ...

    async def release(self, lease: Lease) -> bool:
        """Release the lease before it expires; return False if it was no longer held."""
        ...

    async def get(self, name: str) -> Lease | None:
        """Return the lease, or None if nobody holds it (never acquired, released or expired)."""
        ...

    async def tokens(self) -> dict[str, int]:
        """Return the last fencing token of each lease that was ever acquired, whether it is held or not, ordered by name."""
        ...

    async def import_tokens(self, tokens: Mapping[str, int]) -> None:
        """Continue the fencing tokens of another store, all or none: the next token of each name is higher than the given one.

        - A lease whose token is as high already stays as it is. Any other is free afterwards: who held it has lost it.
        - Raises InvalidQueryError for names and tokens that cannot be.
        """
        ...
