"""What a function that is a workflow is given: `Flow` for coroutine functions, `BlockingFlow` for plain ones.

@goes.flow("fulfilment", starts_with=OrderPlaced, waits_for={OrderPaid: None})
async def fulfil(flow: goes.Flow, placed: goes.Event[OrderPlaced]) -> None:
try:
await flow.wait_for(OrderPaid, timeout=timedelta(days=2))
except goes.errors.StepTimeout:
flow.fail("not paid")
parcel = await flow.step("pack", lambda: warehouse.pack(placed.aggregate.id))
await flow.command(Ship(parcel))
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from functools import partial
from types import CoroutineType
from typing import Any, NoReturn, TypeVar, cast, overload
from uuid import UUID

from goes_lite.errors import ConfigError
from goes_lite.events.event import Event
from goes_lite.workflow.flow_run import FlowRun

D = TypeVar("D")
T = TypeVar("T")

_COROUTINE: type[Any] = CoroutineType


class _Common:
    """What needs no waiting, and is the same for both."""

    def __init__(self, run: FlowRun) -> None:
        self._run = run

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._run.workflow!r}, instance {self.key!r:.80}>"

    @property
    def key(self) -> str:
        """The key of the instance."""
        return self._run.memory.key

    def id(self, name: str) -> UUID:
        """Return an id that is the same in every run: for what a step calls, so that a repeated call counts once there."""
        return self._run.id(name)

    def now(self, name: str = "now") -> datetime:
        """Return the time (aware, UTC) at which the function came here first, under a name."""
        return self._run.now(name)

    def changed(self, id: str) -> bool:
        """Return whether the instance came here with this change: False if it had begun later steps without it.

            if flow.changed("ask the warehouse first"):
                await flow.step("ask", warehouse.ask)

        So instances that run go on as they began, and the others do what is new. It is noted, and stays the same.
        """
        return self._run.changed(id)

    def publish(self, data: object, *, tags: tuple[str, ...] = (), name: str | None = None) -> None:
        """Record an event of the instance, once: see `Publish`. Its name here is that of the event, unless another is given."""
        self._run.publish(data, tags, name)

    def undo(self, command: object, *, name: str | None = None) -> None:
        """Keep a command that undoes what has just been done, for `compensate`; its name here is that of the command."""
        self._run.undo(command, name)

    def fail(self, reason: str = "") -> NoReturn:
        """End the instance as failed."""
        self._run.fail(reason)

    def compensate(self, reason: str = "") -> NoReturn:
        """Dispatch the commands of `undo` in reverse order, each after the one before is done; then the instance is failed."""
        self._run.compensate(reason)


class BlockingFlow(_Common):
    """What a plain function that is a workflow is given; see `Flow`."""

    def step(self, name: str, call: Callable[[], T], *, returns: Any = None) -> T:
        """Return the result of a call, which is made once; see `Flow.step`."""
        return cast("T", self._run.step(name, call, returns))

    def command(
        self, command: object, *, name: str | None = None, returns: Any = None, at: datetime | None = None
    ) -> Any:
        """Dispatch a command and return the result of its handler; see `Flow.command`."""
        return self._run.command(command, name, returns, at)

    @overload
    def wait_for(
        self, event: type[D], key: str | UUID | None = None, *, where: Callable[[Event[D]], object] | None = None,
        timeout: timedelta | None = None, name: str | None = None,
    ) -> Event[D]: ...  # fmt: skip
    @overload
    def wait_for(
        self, event: str, key: str | UUID | None = None, *, where: Callable[[Event[Any]], object] | None = None,
        timeout: timedelta | None = None, name: str | None = None,
    ) -> Event[Any]: ...  # fmt: skip
    def wait_for(
        self, event: Any, key: str | UUID | None = None, *, where: Callable[[Event[Any]], object] | None = None,
        timeout: timedelta | None = None, name: str | None = None,
    ) -> Event[Any]:  # fmt: skip
        """Return an event, once it is in the log; see `Flow.wait_for`."""
        return self._run.wait_for(event, key, where, timeout, name)

    def sleep(self, duration: timedelta, *, name: str = "sleep") -> None:
        """Go on after a while; see `Flow.sleep`."""
        self._run.sleep(duration, name)

    def all(self, *branches: Callable[[], Any]) -> list[Any]:
        """Run several functions without arguments at the same time and return their results; see `Flow.all`."""
        return self._run.all(branches)

    def any(self, *branches: Callable[[], Any], name: str = "any") -> tuple[int, Any]:
        """Run several functions and return the number and the result of the first that is done; see `Flow.any`."""
        return self._run.any(branches, name)


class Flow(_Common):
    """What a coroutine function that is a workflow is given.

    - The function runs from its start whenever there is something new, and ends where it waits for something that has not
      happened. What was done before is found by its name, and not done again: its result is returned at once. So code between
      the steps must depend on the arguments and on results alone, and act in steps only.
    - Each step, command, wait and so on needs a name of its own (DuplicateStep); the names of steps are given, the others are
      those of the types unless `name` says otherwise. Steps may be added, moved and removed while instances run.
    - When the function returns, the instance is completed. What a step, command or wait raises may be caught; if it is not, the
      instance is compensated, as by `compensate`. Any other exception means that the function does not work: the instance
      fails alone, is tried again, and waits in the end for a person (see `Database.workflow`).
    - TooManySteps if it loops.
    """

    async def step(self, name: str, call: Callable[[], T | Awaitable[T]], *, returns: Any = None) -> T:
        """Return the result of a call to the world outside, which is made by a worker, outside of any transaction.

        - Its result is stored once, as JSON: as `returns` (a type), or the annotated return type of `call`, or as it is.
        - If the worker is killed, the call may be made again: pass `id(name)` to the other side, so that it counts once there.
        - If it raises, it is tried again as the worker says (`CommandBus.worker`); then StepFailed is raised here, with the text
          of the error. A CommandRejected is final, and raised here as such. ResultTooLarge for more than 256 KiB.
        """
        return cast("T", self._run.step(name, call, returns))

    async def command(
        self, command: object, *, name: str | None = None, returns: Any = None, at: datetime | None = None
    ) -> Any:
        """Dispatch a command, at once or at a time, and return the result of its handler: as `returns`, or as its JSON says.

        Raises CommandRejected, with the code and details of the handler, or CommandFailed if it was given up.
        """
        return self._run.command(command, name, returns, at)

    @overload
    async def wait_for(
        self, event: type[D], key: str | UUID | None = None, *, where: Callable[[Event[D]], object] | None = None,
        timeout: timedelta | None = None, name: str | None = None,
    ) -> Event[D]: ...  # fmt: skip
    @overload
    async def wait_for(
        self, event: str, key: str | UUID | None = None, *, where: Callable[[Event[Any]], object] | None = None,
        timeout: timedelta | None = None, name: str | None = None,
    ) -> Event[Any]: ...  # fmt: skip
    async def wait_for(
        self, event: Any, key: str | UUID | None = None, *, where: Callable[[Event[Any]], object] | None = None,
        timeout: timedelta | None = None, name: str | None = None,
    ) -> Event[Any]:  # fmt: skip
        """Return an event, once it is in the log. Each event is returned by one wait.

        - Its type is one of `waits_for`, and its key that of the instance, or the given one. `where` chooses among those.
        - An event that came before is not lost, if the instance had started by then.
        - StepTimeout after `timeout`.
        """
        return self._run.wait_for(event, key, where, timeout, name)

    async def sleep(self, duration: timedelta, *, name: str = "sleep") -> None:
        """Go on after a while: minutes or years, across restarts."""
        self._run.sleep(duration, name)

    async def all(self, *branches: Awaitable[Any]) -> list[Any]:
        """Await several at the same time and return their results. If one raises, that is raised at once."""
        try:
            return self._run.all([partial(drive, one, self._run) for one in branches])
        finally:
            _close(branches)

    async def any(self, *branches: Awaitable[Any], name: str = "any") -> tuple[int, Any]:
        """Await several and return the number and the result of the first that is done; nobody waits for the others.

        If the first one raises, that is raised. Which one it was is noted, and stays the same.
        """
        try:
            return self._run.any([partial(drive, one, self._run) for one in branches], name)
        finally:
            _close(branches)


def _close(branches: Iterable[object]) -> None:
    """Close the coroutines of branches, those that were not begun as well."""
    for one in branches:
        if isinstance(one, _COROUTINE):
            cast("Any", one).close()


def drive(awaitable: Awaitable[T], run: FlowRun) -> T:
    """Run a coroutine that awaits nothing but methods of a `Flow`, and return its result. InvalidEffect if it does."""
    if not isinstance(awaitable, _COROUTINE):
        raise ConfigError(f"all() and any() take coroutines, such as flow.step(…), not {awaitable!r:.80}")
    coroutine: Any = awaitable
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return cast("T", stop.value)
    coroutine.close()
    raise run.invalid(
        "it awaits something other than a method of its flow: do that in flow.step(name, call), which is made once"
    )
