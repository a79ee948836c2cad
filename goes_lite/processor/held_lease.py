"""Which instance of a processor is the active one: it holds the lease of the processor's name, the others stand by.

Others take over at once when the lease is given back, and when its time has run out if its holder was killed. What a
holder that was paused for longer than that still tries to write is refused: every checkpoint is saved under the lease.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from uuid import uuid4

from goes_lite.contract.backend import Backend
from goes_lite.contract.checkpoints import Lease
from goes_lite.errors import GoesError, LeaseHeld, LeaseLost, StoreClosed
from goes_lite.runtime import Signal
from goes_lite.runtime.background import Background, uninterrupted

STANDBY_INTERVAL = 0.2
"""Seconds after which one that stands by looks again whether the lease has been given back."""


def new_owner() -> str:
    """A name for an instance that no other has, and by which people find it: host, process, something random."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"


class HeldLease:
    """The time for which an instance is the active one: from `begin` to `end`, renewed beside its work."""

    def __init__(self, backend: Backend, name: str, owner: str, ttl: float, wake: Signal) -> None:
        self._backend = backend
        self._name = name
        self._owner = owner
        self._ttl = ttl
        self._wake = wake
        self._ending = Signal()
        self._renewal: Background | None = None
        self.lease: Lease | None = None
        self.lost = False
        """Whether another instance has taken the lease."""

    async def acquire(self) -> Lease:
        """Take the lease; LeaseHeld while another instance has it."""
        held = await self._backend.leases.get(self._name)
        if held is not None and held.owner != self._owner:  # whoever stands by keeps no writer waiting
            raise LeaseHeld(self._name, held.owner, held.expires)
        try:
            lease = await (self._take() if self._backend.runtime.inline else uninterrupted(self._take()))
        except (Exception, GeneratorExit):
            raise
        except BaseException:  # cancelled, it may have been taken all the same
            await self._give_back()
            raise
        self._renewal = Background(self._backend.runtime, f"goes_lite-lease {self._name}")
        self._renewal.start(self._renew(lease))
        return lease

    async def _take(self) -> Lease:
        self.lease = await self._backend.leases.acquire(self._name, self._owner, self._ttl)
        return self.lease

    async def _renew(self, lease: Lease) -> None:
        while not await self._backend.runtime.wait(self._ending, 0, self._ttl / 3):
            try:
                await self._backend.leases.renew(lease, self._ttl)
            except LeaseLost:
                self.lost = True
                self._wake.notify()
                return
            except StoreClosed:
                return
            except GoesError:
                continue  # the store cannot be written to just now; nor can anybody else take the lease

    async def release(self) -> None:
        """Give the lease back, so that another one takes over at once; also if whoever waits for it is cancelled."""
        self._ending.notify()
        try:
            if self._renewal is not None:
                await self._renewal.join()
            await self._give_back()
        except (Exception, GeneratorExit):
            raise
        except BaseException:
            await self._give_back()
            raise

    async def _give_back(self) -> None:
        if self.lease is not None and not self.lost:
            with suppress(GoesError):  # it runs out by itself
                await self._backend.leases.release(self.lease)
