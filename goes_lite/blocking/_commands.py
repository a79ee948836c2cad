"""The blocking face of the command bus: handlers and middleware are plain functions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from goes_lite.aggregate import Aggregate
from goes_lite.blocking._running import Running
from goes_lite.commands import (
    AcceptedCommand,
    Around,
    CommandBus,
    CommandHandler,
    CommandService,
    CommandWorker,
    Middleware,
)
from goes_lite.runtime.portal import Portal

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

    def handle(self, command: type[Any] | str, handler: CommandHandler, *, transactional: bool = False) -> None:
        self._commands.handle(command, handler, transactional=transactional)

    def handles(self, command: type[Any] | str, *, transactional: bool = False) -> Callable[[F], F]:
        return self._commands.handles(command, transactional=transactional)

    def serve(self, aggregate: type[Aggregate], *, cache: int = 256, **options: Any) -> None:
        self._commands.serve(aggregate, cache=cache, **options)

    def use(self, *middleware: Middleware, around: Around = "handling") -> None:
        self._commands.use(*middleware, around=around)

    def dispatch(self, command: object, *, id: UUID | None = None, timeout: float | None = None) -> Any:
        return self._portal.run(self._commands.dispatch(command, id=id, timeout=timeout))

    def dispatch_async(
        self, command: object, *, id: UUID | None = None, timeout: float | None = None, tx: Any = None
    ) -> UUID:
        return self._portal.run(self._commands.dispatch_async(command, id=id, timeout=timeout, tx=tx))

    def schedule(self, command: object, *, at: datetime, id: UUID | None = None, tx: Any = None) -> UUID:
        return self._portal.run(self._commands.schedule(command, at=at, id=id, tx=tx))

    def outcome(self, id: UUID, timeout: float | None = None) -> Any:
        return self._portal.run(self._commands.outcome(id, timeout))

    def accepted(self, *, failed: bool = False) -> list[AcceptedCommand]:
        return self._portal.run(self._commands.accepted(failed=failed))

    def withdraw(self, id: UUID) -> bool:
        return self._portal.run(self._commands.withdraw(id))

    def redrive(self, id: UUID) -> bool:
        return self._portal.run(self._commands.redrive(id))

    def forget(self, before: datetime) -> int:
        return self._portal.run(self._commands.forget(before))

    def worker(
        self,
        *,
        attempts: int = 5,
        backoff: Callable[[int], float] | None = None,
        concurrency: int = 1,
        claim: float = 60.0,
    ) -> BlockingCommandWorker:
        worker = self._commands.worker(attempts=attempts, backoff=backoff, concurrency=concurrency, claim=claim)
        return BlockingCommandWorker(worker, self._portal)

    def service(
        self, *, concurrency: int = 16, attempts: int = 5, backoff: Callable[[int], float] | None = None
    ) -> BlockingCommandService:
        service = self._commands.service(concurrency=concurrency, attempts=attempts, backoff=backoff)
        return BlockingCommandService(service, self._portal)


class BlockingCommandWorker(Running):
    """Handles accepted commands: see `BlockingCommandBus.worker`."""

    def __init__(self, worker: CommandWorker, portal: Portal) -> None:
        super().__init__(worker, portal)
        self.worker = worker
        """The async worker that does the work."""

    @property
    def running(self) -> bool:
        return self.worker.running

    @property
    def handled(self) -> int:
        return self.worker.handled

    @property
    def error(self) -> Exception | None:
        return self.worker.error


class BlockingCommandService(Running):
    """Handles commands of other services, in threads: see `BlockingCommandBus.service`."""

    def __init__(self, service: CommandService, portal: Portal) -> None:
        super().__init__(service, portal)
        self.service = service
        """The async service that does the work."""

    @property
    def running(self) -> bool:
        return self.service.running

    @property
    def handled(self) -> int:
        return self.service.handled
