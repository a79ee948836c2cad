"""Handlers of commands: functions, and methods of aggregates.

Rule of this file: a command that counts once commits its receipt together with what it wrote, in one transaction; so it is
never handled halfway, and never twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from types import FunctionType
from typing import Any, NamedTuple, TypeVar, cast, overload
from uuid import UUID

from goes_lite.aggregate import Aggregate
from goes_lite.codec.types import field_names
from goes_lite.commands._command import DispatchedCommand
from goes_lite.commands._receipts import Receipt, Receipts, unknown_handler
from goes_lite.contract.backend import TRANSACTIONS, Backend, ended_by_store
from goes_lite.contract.event_store import AppendCondition, Appended
from goes_lite.errors import AbilityMissing, ConfigError, GoesError, RegistrationError
from goes_lite.errors.functions import check_function, check_result
from goes_lite.errors.options import check_flag
from goes_lite.events.marks import Marked, check_takes, mark, marked_methods
from goes_lite.repository import Refusal, Repository
from goes_lite.runtime.face import Face, call

C = TypeVar("C")
F = TypeVar("F", bound=Callable[..., Any])
R = TypeVar("R")
S = TypeVar("S")

Key = str | Callable[[Any], str | UUID]
"""Which aggregate a command is for: the name of an attribute of the command, or a function of it."""

_MARK = "__goes_handles__"


class Handles(NamedTuple):
    """What @handles says about a command."""

    id: Key
    create: bool


@overload
def handles(
    command: type[C], *, id: str | Callable[[C], str | UUID] = "id", create: bool = False
) -> Callable[[Callable[[S, C], R]], Callable[[S, C], R]]: ...
@overload
def handles(command: str, *, id: Key = "id", create: bool = False) -> Callable[[F], F]: ...
def handles(command: Any, *, id: Any = "id", create: bool = False) -> Callable[[Any], Any]:
    """Mark a method of an Aggregate as the handler of a command: a registered type, or a registered name.

        class Order(goes.Aggregate, name="order"):
            @goes.handles(PlaceOrder, id="order", create=True)
            def place(self, command: PlaceOrder) -> None:
                self.record(OrderPlaced(command.items, command.total))

    `id` tells which aggregate a command is for: an attribute (or key) of the command, or a function of it. The aggregate is
    loaded, the method called with the command, and the recorded events are saved; after a conflict this is repeated with the
    current aggregate. The return value is the result of `dispatch`, and exceptions are raised there. With `create` the
    aggregate may be new; otherwise that is AggregateNotFound. See `CommandBus.serve`. RegistrationError for a method that does
    not take the command, and, when it is served, for an `id` that the type of the command does not have.
    """
    check_command("handles", command)
    key: Key = id
    if not (isinstance(id, str) or callable(id)):
        raise RegistrationError(f"id must be the name of an attribute, or a function of the command, not {id!r:.80}")
    if callable(id):
        check_function("id", id, error=RegistrationError)
    check_flag("create", create)

    def decorate(function: Any) -> Any:
        if not isinstance(function, FunctionType):
            raise RegistrationError(f"handles() decorates a method, not {function!r:.80}")
        check_function("a handler", function, awaited=True, error=RegistrationError)
        check_takes("handles", function, "self", "command")
        mark(function, _MARK, [command], Handles(key, create))
        return function

    return decorate


def check_command(decorator: str, command: object) -> None:
    """RegistrationError for a decorator that was given the function that it decorates."""
    if isinstance(command, FunctionType):
        raise RegistrationError(
            f"{decorator}() needs the command: write @{decorator}(SomeCommand) above {command.__qualname__}()"
        )


def handled_commands(cls: type[Any]) -> dict[Any, Marked]:
    """Return the methods of a class that handle commands, by command. RegistrationError if there are none.

    And if a command has not got what tells its aggregate.
    """
    found = marked_methods(cls, _MARK)
    if not found:
        raise RegistrationError(f"{cls.__qualname__} handles no command: decorate its methods with @handles(…)")
    for command, (method, said) in found.items():
        names = field_names(command) if isinstance(said.id, str) else None
        if names is not None and said.id not in names and not _may_have(command, said.id):
            raise RegistrationError(
                f"{cls.__qualname__}.{method}: {command.__qualname__} has no {said.id!r} to tell its aggregate; it has "
                f"{', '.join(names) or 'no fields'}: write @handles({command.__qualname__}, id=…)"
            )
    return found


def _may_have(command: type[Any], name: str) -> bool:
    """Whether instances have an attribute that is no field. Models of pydantic have a __getattr__ for private ones only."""
    return hasattr(command, name) or any(
        "__getattr__" in vars(base) and base.__module__.partition(".")[0] != "pydantic" for base in command.__mro__
    )


class FunctionHandler:
    """Calls a function with the command, and with a transaction if it is transactional."""

    def __init__(self, backend: Backend, face: Face, function: Callable[..., object], *, transactional: bool) -> None:
        if not callable(function):
            raise ConfigError(f"a handler must be a function of a command, not {function!r:.80}")
        check_flag("transactional", transactional)
        if transactional and TRANSACTIONS not in backend.abilities:
            raise AbilityMissing(TRANSACTIONS, backend.location)
        self._backend = backend
        self._face = face
        self._function = face.function(function, "a handler")
        self._transactional = transactional
        self.receipts = Receipts(backend, function)

    async def handle(self, command: DispatchedCommand[Any]) -> object:
        if not command.once:
            return await self._work(command)
        return await self.receipts.once(command, partial(self._work, command), atomic=self._transactional)

    async def _work(self, command: DispatchedCommand[Any]) -> object:
        if not self._transactional:
            return await call(self._function, command.data)
        async with self._backend.transaction() as tx:
            try:
                result = await call(self._function, command.data, self._face.transaction(tx))
            except Exception as exc:
                if not isinstance(exc, GoesError) and (error := await ended_by_store(tx)) is not None:
                    raise error from exc
                raise
            if command.once:
                await self.receipts.put_in(tx, command, self.receipts.make(command, result))
        return result


class InsideHandler:
    """Calls a coroutine function of goes_lite with the command.

    It keeps no receipt: only accepted commands come to it, and what it returns is stored when the worker ends one, once.
    """

    def __init__(self, backend: Backend, function: Callable[[Any], Awaitable[Any]]) -> None:
        self._function = function
        self.receipts = Receipts(backend, unknown_handler)

    async def handle(self, command: DispatchedCommand[Any]) -> object:
        return await self._function(command.data)


class AggregateHandler:
    """Loads an aggregate, calls one of its methods with the command, and saves it."""

    def __init__(
        self, backend: Backend, face: Face, repository: Repository[Any], method: Callable[..., object], mark: Handles
    ) -> None:
        self._backend = backend
        self._repository = repository
        self._method = face.function(method, f"the handler {method.__qualname__}()")
        self._mark = mark
        self._atomic = TRANSACTIONS in backend.abilities
        self.receipts = Receipts(backend, method)

    async def handle(self, command: DispatchedCommand[Any]) -> object:
        if not command.once:
            return await self._work(command)
        return await self.receipts.once(command, partial(self._work, command), atomic=self._atomic)

    async def _work(self, command: DispatchedCommand[Any]) -> object:
        receipt: Receipt | None = None

        async def change(aggregate: Aggregate) -> object:
            nonlocal receipt
            result = await call(self._method, aggregate, command.data)
            if command.once:
                receipt = self.receipts.make(command, result)
            return result

        async def save(
            repository: Repository[Any], aggregates: Sequence[Any], condition: AppendCondition | None
        ) -> Appended | Refusal:
            if receipt is None:
                return await repository._append(aggregates, condition)
            if tx := repository._transaction:  # rolled back by the repository if it is refused
                outcome = await repository._append(aggregates, condition)
                if isinstance(outcome, Appended):
                    await self.receipts.put_in(tx, command, receipt)
                return outcome
            try:
                async with self._backend.transaction() as tx:
                    outcome = await repository.within(tx)._append(aggregates, condition)
                    if not isinstance(outcome, Appended):
                        raise _Refused(outcome)
                    await self.receipts.put_in(tx, command, receipt)
            except _Refused as refused:
                return refused.outcome
            return outcome

        saving = save if command.once and self._atomic else None
        return await self._repository._use_and_save(self._id(command), change, saving, create=self._mark.create)

    def _id(self, command: DispatchedCommand[Any]) -> str | UUID:
        key, data = self._mark.id, command.data
        if callable(key):
            id = key(data)
            check_result("id", id)
            return id
        found: Any = cast("dict[str, Any]", data).get(key) if isinstance(data, dict) else getattr(data, key, None)
        if not isinstance(found, str | UUID):
            raise ConfigError(
                f"{command.name!r} has no {key!r} that is a str or UUID, so its aggregate is unknown: pass "
                "@handles(…, id=…)"
            )
        return found


class _Refused(Exception):
    """Rolls back a transaction in which the events could not be appended."""

    def __init__(self, outcome: Refusal) -> None:
        self.outcome = outcome
        super().__init__(outcome)
