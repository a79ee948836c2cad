"""What a worker does for commands in the queue of the event bus: it records their outcomes, and sends again what is lost.

Rule of this file: it waits for the queue next to the worker, never in its place, for the broker may be away.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress

from goes_lite.commands._accepted import KeptCommand, accepted_in, read
from goes_lite.commands._remote import RemoteCommands
from goes_lite.commands._settling import failed, settle
from goes_lite.contract.backend import Backend
from goes_lite.contract.model_store import ModelRecord
from goes_lite.contract.own_collections import COMMANDS
from goes_lite.errors import CodecError, ModelConflict, StoreClosed, UnknownEventError
from goes_lite.events.fields import to_micros
from goes_lite.runtime import Signal
from goes_lite.runtime.backoff import Backoff

logger = logging.getLogger("goes_lite.commands")

PAUSE = 1.0
"""Seconds between two looks at the store: what is sent is seldom done at once."""


class SentCommands:
    """The commands that were handed over to the queue."""

    def __init__(self, backend: Backend, remote: RemoteCommands, failed: Callable[[Exception], None]) -> None:
        self._backend = backend
        self._remote = remote
        self._failed = failed
        self._backoff = Backoff(PAUSE, maximum=10.0)
        self._stopping = False
        self._stopped = Signal()
        self._changed = Signal()

    def halt(self) -> None:
        """Ask `run` to end, from any thread."""
        self._stopping = True
        self._stopped.notify()
        self._changed.notify()

    async def run(self) -> None:
        """Look after them until `halt`, or until the handle is closed."""
        runtime, failures = self._backend.runtime, 0
        with suppress(StoreClosed), self._backend.commits.watch(self._changed):
            while not self._stopping:
                stopped, seen, pause = self._stopped.count, self._changed.count, PAUSE
                wait: float | None = 0.0
                try:
                    wait = await self._look()
                    failures = 0
                except StoreClosed:
                    raise
                except Exception as exc:  # noqa: BLE001 - the broker is away, or the store is not usable just now
                    failures += 1
                    pause = self._backoff(failures)
                    self._failed(exc)
                await runtime.wait(self._stopped, stopped, pause)
                if not self._stopping:
                    await runtime.wait(self._changed, seen, wait)

    async def _look(self) -> float | None:
        """Look after those that are due; return the seconds until the next is, None if there are none."""
        looked: set[str] = set()
        lost = False
        async for record in self._backend.models.query(COMMANDS, where={"state": "sent"}, order_by="due"):
            if self._stopping:
                break
            if record.id in looked:  # it has been postponed since
                continue
            now = self._backend.runtime.clock.now()
            accepted = read(record, now)
            if accepted.due > to_micros(now) and not lost:
                return (accepted.due - to_micros(now)) / 1_000_000
            looked.add(record.id)
            lost |= await self._look_after(record, accepted)  # if one is lost, so may all others be
        return PAUSE if looked else None

    async def _look_after(self, record: ModelRecord, accepted: KeptCommand) -> bool:
        if accepted.state == "sent":
            try:
                return await self._remote.look_after(accepted)
            except (CodecError, UnknownEventError) as exc:
                logger.warning("the command %s cannot be looked after any more: %s", record.id, exc)
                await settle(self._backend, accepted, failed(exc))
                return False
        logger.warning("the command %s cannot be looked after any more: %s", record.id, accepted.error)
        with suppress(ModelConflict):  # changed in the meantime
            await accepted_in(self._backend).put(record.id, accepted, expected=record.version)
        return False
