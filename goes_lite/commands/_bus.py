"""The command bus of one handle: who handles what, what happens around that, and the way there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any, Literal, TypeAlias, TypeVar
from uuid import UUID

from goes_lite.aggregate import Aggregate
from goes_lite.backend import Backend
from goes_lite.commands._command import Command, Handler
from goes_lite.commands._deadline import DeadlinePassed, within
from goes_lite.commands._handlers import AggregateHandler, FunctionHandler, handling_methods
from goes_lite.context import Context, enter, leave
from goes_lite.errors import (
    CommandError,
    CommandNotHandled,
    CommandTimeout,
    ConfigError,
    RegistrationError,
)
from goes_lite.face import Face
from goes_lite.ids import new_id
from goes_lite.runtime import call

F = TypeVar("F", bound=Callable[..., Any])

Proceed: TypeAlias = Callable[[Command[Any]], Awaitable[Any]]
Middleware: TypeAlias = Callable[[Command[Any], Any], Any]
"""A function of a command and of what comes next: it answers (or awaits) `proceed(command)`, or something else."""
Around: TypeAlias = Literal["dispatch", "handling"]


class CommandBus:
    """Dispatches commands to the one handler of each. Made by a backend, as `db.commands`."""

    def __init__(self, backend: Backend, face: Face) -> None:
        self._backend = backend
        self._face = face
        self._handlers: dict[str, Handler] = {}
        self._around: dict[Around, tuple[Middleware, ...]] = {"dispatch": (), "handling": ()}

    def __repr__(self) -> str:
        return f"<CommandBus on {self._backend.location}: {len(self._handlers)} commands>"

    @property
    def handled(self) -> tuple[str, ...]:
        """The names of the commands that have a handler here."""
        return tuple(self._handlers)

    # --- who handles what -------------------------------------------------------------------------------------------

    def handle(self, command: type[Any] | str, handler: Callable[..., object], *, transactional: bool = False) -> None:
        """Let a function handle a command: a registered type, or a registered name.

        - It is called with the command; what it returns is the result of `dispatch`, what it raises is raised there.
        - With `transactional` it is called with the command and a transaction, and what it writes there commits when it
          has returned; with the receipt, for a command that counts once. AbilityMissing on a backend without them.
        - RegistrationError if the command has a handler already; UnregisteredTypeError if it is none.
        """
        self._add(command, FunctionHandler(self._backend, self._face, handler, transactional=transactional))

    def handles(self, command: type[Any] | str, *, transactional: bool = False) -> Callable[[F], F]:
        """The same, as a decorator of the function."""

        def decorate(function: F) -> F:
            self.handle(command, function, transactional=transactional)
            return function

        return decorate

    def serve(self, aggregate: type[Aggregate], **options: Any) -> None:
        """Let the methods of an aggregate class that are decorated with `@handles` handle their commands.

        The options are those of `Repository`. RegistrationError if there are none, or if one has a handler already.
        """
        repository = self._backend.repository(aggregate, **options)
        for kind, (mark, attribute) in handling_methods(aggregate).items():
            method = getattr(aggregate, attribute)
            self._add(kind, AggregateHandler(self._backend, self._face, repository, method, mark))

    def _add(self, command: type[Any] | str, handler: Handler) -> None:
        registry = self._backend.registry.commands
        names = registry.names_of(command)
        for name in names:
            if name not in registry:
                raise RegistrationError(
                    f"no command is registered as {name!r}: decorate its class with @command({name!r})"
                )
            if name in self._handlers:
                raise RegistrationError(f"the command {name!r} has a handler already, and it has exactly one")
        self._handlers.update(dict.fromkeys(names, handler))

    # --- what happens around it -------------------------------------------------------------------------------------

    def use(self, *middleware: Middleware, around: Around = "handling") -> None:
        """Have these run around the handling of every command, or around its dispatch; the first one is the outermost.

        A middleware is a function of the command and of `proceed`, which it calls with the command to have it done:

            async def audited(command, proceed):
                print("doing", command.name)
                return await proceed(command)

        On the blocking face it is a plain function, and so is `proceed`. What it returns is the result; it may change the
        command, call `proceed` several times, or not at all. What it raises comes through. ConfigError if it is none.
        """
        for one in middleware:
            if not callable(one):
                raise ConfigError(f"a middleware is a function of a command and of what comes next, not {one!r:.80}")
        if around not in self._around:
            raise ConfigError(f"around is 'dispatch' or 'handling', not {around!r:.80}")
        self._around[around] += middleware

    def _chain(self, around: Around, last: Proceed) -> Proceed:
        for middleware in reversed(self._around[around]):
            last = partial(_through, self._face.function(middleware), self._face.given(last, middleware))
        return last

    # --- dispatching ------------------------------------------------------------------------------------------------

    async def dispatch(self, command: object, *, id: UUID | None = None, timeout: float | None = None) -> Any:
        """Have the command done, and answer what its handler returned.

        - Errors of the handler come through as they are. CommandNotHandled if there is none; UnregisteredTypeError if it
          is no command.
        - The `Context` of here is that of the handler: its events and commands carry the same correlation and actor in
          their metadata, and the id of this command as their causation.
        - With an `id` it counts once: dispatched again with the same id, also after a crash, in another process or at the
          same time, it is not done again, and the result is the same. What a handler writes in a transaction or records
          on an aggregate commits with that; a function that writes elsewhere may have been called and be called again.
          One that failed has done nothing and may be tried again. CommandMismatch for another command with that id.
        - With a `timeout` (seconds), or within a context that has a deadline, CommandTimeout if it was not handled by
          then: its handler is cancelled, on the blocking face it is not begun.
        """
        registry = self._backend.registry.commands
        name = registry.name_of(command)
        context = Context.current()
        if timeout is not None:
            if not (isinstance(timeout, int | float) and timeout >= 0):
                raise ConfigError(f"timeout is a number of seconds ≥ 0, not {timeout!r:.80}")
            context = context.due(self._backend.runtime.clock.now() + timedelta(seconds=timeout))
        if id is not None and not isinstance(id, UUID):
            raise ConfigError(f"the id of a command is a UUID, not {id!r:.80}: new_id() makes one")
        sent = Command(
            new_id() if id is None else id, name, command, context.metadata, context.deadline, id is not None
        )
        return await self._chain("dispatch", self._send)(sent)

    async def _send(self, command: Command[Any]) -> Any:
        handler = self._handlers.get(command.name)
        if handler is None:
            raise CommandNotHandled(command.name, command.id)
        token = enter(command.context)
        try:
            return await self._in_time(command, handler)
        except CommandError as exc:
            if not exc.command:
                exc.command, exc.command_id = command.name, command.id
            raise
        finally:
            leave(token)

    async def _in_time(self, command: Command[Any], handler: Handler) -> Any:
        handling = self._chain("handling", handler.handle)
        if command.deadline is None:
            return await handling(command)
        left = (command.deadline - self._backend.runtime.clock.now()).total_seconds()
        if left <= 0:
            raise CommandTimeout(command.name, command.id, begun=False)
        try:
            return await within(self._backend.runtime, left, handling(command))
        except DeadlinePassed:
            raise CommandTimeout(command.name, command.id, begun=True) from None


async def _through(middleware: Callable[..., object], proceed: Callable[..., object], command: Command[Any]) -> Any:
    return await call(middleware, command, proceed)
