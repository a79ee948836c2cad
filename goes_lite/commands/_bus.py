"""The command bus of one handle: its handlers, its middleware, and dispatching."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal, TypeAlias, TypeVar, overload
from uuid import UUID

from goes_lite.aggregate import Aggregate
from goes_lite.commands._accepted import AcceptedCommand, read, shown
from goes_lite.commands._accepting import AcceptedCommands, reporting
from goes_lite.commands._command import Command, DispatchedCommand
from goes_lite.commands._deadline import in_time
from goes_lite.commands._dispatcher import Handler
from goes_lite.commands._handlers import (
    AggregateHandler,
    FunctionHandler,
    InsideHandler,
    check_command,
    handled_commands,
)
from goes_lite.commands._keys import command_id
from goes_lite.commands._receipts import Receipts, unknown_handler
from goes_lite.commands._remote import RemoteCommands
from goes_lite.commands._service import CommandService
from goes_lite.commands._worker import CommandWorker
from goes_lite.contract.backend import Backend, Transaction
from goes_lite.contract.command_transport import BusWithCommands
from goes_lite.contract.own_collections import COMMANDS
from goes_lite.errors import (
    AbilityMissing,
    BusError,
    CommandError,
    CommandNotHandled,
    ConfigError,
    RegistrationError,
)
from goes_lite.events.context import Context, enter, leave
from goes_lite.events.event import recording_clock
from goes_lite.events.fields import to_micros
from goes_lite.events.ids import new_id
from goes_lite.repository import Repository
from goes_lite.repository.options import on_face
from goes_lite.runtime import own_clock
from goes_lite.runtime.face import Face, call

F = TypeVar("F", bound=Callable[..., Any])
R = TypeVar("R")

Proceed: TypeAlias = Callable[[DispatchedCommand[Any]], Awaitable[Any]]
"""What a middleware calls to go on with a command: the next middleware, and in the end the handler. Returns its result."""
Middleware: TypeAlias = Callable[[DispatchedCommand[Any], Any], Any]
"""A function of a command and of what comes next: it returns (or awaits) `proceed(command)`, or something else."""
CommandHandler: TypeAlias = Callable[[Any], Any] | Callable[[Any, Any], Any]
"""A function of a command, or of a command and a transaction."""
Around: TypeAlias = Literal["dispatch", "handling"]
"""What a middleware wraps: the dispatch, where a command is sent, or the handling, where its handler is called."""


class CommandBus:
    """Dispatches commands to the one handler of each. Available as `db.commands`."""

    def __init__(self, backend: Backend, face: Face) -> None:
        self.backend = backend
        self._face = face
        self._clock = own_clock(backend.runtime.clock)
        self._handlers: dict[str, Handler] = {}
        self._around: dict[Around, tuple[tuple[Callable[..., object], Middleware], ...]] = {
            "dispatch": (),
            "handling": (),
        }
        bus = backend.bus
        self._accepted = AcceptedCommands(backend)
        self._remote = RemoteCommands(backend, bus.commands) if isinstance(bus, BusWithCommands) else None

    def __repr__(self) -> str:
        return f"<CommandBus on {self.backend.location}: {len(self._handlers)} commands>"

    @property
    def handled(self) -> tuple[str, ...]:
        """The names of the commands that have a handler here."""
        return tuple(self._handlers)

    # --- handlers ---------------------------------------------------------------------------------------------------

    def handle(self, command: type[Any] | str, handler: CommandHandler, *, transactional: bool = False) -> None:
        """Register a function as the handler of a command: a registered type, or a registered name.

        - It is called with the command; its return value is the result of `dispatch`, and its exceptions are raised there.
        - With `transactional` it is called with the command and a transaction, which commits when it returns, together with
          the receipt of a command that counts once. AbilityMissing on a backend without transactions.
        - RegistrationError if the command already has a handler; UnregisteredTypeError if it is no command.
        """
        self._add(command, FunctionHandler(self.backend, self._face, handler, transactional=transactional))

    def handles(self, command: type[Any] | str, *, transactional: bool = False) -> Callable[[F], F]:
        """Register the decorated function as a handler; see `handle`."""
        check_command("handles", command)

        def decorate(function: F) -> F:
            self.handle(command, function, transactional=transactional)
            return function

        return decorate

    def serve(self, aggregate: type[Aggregate], *, cache: int = 256, **options: Any) -> None:
        """Register the methods of an aggregate class that are decorated with `@handles` as handlers of their commands.

        The options are those of `Repository`; by default it caches 256 aggregates, so that one in frequent use is not loaded
        from its first event each time. RegistrationError if there is no such method, or a command already has a handler.
        """
        repository = Repository(self.backend, aggregate, cache=cache, **on_face(options, self._face))
        for kind, (attribute, mark) in handled_commands(aggregate).items():
            method = getattr(aggregate, attribute)
            self._add(kind, AggregateHandler(self.backend, self._face, repository, method, mark))

    def handle_inside(self, name: str, handler: Callable[[Any], Awaitable[Any]]) -> None:
        """Let a coroutine function of goes_lite handle the accepted commands of a name, on either face; the last one counts."""
        self._handlers[name] = InsideHandler(self.backend, handler)

    def _add(self, command: type[Any] | str, handler: Handler) -> None:
        registry = self.backend.registry.commands
        names = registry.names_of(command)
        for name in names:
            if name not in registry:
                raise RegistrationError(
                    f"no command is registered as {name!r}: decorate its class with @command({name!r})"
                )
            if name in self._handlers:
                raise RegistrationError(f"the command {name!r} already has a handler: a command has exactly one")
        self._handlers.update(dict.fromkeys(names, handler))

    # --- middleware ----------------------------------------------------------------------------------------------

    def use(self, *middleware: Middleware, around: Around = "handling") -> None:
        """Run middleware around the handling of every command, or around its dispatch; the first one is the outermost.

        A middleware is a function of the command and of `proceed`, which it calls with the command to continue:

            async def audited(command, proceed):
                print("doing", command.name)
                return await proceed(command)

        On the blocking face it is a plain function, and so is `proceed`. What it returns is the result; it may change the
        command, call `proceed` several times, or not at all. What it raises propagates. ConfigError if it is not callable.
        """
        if not isinstance(around, str) or around not in self._around:
            raise ConfigError(f"around must be 'dispatch' or 'handling', not {around!r:.80}")
        self._around[around] += tuple((self._face.function(one, "a middleware"), one) for one in middleware)

    def _chain(self, around: Around, last: Proceed) -> Proceed:
        for adapted, middleware in reversed(self._around[around]):
            last = partial(_through, adapted, self._face.adapt(last, middleware))
        return last

    # --- dispatching ------------------------------------------------------------------------------------------------

    @overload
    async def dispatch(
        self, command: Command[R], *, id: UUID | str | None = None, timeout: float | None = None
    ) -> R: ...
    @overload
    async def dispatch(self, command: object, *, id: UUID | str | None = None, timeout: float | None = None) -> Any: ...
    async def dispatch(self, command: object, *, id: UUID | str | None = None, timeout: float | None = None) -> Any:
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
        sent = self._command(command, id, timeout)
        return await self._chain("dispatch", self.send)(sent)

    async def dispatch_async(
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
        return await self._accept(command, None, id, timeout, tx, report)

    async def schedule(
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
        return await self._accept(command, to_micros(at), id, None, tx, report)

    async def outcome(self, id: UUID | str, timeout: float | None = None) -> Any:
        """Wait until an accepted command is handled, and return the result of its handler.

        A command that failed for good raises CommandRejected, with the code and details of its handler, or CommandFailed.
        CommandNotFound if no such command was accepted, or it was withdrawn. CommandTimeout after `timeout` seconds.
        """
        return await self._accepted.outcome(command_id(id), timeout, self.queue, self._receipts)

    async def accepted(self, *, failed: bool = False) -> list[AcceptedCommand]:
        """Return the accepted commands that are not handled yet, or the failed ones.

        Those that wait here come first, by the time at which they are due; then those in the queue of the bus.
        """
        now, models = self.backend.runtime.clock.now(), self.backend.models
        states = ["failed"] if failed else ["waiting", "sent"]
        found = (models.query(COMMANDS, where={"state": state}, order_by="due") for state in states)
        return [shown(self.backend, read(one, now)) for pages in found async for one in pages]

    async def withdraw(self, id: UUID | str, *, tx: Any = None) -> bool:
        """Remove an accepted command, waiting or failed; False if there is none. One that has begun may still be handled.

        If it asks for its outcome and waits, that is `failed` with the code `withdrawn`. After a rejection its id counts again.
        With `tx` it is removed only if that transaction commits.
        """
        return await self._accepted.withdraw(command_id(id), None if tx is None else self._face.unwrap(tx))

    async def redrive(self, id: UUID | str, *, tx: Any = None) -> bool:
        """Retry a failed command, with all its attempts; False if there is none. With `tx`, if that transaction commits."""
        return await self._accepted.redrive(command_id(id), self._store(tx))

    async def forget(self, before: datetime, *, tx: Any = None) -> int:
        """Remove the receipts of commands handled before that time; return how many. Their ids count again after that.

        With `tx` they are removed only if that transaction commits.
        """
        return await self._accepted.forget(before, self._store(tx))

    def worker(
        self,
        *,
        attempts: int = 5,
        backoff: Callable[[int], float] | None = None,
        concurrency: int = 1,
        claim: float = 60.0,
    ) -> CommandWorker:
        """Create a worker that handles accepted commands; run it with `async with`, `run`, or `start`, in any processes.

        - It handles commands in the order in which they are due; several at a time with a `concurrency` above 1.
        - One whose handler raises is tried again after a pause (`backoff`, growing from 0.1 to 30 seconds by default). It
          fails for good after so many `attempts`, or immediately if it is rejected, too late or unreadable.
        - One that is not finished within `claim` seconds, because the process was killed or is slow, may be begun by another
          worker; it still counts once.
        - It takes only commands that have a handler here.
        """
        return CommandWorker(self, attempts=attempts, backoff=backoff, concurrency=concurrency, claim=claim)

    def service(
        self, *, concurrency: int = 16, attempts: int = 5, backoff: Callable[[int], float] | None = None
    ) -> CommandService:
        """Create a service that handles commands of other services; run it with `async with`, `run`, or `start` and `stop`.

        - It receives the commands that have a handler here when it starts. If several services, or several processes of one,
          handle a command, one of them receives it; if that dies, another. They must share a store: in it, a command counts
          once, by its id.
        - It handles up to `concurrency` commands at a time.
        - An accepted command whose handler raises is tried again, as by a `worker`; one that a caller waits for is not.

        AbilityMissing on a bus that carries no commands.
        """
        if self._remote is None:
            raise AbilityMissing("commands", f"the bus of {self.backend.location}")
        transport = self._remote.transport
        return CommandService(self, transport, concurrency=concurrency, attempts=attempts, backoff=backoff)

    # --- inside -----------------------------------------------------------------------------------------------------

    def handler_of(self, name: str) -> Handler | None:
        """Return what handles commands of this name, or former name, here; None if nothing does."""
        return self._handlers.get(self.backend.registry.commands.canonical(name))

    @property
    def queue(self) -> RemoteCommands | None:
        """What hands accepted commands without a handler here over to the queue of the event bus; None if it has none."""
        return self._remote if self._remote is not None and self._remote.transport.queues else None

    def _command(self, command: object, id: UUID | str | None, timeout: float | None) -> DispatchedCommand[Any]:
        name = self.backend.registry.commands.name_of(command)
        context = Context.current()
        if timeout is not None:
            if type(timeout) not in (int, float) or not 0 <= timeout <= 1e9:
                raise ConfigError(f"timeout must be a number of seconds ≥ 0, not {timeout!r:.80}")
            context = context.due(self.backend.runtime.clock.now() + timedelta(seconds=timeout))
        own = new_id() if id is None else command_id(id)
        return DispatchedCommand(own, name, command, context.metadata, context.deadline, id is not None)

    def _store(self, tx: Any) -> Backend | Transaction:
        store: Backend | Transaction = self.backend if tx is None else self._face.unwrap(tx)
        return store

    def _now(self) -> int:
        return to_micros(self.backend.runtime.clock.now())

    async def _accept(
        self, command: object, due: int | None, id: UUID | str | None, timeout: float | None, tx: Any, report: Any
    ) -> UUID:
        asked = self._command(command, id, timeout)
        asked = asked._replace(metadata=reporting(dict(asked.metadata), report))

        async def keep(command: DispatchedCommand[Any]) -> UUID:
            there = await self._accepted.accept(command, due, self._store(tx))
            if tx is not None or self.queue is None:
                return command.id
            with suppress(BusError):  # else a worker does so when the bus is back
                if there is not None and there.state == "sent":
                    await self.queue.look_after(there)
                elif there is None and (due is None or due <= self._now()) and self.handler_of(command.name) is None:
                    await self.queue.forward(command)
            return command.id

        answer: UUID = await self._chain("dispatch", keep)(asked)
        return answer

    def _receipts(self, name: str) -> Receipts:
        handler = self._handlers.get(name)
        return handler.receipts if handler else Receipts(self.backend, unknown_handler)

    async def send(self, command: DispatchedCommand[Any]) -> Any:
        """Have a command handled, in its own context: what follows the middleware of `dispatch`."""
        handler = self._handlers.get(command.name)
        if handler is None:
            if self._remote is None:
                raise CommandNotHandled(command.name, command.id)
            return await self._remote.ask(command)
        token, clock = enter(command.context), recording_clock.set(self._clock)
        try:
            handling = self._chain("handling", handler.handle)
            if command.deadline is None:
                return await handling(command)
            return await in_time(self.backend.runtime, command, command.deadline, handling)
        except CommandError as exc:
            if not exc.command:
                exc.command, exc.command_id = command.name, command.id
            raise
        finally:
            recording_clock.reset(clock)
            leave(token)


async def _through(
    middleware: Callable[..., object], proceed: Callable[..., object], command: DispatchedCommand[Any]
) -> Any:
    return await call(middleware, command, proceed)
