"""The blocking face of the command bus: handlers and middleware are plain functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, TypeVar, overload
from uuid import UUID

from goes_lite.aggregate import Aggregate
from goes_lite.blocking._running import Running
from goes_lite.commands import (
    AcceptedCommand,
    Around,
    Command,
    CommandBus,
    CommandHandler,
    CommandService,
    CommandWorker,
    Middleware,
)
from goes_lite.runtime.portal import Portal

F = TypeVar("F", bound=Callable[..., Any])
R = TypeVar("R")


class BlockingCommandBus:
    """The blocking face of `goes_lite.commands.CommandBus`."""

    def __init__(self, commands: CommandBus, portal: Portal) -> None:
        self._commands = commands
        self._portal = portal

    def __repr__(self) -> str:
        return repr(self._commands)

    @property
    def handled(self) -> tuple[str, ...]:
        """The names of the commands that have a handler here."""
        return self._commands.handled

    def handle(self, command: type[Any] | str, handler: CommandHandler, *, transactional: bool = False) -> None:
        """Register a function as the handler of a command: a registered type, or a registered name.

        - It is called with the command; its return value is the result of `dispatch`, and its exceptions are raised there.
        - With `transactional` it is called with the command and a transaction, which commits when it returns, together with
          the receipt of a command that counts once. AbilityMissing on a backend without transactions.
        - RegistrationError if the command already has a handler; UnregisteredTypeError if it is no command.
        """
        self._commands.handle(command, handler, transactional=transactional)

    def handles(self, command: type[Any] | str, *, transactional: bool = False) -> Callable[[F], F]:
        """Register the decorated function as a handler; see `handle`."""
        return self._commands.handles(command, transactional=transactional)

    def serve(self, aggregate: type[Aggregate], *, cache: int = 256, **options: Any) -> None:
        """Register the methods of an aggregate class that are decorated with `@handles` as handlers of their commands.

        The options are those of `Repository`; by default it caches 256 aggregates, so that one in frequent use is not loaded
        from its first event each time. RegistrationError if there is no such method, or a command already has a handler.
        """
        self._commands.serve(aggregate, cache=cache, **options)

    def use(self, *middleware: Middleware, around: Around = "handling") -> None:
        """Run middleware around the handling of every command, or around its dispatch; the first one is the outermost.

        A middleware is a function of the command and of `proceed`, which it calls with the command to continue:

            def audited(command, proceed):
                print("doing", command.name)
                return proceed(command)

        On the blocking face it is a plain function, and so is `proceed`. What it returns is the result; it may change the
        command, call `proceed` several times, or not at all. What it raises propagates. ConfigError if it is not callable.
        """
        self._commands.use(*middleware, around=around)

    @overload
    def dispatch(self, command: Command[R], *, id: UUID | str | None = None, timeout: float | None = None) -> R: ...
    @overload
    def dispatch(self, command: object, *, id: UUID | str | None = None, timeout: float | None = None) -> Any: ...
    def dispatch(self, command: object, *, id: UUID | str | None = None, timeout: float | None = None) -> Any:
        """Have the command handled and return the result of its handler: an R if the command is a `Command[R]`.

        - Errors of the handler propagate unchanged. CommandNotHandled if there is no handler; UnregisteredTypeError if it is
          no command.
        - A command without a handler here is handled by another service, on a bus that carries commands: see `service`. Then
          it always counts once, the result is what its JSON says, and an error that is no CommandError is CommandFailed.
        - The handler runs in the current `Context`: its events and commands have the same correlation and actor in their
          metadata, and the id of this command as their causation.
        - With an `id` (a UUID, or a key of your own: see `command_id`) it counts once: dispatched again with the same id, even
          after a crash, in another process or at the same time, it is not handled again, and the result is the same, or the
          CommandRejected. What a handler writes in a transaction or records on an aggregate commits together with that; a
          function that writes elsewhere may be called again. A command that failed with another error has no effect and may
          be tried again. CommandMismatch for another command with that id.
        - With a `timeout` (seconds), or in a context with a deadline, CommandTimeout if it is not handled by then. A handler
          that awaits is cancelled. One that blocks goes on, and an embedded backend waits for its end; but whatever it begins
          to write or commit through the store after the deadline raises CommandTimeout and is not stored.
        """
        return self._portal.run(self._commands.dispatch(command, id=id, timeout=timeout))

    def dispatch_async(
        self,
        command: object,
        *,
        id: UUID | str | None = None,
        timeout: float | None = None,
        tx: Any = None,
        report: bool | Iterable[str] = False,
    ) -> UUID:
        """Accept the command to be handled later by a worker, and return its id once it is durably stored.

        - It counts once, like a command with an id, and is tried until it is handled or fails for good: see `worker`.
        - `outcome` returns its outcome, here or in any other process.
        - With `tx` it is accepted only if that transaction commits.
        - Accepted again under the same id, it is not handled again; CommandMismatch for another command with that id.
        - It needs no handler here. On a bus that queues commands it is then handed over to the queue, immediately or by a
          worker, for the service that handles it. It stays here until its outcome is known: a worker, `outcome`, or accepting
          it again records that, and sends it once more if the queue has lost it.
        - With `report`, its outcome is written to the log as an event `goes.command.outcome` (a `CommandOutcome`), once, in the
          transaction that ends it: done, rejected, or given up. The event has the tag `command:ID`, and those of `report`.
        - EncodeError if it does not fit its type; UnregisteredTypeError if it is no command.
        """
        return self._portal.run(self._commands.dispatch_async(command, id=id, timeout=timeout, tx=tx, report=report))

    def schedule(
        self,
        command: object,
        *,
        at: datetime,
        id: UUID | str | None = None,
        tx: Any = None,
        report: bool | Iterable[str] = False,
    ) -> UUID:
        """Accept the command to be handled at a time (an aware datetime), or as soon as a worker can after it.

        By wall-clock time, across restarts, sleep and clock changes; otherwise as `dispatch_async`. InvalidEventError if it
        is no aware datetime.
        """
        return self._portal.run(self._commands.schedule(command, at=at, id=id, tx=tx, report=report))

    def outcome(self, id: UUID | str, timeout: float | None = None) -> Any:
        """Wait until an accepted command is handled, and return the result of its handler.

        A command that failed for good raises CommandRejected, with the code and details of its handler, or CommandFailed.
        CommandNotFound if no such command was accepted, or it was withdrawn. CommandTimeout after `timeout` seconds.
        """
        return self._portal.run(self._commands.outcome(id, timeout))

    def accepted(self, *, failed: bool = False) -> list[AcceptedCommand]:
        """Return the accepted commands that are not handled yet, or the failed ones.

        Those that wait here come first, by the time at which they are due; then those in the queue of the bus.
        """
        return self._portal.run(self._commands.accepted(failed=failed))

    def withdraw(self, id: UUID | str, *, tx: Any = None) -> bool:
        """Remove an accepted command, waiting or failed; False if there is none. One that has begun may still be handled.

        If it asks for its outcome and waits, that is `failed` with the code `withdrawn`. After a rejection its id counts again.
        With `tx` it is removed only if that transaction commits.
        """
        return self._portal.run(self._commands.withdraw(id, tx=tx))

    def redrive(self, id: UUID | str, *, tx: Any = None) -> bool:
        """Retry a failed command, with all its attempts; False if there is none. With `tx`, if that transaction commits."""
        return self._portal.run(self._commands.redrive(id, tx=tx))

    def forget(self, before: datetime, *, tx: Any = None) -> int:
        """Remove the receipts of commands handled before that time; return how many. Their ids count again after that.

        With `tx` they are removed only if that transaction commits.
        """
        return self._portal.run(self._commands.forget(before, tx=tx))

    def worker(
        self,
        *,
        attempts: int = 5,
        backoff: Callable[[int], float] | None = None,
        concurrency: int = 1,
        claim: float = 60.0,
    ) -> BlockingCommandWorker:
        """Create a worker that handles accepted commands; run it with `with`, `run`, or `start`, in any processes.

        - It handles commands in the order in which they are due; several at a time with a `concurrency` above 1.
        - One whose handler raises is tried again after a pause (`backoff`, growing from 0.1 to 30 seconds by default). It
          fails for good after so many `attempts`, or immediately if it is rejected, too late or unreadable.
        - One that is not finished within `claim` seconds, because the process was killed or is slow, may be begun by another
          worker; it still counts once.
        - It takes only commands that have a handler here.
        """
        worker = self._commands.worker(attempts=attempts, backoff=backoff, concurrency=concurrency, claim=claim)
        return BlockingCommandWorker(worker, self._portal)

    def service(
        self, *, concurrency: int = 16, attempts: int = 5, backoff: Callable[[int], float] | None = None
    ) -> BlockingCommandService:
        """Create a service that handles commands of other services; run it with `with`, `run`, or `start` and `stop`.

        - It receives the commands that have a handler here when it starts. If several services, or several processes of one,
          handle a command, one of them receives it; if that dies, another. They must share a store: in it, a command counts
          once, by its id.
        - It handles up to `concurrency` commands at a time.
        - An accepted command whose handler raises is tried again, as by a `worker`; one that a caller waits for is not.

        AbilityMissing on a bus that carries no commands.
        """
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
        """Whether it is running."""
        return self.worker.running

    @property
    def handled(self) -> int:
        """How many commands it has handled."""
        return self.worker.handled

    @property
    def error(self) -> Exception | None:
        """The last error."""
        return self.worker.error

    def catch_up(self) -> int:
        """Handle the commands that are due now, and those that their handlers accept; return how many it has begun.

        For programs that run once, such as command-line tools. It works here, one command after the other, in the calling
        task or thread. What fails and is to be tried again later is left, as is what another worker has begun. ConfigError if
        the worker is running; errors of the store propagate.
        """
        return self._portal.run(self.worker.catch_up())


class BlockingCommandService(Running):
    """Handles commands of other services, in threads: see `BlockingCommandBus.service`."""

    def __init__(self, service: CommandService, portal: Portal) -> None:
        super().__init__(service, portal)
        self.service = service
        """The async service that does the work."""

    @property
    def running(self) -> bool:
        """Whether it receives commands."""
        return self.service.running

    @property
    def handled(self) -> int:
        """How many commands it has answered, with a result or an error."""
        return self.service.handled
