"""The blocking face of the command bus: handlers and middleware are plain functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from goes_lite.aggregate import Aggregate
from goes_lite.commands import CommandBus
from goes_lite.commands._bus import Around, Middleware
from goes_lite.portal import Portal

F = TypeVar("F", bound=Callable[..., Any])


class BlockingCommandBus:
    """See `goes_lite.commands.CommandBus`."""

    def __init__(self, commands: CommandBus, portal: Portal) -> None:
        self._commands = commands
        self._portal = portal

    def __repr__(self) -> str:
        return repr(self._commands)

    @property
    def handled(self) -> tuple[str, ...]:
        return self._commands.handled

    def handle(self, command: type[Any] | str, handler: Callable[..., object], *, transactional: bool = False) -> None:
        self._commands.handle(command, handler, transactional=transactional)

    def handles(self, command: type[Any] | str, *, transactional: bool = False) -> Callable[[F], F]:
        return self._commands.handles(command, transactional=transactional)

    def serve(self, aggregate: type[Aggregate], **options: Any) -> None:
        self._commands.serve(aggregate, **options)

    def use(self, *middleware: Middleware, around: Around = "handling") -> None:
        self._commands.use(*middleware, around=around)

    def dispatch(self, command: object, *, id: UUID | None = None, timeout: float | None = None) -> Any:
        return self._portal.run(self._commands.dispatch(command, id=id, timeout=timeout))
