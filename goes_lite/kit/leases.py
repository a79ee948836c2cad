"""The rules of leases, for backends that decide in Python.

A released or expired lease keeps its row, so that the fencing token only grows; an empty owner marks a released lease.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from goes_lite.contract.checkpoints import Checkpoint, Lease, check_owned_name, check_ttl
from goes_lite.errors import LeaseHeld, LeaseLost
from goes_lite.events.fields import from_micros, to_micros
from goes_lite.kit.stored import CHECKPOINT, LEASE
from goes_lite.runtime import Clock

StoredLease: TypeAlias = tuple[str, int, int]
"""Owner, token and expiry in microseconds."""

NOBODY: StoredLease = ("", 0, 0)
"""Stands for a lease that nobody has ever acquired."""


class Sightings:
    """When leases end, by the monotonic clock of this process, for as long as they stay as they were when they were seen.

    The time of day may be set back or forward meanwhile: that neither prolongs the lease of a holder that died, nor shortens
    that of one that lives elsewhere.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[str, tuple[StoredLease, float, bool]] = {}  # when each ends, and whether it is of this handle

    def judged(self, name: str, stored: StoredLease, now: int) -> StoredLease:
        """Return what is stored, with an expiry that is right by the given time of day."""
        owner, token, expires = LEASE.check(stored, name)
        seen = self._seen.get(name)
        if not owner or seen is None or seen[0] != stored:
            if owner and expires > now:
                self._seen[name] = (stored, self._clock.monotonic() + (expires - now) / 1_000_000, False)
            else:
                self._seen.pop(name, None)
            return stored
        left = round((seen[1] - self._clock.monotonic()) * 1_000_000)
        if (left > 0) == (expires > now) or (left > 0 and seen[2]):
            return stored
        return owner, token, now + max(0, left)

    def note(self, lease: Lease, duration: int) -> Lease:
        """Note a lease that this process has just acquired or renewed, and return it."""
        stored = (lease.owner, lease.token, to_micros(lease.expires))
        self._seen[lease.name] = (stored, self._clock.monotonic() + duration / 1_000_000, True)
        return lease


def stored_lease(name: str, row: Sequence[Any]) -> StoredLease:
    """Return what a row says: owner, token and expiry. DecodeError if it cannot be."""
    owner, token, expires = LEASE.check(row, name)
    return owner, token, expires


def check_claim(name: str, owner: str, ttl: float) -> int:
    """Check the arguments of `acquire` and return the duration in microseconds."""
    check_owned_name(name)
    check_owned_name(owner, "the owner of a lease")  # an empty one marks a released lease
    return check_ttl(ttl)


def acquired(name: str, owner: str, duration: int, stored: StoredLease, now: int) -> Lease:
    """Return the acquired lease to store, or raise LeaseHeld while another owner has it."""
    holder, token, expires = LEASE.check(stored, name)
    if expires > now and holder != owner:
        raise LeaseHeld(name, holder, from_micros(expires))
    if expires <= now or holder != owner:
        token += 1
    return Lease(name, owner, token, from_micros(now + duration))


def renewed(lease: Lease, duration: int, stored: StoredLease, now: int) -> Lease:
    """Return the renewed lease to store, or raise LeaseLost unless it is current."""
    check_current(lease, stored)
    return lease._replace(expires=from_micros(now + duration))


def check_current(lease: Lease, stored: StoredLease) -> None:
    """Raise LeaseLost unless the lease is current."""
    owner, token, _ = LEASE.check(stored, lease.name)
    if (owner, token) != (lease.owner, lease.token):
        raise LeaseLost(lease.name, owner or None, lease.token, token)


def held(name: str, stored: StoredLease, now: int) -> Lease | None:
    """Return the lease if it is held."""
    owner, token, expires = LEASE.check(stored, name)
    return Lease(name, owner, token, from_micros(expires)) if expires > now else None


def checkpoint(name: str, position: int, store: str, time: int) -> Checkpoint:
    """Return a checkpoint from its columns; the time is in microseconds."""
    CHECKPOINT.check((name, position, store, time))
    return Checkpoint(name, position, store, from_micros(time))
