"""What anybody can ask of a processor by its name: it is stored, and the active instance in any process does it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from goes_lite.contract.backend import Backend
from goes_lite.errors import ConfigError, ModelNotFound
from goes_lite.processor.records import ParkedEvent, Requests, parked_events, requests


class Requestable:
    """A processor, as everybody who knows its name can reach it."""

    backend: Backend
    name: str

    async def trigger(self) -> None:
        """Request a run now, whatever the schedule, from the active instance in any process, or else the next one."""
        await self._ask(lambda found: replace(found, triggers=found.triggers + 1))

    async def reset(self) -> None:
        """Request that it discards its progress and starts over like a new one, from the active instance or the next one.

        Dead letters are removed. Removing what its handlers wrote is up to you (a projection does that itself).
        """
        await self._ask(lambda found: replace(found, resets=found.resets + 1))

    async def parked(self) -> list[ParkedEvent]:
        """Return the dead letters, in the order of the log."""
        return await parked_events(self.backend.models, self.name, self.backend.runtime).query().list()

    async def redrive(self, *letters: ParkedEvent) -> None:
        """Request that these dead letters, or all, are handled again by the active instance, in the order of the log.

        One that fails again is parked again, after one attempt. Letters that no longer exist are ignored.
        """
        for letter in letters:
            _check(letter)
        store = parked_events(self.backend.models, self.name, self.backend.runtime)
        for letter in letters or await self.parked():
            with suppress(ModelNotFound):
                await store.use(letter.key, lambda found: replace(found, due=found.due + 1))
        await self._ask(lambda found: replace(found, redrives=found.redrives + 1))

    async def drop(self, letter: ParkedEvent) -> bool:
        """Drop a dead letter; False if it no longer exists. Events that were held back because of it are handled."""
        _check(letter)
        dropped = await parked_events(self.backend.models, self.name, self.backend.runtime).delete(letter.key)
        await self._ask(lambda found: replace(found, redrives=found.redrives + 1))
        return dropped

    async def _ask(self, change: Callable[[Requests], Requests]) -> None:
        await requests(self.backend.models, self.backend.runtime).use(self.name, change, default=Requests())


class ByName(Requestable):
    """A processor that is only asked for something: of any name, those kept for workflows included. It never runs here."""

    def __init__(self, backend: Backend, name: str) -> None:
        self.backend = backend
        self.name = name


def _check(letter: object) -> None:
    if not isinstance(letter, ParkedEvent):
        raise ConfigError(f"a dead letter of a processor is a ParkedEvent, as parked() returns it, not {letter!r:.80}")
