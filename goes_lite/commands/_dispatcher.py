"""What handles commands, and what workers and services need of the bus that finds it."""

from __future__ import annotations

from typing import Any, Protocol

from goes_lite.commands._command import DispatchedCommand
from goes_lite.commands._receipts import Receipts
from goes_lite.commands._remote import RemoteCommands
from goes_lite.contract.backend import Backend


class Handler(Protocol):
    """Handles the commands of one name."""

    receipts: Receipts

    async def handle(self, command: DispatchedCommand[Any]) -> object:
        """Handle the command and return the result. What it raises propagates to the caller of `dispatch`."""
        ...


class Dispatcher(Protocol):
    """A command bus, as workers and services use it."""

    backend: Backend

    @property
    def handled(self) -> tuple[str, ...]:
        """The names of the commands that have a handler here."""
        ...

    @property
    def queue(self) -> RemoteCommands | None:
        """What hands accepted commands without a handler here over to the queue of the event bus; None if it has none."""
        ...

    def handler_of(self, name: str) -> Handler | None:
        """Return what handles commands of this name, or former name, here."""
        ...

    async def send(self, command: DispatchedCommand[Any]) -> Any:
        """Have a command handled, in its own context, and return the result."""
        ...
