"""The context of running code: the actor, the cause, the deadline.

A context is set for a block of code and visible to everything that runs in it: other functions, tasks, `asyncio.to_thread`
(and threads that are started by hand, with `Context.carry`). It becomes part of the metadata of every event that is made
and of every command that is dispatched there, so the log shows what followed from what.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import Token, copy_context
from datetime import datetime
from functools import partial, wraps
from types import MappingProxyType
from typing import Any, NamedTuple, ParamSpec, TypeVar

from goes_lite.errors import ConfigError, InvalidEventError
from goes_lite.events.event import (
    CAUSATION,
    CORRELATION,
    Event,
    RecordingClock,
    context_here,
    id_bytes,
    recording_clock,
    restore,
    time_micros,
)
from goes_lite.events.fields import check_text, from_micros, to_micros
from goes_lite.events.outcome import REDRIVEN, REPORT

P = ParamSpec("P")
R = TypeVar("R")

ACTOR = "actor"
OWN = frozenset({CORRELATION, CAUSATION, ACTOR, REPORT, REDRIVEN})
"""Keys of the metadata of an event or command that are no values of a context."""


class Context(NamedTuple):
    """The context of running code. Immutable; set it with `Context.bind`, read it with `Context.current()`."""

    correlation: str = ""
    """What everything from the first command to the last event has in common: by default the id of the first."""
    causation: str = ""
    """The id of the command or event that directly caused it."""
    actor: str = ""
    """On whose behalf it runs."""
    deadline: datetime | None = None
    """The deadline (aware, UTC): a command that is not handled by then is refused, or cancelled."""
    values: Mapping[str, str] = MappingProxyType({})
    """Values of your own: they become part of the metadata, too."""

    @staticmethod
    def current() -> Context:
        """Return the context of the running code; an empty one where none is set."""
        context: Context | Event[Any] | None = context_here.get()
        if context is None:
            return _EMPTY
        return context if isinstance(context, Context) else Context.of(context.metadata, str(context.id))

    @staticmethod
    @contextmanager
    def bind(
        context: Context | None = None,
        *,
        correlation: str | None = None,
        causation: str | None = None,
        actor: str | None = None,
        deadline: datetime | None = None,
        **values: str,
    ) -> Generator[Context]:
        """Set a context for the block: the given or current one, changed by the other arguments.

            with goes.Context.bind(actor="ada", request="r-17"):
                orders.use("2026-001", lambda order: order.place(["tea"], 450))

        A deadline can only move earlier. ConfigError for a value that cannot be text in the metadata of an event.
        """
        bound = Context.current() if context is None else context
        if not isinstance(bound, Context):
            raise ConfigError(f"context must be a Context, not {context!r:.80}")
        for key, value in {CORRELATION: correlation, CAUSATION: causation, ACTOR: actor, **values}.items():
            if value is not None:
                _check(key, value)
        if deadline is not None:
            bound = bound.due(deadline)
        bound = bound._replace(
            correlation=bound.correlation if correlation is None else correlation,
            causation=bound.causation if causation is None else causation,
            actor=bound.actor if actor is None else actor,
            values={**bound.values, **values} if values else bound.values,
        )
        token = context_here.set(bound)
        try:
            yield bound
        finally:
            context_here.reset(token)

    @staticmethod
    def carry(function: Callable[P, R]) -> Callable[P, R]:
        """Wrap a function to run in the current context anywhere, once: for a thread that is started by hand."""
        context = copy_context()

        @wraps(function)
        def carried(*args: P.args, **kwargs: P.kwargs) -> R:
            return context.run(partial(function, *args, **kwargs))

        return carried

    @staticmethod
    def of(metadata: Mapping[str, str], id: str, deadline: datetime | None = None) -> Context:
        """Return the context of what an event or command with this metadata and id causes."""
        if not metadata:
            return Context(id, id, "", deadline)
        try:
            values = {key: value for key, value in metadata.items() if key not in OWN}
        except (AttributeError, TypeError):
            raise ConfigError(f"metadata must be a mapping str → str, not {metadata!r:.80}") from None
        return Context(metadata.get(CORRELATION) or id, id, metadata.get(ACTOR, ""), deadline, values)

    def due(self, deadline: datetime) -> Context:
        """Return the context with this deadline, if it is earlier. ConfigError if it is no aware datetime."""
        try:
            deadline = from_micros(to_micros(deadline))  # UTC: times of one zone compare as its clocks show them
        except InvalidEventError as exc:
            raise ConfigError(f"deadline: {exc}") from None
        return self if self.deadline is not None and self.deadline <= deadline else self._replace(deadline=deadline)

    @property
    def metadata(self) -> dict[str, str]:
        """The part of the metadata of an event or command that comes from the context."""
        metadata = dict(self.values)
        if self.correlation:
            metadata[CORRELATION] = self.correlation
        if self.causation:
            metadata[CAUSATION] = self.causation
        if self.actor:
            metadata[ACTOR] = self.actor
        return metadata


_EMPTY = Context()


def in_context(event: Event[Any]) -> Event[Any]:
    """Return an existing event with the metadata of the context, overridden by its own."""
    if context_here.get() is None:
        return event
    metadata = MappingProxyType({**Context.current().metadata, **event.metadata})
    return restore(
        id_bytes(event), event.name, event.data, time_micros(event), event.aggregate, event.version, metadata,
        event.tags, 0, *event.encoded,
    )  # fmt: skip


def enter(context: Context | Event[Any]) -> Token[Any]:
    """Set the context, or that of the handler of an event; pass the result to `leave`."""
    return context_here.set(context)


def leave(token: Token[Any]) -> None:
    """Restore the context that was set before."""
    context_here.reset(token)


@contextmanager
def timed(clock: RecordingClock | None) -> Generator[None]:
    """Let events that are made in the block have the times of a clock; None is that of the machine."""
    token = recording_clock.set(clock)
    try:
        yield
    finally:
        recording_clock.reset(token)


def _check(key: str, value: object) -> None:
    try:
        check_text(value, f"{key} of a context")
    except InvalidEventError as exc:
        raise ConfigError(str(exc)) from None
