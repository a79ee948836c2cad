"""Who holds a lease next, decided from what is stored of it: for every backend that decides in Python.

A released or expired lease keeps its row, so that the fencing token only ever grows; an empty owner marks a released one.
"""

from __future__ import annotations

from typing import TypeAlias

from goes_lite.contract.checkpoints import Checkpoint, Lease, check_owned_name, check_ttl
from goes_lite.errors import LeaseHeld, LeaseLost
from goes_lite.events.fields import from_micros

StoredLease: TypeAlias = tuple[str, int, int]
"""Owner, token, and when it expires, in microseconds."""

NOBODY: StoredLease = ("", 0, 0)
"""What is stored of a lease that nobody has taken yet."""


def check_claim(name: str, owner: str, ttl: float) -> int:
    """The duration in microseconds of a lease that is to be acquired; InvalidQueryError."""
    check_owned_name(name)
    check_owned_name(owner, "the owner of a lease")  # an empty one marks a released lease
    return check_ttl(ttl)


def acquired(name: str, owner: str, duration: int, stored: StoredLease, now: int) -> Lease:
    """The lease as it is to be stored; LeaseHeld while another owner has it."""
    holder, token, expires = stored
    if expires > now and holder != owner:
        raise LeaseHeld(name, holder, from_micros(expires))
    if expires <= now or holder != owner:
        token += 1
    return Lease(name, owner, token, from_micros(now + duration))


def renewed(lease: Lease, duration: int, stored: StoredLease, now: int) -> Lease:
    """The lease as it is to be stored; LeaseLost unless it is the current one."""
    check_current(lease, stored)
    return lease._replace(expires=from_micros(now + duration))


def check_current(lease: Lease, stored: StoredLease) -> None:
    """LeaseLost unless it is the current one."""
    owner, token, _ = stored
    if (owner, token) != (lease.owner, lease.token):
        raise LeaseLost(lease.name, owner or None, lease.token, token)


def held(name: str, stored: StoredLease, now: int) -> Lease | None:
    """The lease if somebody holds it."""
    owner, token, expires = stored
    return Lease(name, owner, token, from_micros(expires)) if expires > now else None


def checkpoint(name: str, position: int, store: str, time: int) -> Checkpoint:
    """A checkpoint from its columns; the time is in microseconds."""
    return Checkpoint(name, position, store, from_micros(time))
