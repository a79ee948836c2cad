"""The rules of leases, for backends that decide in Python.

A released or expired lease keeps its row, so that the fencing token only grows; an empty owner marks a released lease.
"""

from __future__ import annotations

from typing import TypeAlias

from goes_lite.contract.checkpoints import Checkpoint, Lease, check_owned_name, check_ttl
from goes_lite.errors import LeaseHeld, LeaseLost
from goes_lite.events.fields import from_micros
from goes_lite.kit.stored import CHECKPOINT, LEASE

StoredLease: TypeAlias = tuple[str, int, int]
"""Owner, token and expiry in microseconds."""

NOBODY: StoredLease = ("", 0, 0)
"""Stands for a lease that nobody has ever acquired."""


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
