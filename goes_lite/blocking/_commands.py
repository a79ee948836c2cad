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
        """The names of the commands that have a handler here."""
        return self._commands.handled

    def handle(self, command: type[Any] | str, handler: CommandHandler, *, transactional: bool = False) -> None:
        """Let a function handle a command: a registered type, or a registered name.

        - It is called with the command; what it returns is the result of `dispatch`, what it raises is raised there.
        - With `transactional` it is called with the command and a transaction, and what it writes there commits when it
          has returned; with the receipt, for a command that counts once. AbilityMissing on a backend without them.
        - RegistrationError if the command has a handler already; UnregisteredTypeError if it is none.
        """
        self._commands.handle(command, handler, transactional=transactional)

    def handles(self, command: type[Any] | str, *, transactional: bool = False) -> Callable[[F], F]:
        """The same, as a decorator of the function."""
        return self._commands.handles(command, transactional=transactional)

    def serve(self, aggregate: type[Aggregate], *, cache: int = 256, **options: Any) -> None:
        """Let the methods of an aggregate class that are decorated with `@handles` handle their commands.

        The options are those of `Repository`; it remembers 256 aggregates by default, so that one which is asked often is
        not loaded whole each time. RegistrationError if there are none, or if one has a handler already.
        """
        self._commands.serve(aggregate, cache=cache, **options)

    def use(self, *middleware: Middleware, around: Around = "handling") -> None:
        """Have these run around the handling of every command, or around its dispatch; the first one is the outermost.

        A middleware is a function of the command and of `proceed`, which it calls with the command to have it done:

            def audited(command, proceed):
                print("doing", command.name)
                return proceed(command)

        On the blocking face it is a plain function, and so is `proceed`. What it returns is the result; it may change the
        command, call `proceed` several times, or not at all. What it raises comes through. ConfigError if it is none.
        """
        self._commands.use(*middleware, around=around)

    def dispatch(self, command: object, *, id: UUID | None = None, timeout: float | None = None) -> Any:
        """Have the command done, and answer what its handler returned.

        - Errors of the handler come through as they are. CommandNotHandled if there is none; UnregisteredTypeError if it
          is no command.
        - What has no handler here is handled by another service, on a bus that carries commands: see `service`. Then it
          counts once in any case, the result is what its JSON says, and an error that is no CommandError is CommandFailed.
        - The `Context` of here is that of the handler: its events and commands carry the same correlation and actor in
          their metadata, and the id of this command as their causation.
        - With an `id` it counts once: dispatched again with the same id, also after a crash, in another process or at the
          same time, it is not done again, and the result is the same. What a handler writes in a transaction or records
          on an aggregate commits with that; a function that writes elsewhere may have been called and be called again.
          One that failed has done nothing and may be tried again. CommandMismatch for another command with that id.
        - With a `timeout` (seconds), or within a context that has a deadline, CommandTimeout if it was not handled by
          then: its handler is cancelled, on the blocking face it is not begun.
        """
        return self._portal.run(self._commands.dispatch(command, id=id, timeout=timeout))

    def dispatch_async(
        self, command: object, *, id: UUID | None = None, timeout: float | None = None, tx: Any = None
    ) -> UUID:
        """Have the command done later, by a worker, and answer its id once it is accepted: kept in the store for good.

        - It counts once, as a command with an id does, and is tried until it is done or given up: see `worker`.
        - `outcome` tells what became of it, here or in any other process.
        - With `tx` it is accepted if that transaction commits, and not else.
        - Accepted again under the same id, it is not done again; CommandMismatch for another command with that id.
        - It need not have a handler here. On a bus that queues commands it is then handed over to the queue, at once or
          by a worker, for whichever service handles it.
        - EncodeError if it does not fit its type; UnregisteredTypeError if it is none.
        """
        return self._portal.run(self._commands.dispatch_async(command, id=id, timeout=timeout, tx=tx))

    def schedule(self, command: object, *, at: datetime, id: UUID | None = None, tx: Any = None) -> UUID:
        """The same, to be begun at that time (an aware datetime), or as soon as a worker can after it.

        By the time of day, whatever happens until then: restarts, sleep, clocks that are set. InvalidEventError for no
        time.
        """
        return self._portal.run(self._commands.schedule(command, at=at, id=id, tx=tx))

    def outcome(self, id: UUID, timeout: float | None = None) -> Any:
        """What the handler of an accepted command returned, when it is done.

        What was given up raises: CommandRejected, with the code and details that its handler gave, else CommandFailed.
        CommandNotFound if no such command was accepted, or it was withdrawn. CommandTimeout after `timeout` seconds.
        """
        return self._portal.run(self._commands.outcome(id, timeout))

    def accepted(self, *, failed: bool = False) -> list[AcceptedCommand]:
        """The accepted commands that are not done yet, by the time when they are due; or those that were given up."""
        return self._portal.run(self._commands.accepted(failed=failed))

    def withdraw(self, id: UUID) -> bool:
        """Forget an accepted command, waiting or given up; False if there is none. One that was begun may yet be done."""
        return self._portal.run(self._commands.withdraw(id))

    def redrive(self, id: UUID) -> bool:
        """Have a command that was given up tried again, with all its attempts; False if there is none."""
        return self._portal.run(self._commands.redrive(id))

    def forget(self, before: datetime) -> int:
        """Remove the receipts of commands that were done before that time, and answer how many: they count anew then."""
        return self._portal.run(self._commands.forget(before))

    def worker(
        self,
        *,
        attempts: int = 5,
        backoff: Callable[[int], float] | None = None,
        concurrency: int = 1,
        claim: float = 60.0,
    ) -> BlockingCommandWorker:
        """What does accepted commands; run it with `with`, `run`, or `start` and `stop`, in as many processes as you like.

        - In the order in which they are due; several at a time with a `concurrency` above 1.
        - One whose handler raises is tried again after a pause (`backoff`, growing from 0.1 to 30 seconds by default), and
          given up after so many `attempts`, or at once if it is rejected, is too late or cannot be read.
        - One that is begun and not ended within `claim` seconds, because the process was killed or takes longer, may be
          begun by another worker; it counts once all the same.
        - It takes only commands that have a handler here.
        """
        worker = self._commands.worker(attempts=attempts, backoff=backoff, concurrency=concurrency, claim=claim)
        return BlockingCommandWorker(worker, self._portal)

    def service(
        self, *, concurrency: int = 16, attempts: int = 5, backoff: Callable[[int], float] | None = None
    ) -> BlockingCommandService:
        """What handles commands that other services dispatch; run it with `with`, `run`, or `start` and `stop`.

        - It is brought the commands that have a handler here when it is started. Where several services, or several
          processes of one, handle a command, one of them gets it; if that dies, another. They share a store then: in it, a
          command counts once, by its id.
        - Up to `concurrency` of them are handled at a time.
        - An accepted command whose handler raises is tried again, as by a `worker`; one that somebody waits for is not.

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
        """Whether it is at work."""
        return self.worker.running

    @property
    def handled(self) -> int:
        """How many commands it has done."""
        return self.worker.handled

    @property
    def error(self) -> Exception | None:
        """The last one that it met."""
        return self.worker.error


class BlockingCommandService(Running):
    """Handles commands of other services, in threads: see `BlockingCommandBus.service`."""

    def __init__(self, service: CommandService, portal: Portal) -> None:
        super().__init__(service, portal)
        self.service = service
        """The async service that does the work."""

    @property
    def running(self) -> bool:
        """Whether commands are brought to it."""
        return self.service.running

    @property
    def handled(self) -> int:
        """How many commands it has answered, whatever the answer was."""
        return self.service.handled
