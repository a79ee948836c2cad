"""Which instance of a processor is active: the one that holds the lease of its name; the others stand by.

Another instance takes over as soon as the lease is released, or when it expires because its owner was killed. Late writes of
an owner that was paused for longer than that are refused: every checkpoint is saved under the lease.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from goes_lite.contract.backend import Backend
from goes_lite.contract.checkpoints import Lease
from goes_lite.errors import GoesError, LeaseHeld, LeaseLost, StoreClosed
from goes_lite.runtime import Signal
from goes_lite.runtime.background import Background, uninterrupted

STANDBY_INTERVAL = 0.2
"""Seconds between two attempts of a standby instance to acquire the lease."""


class HeldLease:
    """The lease of an active instance, renewed in the background from `acquire` to `release`.

    While the instance is `resting`, which is most of the time, it is renewed as seldom as is safe: each time costs a commit.
    """

    def __init__(
        self,
        backend: Backend,
        name: str,
        owner: str,
        ttl: float,
        wake: Signal,
        resting: Callable[[], bool] = lambda: False,
    ) -> None:
        self._backend = backend
        self._name = name
        self._owner = owner
        self._ttl = ttl
        self._wake = wake
        self._ending = Signal()
        self._renewal: Background | None = None
        self.lease: Lease | None = None
        self._resting = resting
        self.lost = False
        """Whether another instance has taken over the lease."""

    async def acquire(self) -> Lease:
        """Acquire the lease; LeaseHeld while another instance has it."""
        held = await self._backend.leases.get(self._name)
        if held is not None and held.owner != self._owner:  # standby instances must not block writers
            raise LeaseHeld(self._name, held.owner, held.expires)
        try:
            lease = await (self._take() if self._backend.runtime.inline else uninterrupted(self._take()))
        except (Exception, GeneratorExit):
            raise
        except BaseException:  # cancelled, but it may have been acquired anyway
            await self._give_back()
            raise
        self._renewal = Background(self._backend.runtime, f"goes_lite-lease {self._name}")
        self._renewal.start(self._renew(lease))
        return lease

    async def _take(self) -> Lease:
        self.lease = await self._backend.leases.acquire(self._name, self._owner, self._ttl)
        return self.lease

    async def _renew(self, lease: Lease) -> None:
        while not await self._backend.runtime.wait(self._ending, 0, self._ttl / (2 if self._resting() else 3)):
            try:
                await self._backend.leases.renew(lease, self._ttl)
            except LeaseLost:
                self.lost = True
                self._wake.notify()
                return
            except StoreClosed:
                return
            except GoesError:
                continue  # the store is not writable just now, so nobody else can acquire the lease either

    async def release(self) -> None:
        """Release the lease, so that another instance takes over immediately; even if the caller is cancelled."""
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
            with suppress(GoesError):  # it expires anyway
                await self._backend.leases.release(self.lease)
