"""What a command is: the base of those whose result type checkers know, and one command on its way to its handler."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Generic, NamedTuple, TypeVar
from uuid import UUID

from goes_lite.events.context import Context

D = TypeVar("D")
R_co = TypeVar("R_co", covariant=True)


class Command(Generic[R_co]):
    """Base of commands that say what their handler returns, for type checkers; others need no base.

    @goes.command("order.place")
    @dataclass(frozen=True)
    class PlaceOrder(goes.Command[int]):
        order: str

    total = db.commands.dispatch(PlaceOrder("1"))  # an int
    """

    __slots__ = ()


class DispatchedCommand(NamedTuple, Generic[D]):
    """A dispatched command, with what middleware may need. Immutable."""

    id: UUID
    name: str
    """The registered name of its type."""
    data: D
    """The command itself."""
    metadata: Mapping[str, str] = MappingProxyType({})
    """The context in which it was dispatched, as text: see `Context.metadata`."""
    deadline: datetime | None = None
    """The time by which it must be handled (aware, UTC)."""
    once: bool = False
    """Whether the caller of `dispatch` gave its id: then it counts once, however often it is dispatched."""

    @property
    def context(self) -> Context:
        """The context in which its handler runs."""
        return Context.of(self.metadata, str(self.id), self.deadline)

    def __repr__(self) -> str:
        return f"<DispatchedCommand {self.name!r} {self.id}: {self.data!r:.200}>"
