"""Stores of checkpoints and leases, for backends whose storage is tables of JSON rows by key; see `tables`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from goes_lite.contract.checkpoints import (
    Checkpoint,
    Lease,
    check_checkpoint,
    check_checkpoints,
    check_lease,
    check_owned_name,
    check_tokens,
    check_ttl,
)
from goes_lite.events.fields import from_micros, to_micros
from goes_lite.kit.leases import (
    NOBODY,
    StoredLease,
    acquired,
    check_claim,
    check_current,
    checkpoint,
    held,
    renewed,
)
from goes_lite.kit.tables import Change, Store, Tables, reads, writes


class Checkpoints(Store):
    """One table: position, time and, if it is another one, the store by name."""

    @reads
    def get(self, tables: Tables, name: str) -> Checkpoint | None:
        check_owned_name(name)
        return next((one for one in _stored_checkpoints(tables) if one.name == name), None)

    @writes
    def save(self, tables: Tables, name: str, position: int, *, lease: Lease | None = None) -> Change[None]:
        check_checkpoint(name, position, lease)
        if lease is not None:
            check_current(lease, _stored_lease(tables, lease.name))
        return Change(None, [["put", ["checkpoints"], name, [position, self.now()]]])

    @writes
    def delete(self, tables: Tables, name: str) -> Change[bool]:
        check_owned_name(name)
        there = name in tables.table("checkpoints")
        return Change(there, [["drop", ["checkpoints"], name]] if there else ())

    @reads
    def all(self, tables: Tables) -> list[Checkpoint]:
        return _stored_checkpoints(tables)

    @writes
    def import_checkpoints(self, tables: Tables, checkpoints: Iterable[Checkpoint]) -> Change[None]:
        found = check_checkpoints(checkpoints)
        ours = tables.identity
        rows = [(one.name, [one.position, to_micros(one.time), *([one.store] * (one.store != ours))]) for one in found]
        return Change(None, [["put", ["checkpoints"], name, row] for name, row in rows])


def _stored_checkpoints(tables: Tables) -> list[Checkpoint]:
    """Return all checkpoints, by name."""
    found = sorted(tables.table("checkpoints").items())
    return [
        checkpoint(name, position, store[0] if store else tables.identity, time)
        for name, (position, time, *store) in found
    ]


class Leases(Store):
    """One table: owner, token and expiry by name; see `goes_lite.kit.leases`."""

    @writes
    def acquire(self, tables: Tables, name: str, owner: str, ttl: float) -> Change[Lease]:
        duration = check_claim(name, owner, ttl)
        return _written(acquired(name, owner, duration, _stored_lease(tables, name), self.now()))

    @writes
    def renew(self, tables: Tables, lease: Lease, ttl: float) -> Change[Lease]:
        check_lease(lease)
        return _written(renewed(lease, check_ttl(ttl), _stored_lease(tables, lease.name), self.now()))

    @writes
    def release(self, tables: Tables, lease: Lease) -> Change[bool]:
        check_lease(lease)
        there = _stored_lease(tables, lease.name)[:2] == (lease.owner, lease.token)
        return Change(there, _written(lease._replace(owner="", expires=from_micros(0))).records if there else ())

    @reads
    def get(self, tables: Tables, name: str) -> Lease | None:
        check_owned_name(name)
        return held(name, _stored_lease(tables, name), self.now())

    @reads
    def tokens(self, tables: Tables) -> dict[str, int]:
        return {name: token for name, (_, token, _) in sorted(tables.table("leases").items())}

    @writes
    def import_tokens(self, tables: Tables, tokens: Mapping[str, int]) -> Change[None]:
        found = check_tokens(tokens)
        return Change(
            None,
            [
                ["put", ["leases"], name, ["", token, 0]]
                for name, token in found
                if _stored_lease(tables, name)[1] < token
            ],
        )


def _stored_lease(tables: Tables, name: str) -> StoredLease:
    owner, token, expires = tables.table("leases").get(name, NOBODY)
    return owner, token, expires


def _written(lease: Lease) -> Change[Lease]:
    """Return the change that stores a lease."""
    return Change(lease, [["put", ["leases"], lease.name, [lease.owner, lease.token, to_micros(lease.expires)]]])
